"""Publication to an object store: a Parquet file for each Monday, and a manifest that says which of them belong together."""
