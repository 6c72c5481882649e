"""One file a revision, in SQL."""
