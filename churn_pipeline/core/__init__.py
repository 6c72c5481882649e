"""What every room needs and nothing of its own: settings, the calendar of Mondays, files and the warehouse, errors, words and figures."""
