"""Versions of schema ``churn``, run by Alembic. A revision that was released is never edited; a change is one more file."""
