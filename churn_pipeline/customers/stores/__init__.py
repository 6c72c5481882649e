"""What stands behind the repositories: the published database, read only; the warehouse as of any Monday, under the home's lock."""
