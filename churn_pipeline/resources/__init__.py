"""What assets are handed: the home with its lock, and dbt. No domain logic belongs here."""
