"""Dagster asset checks: thin shells, like the assets."""
