"""What sqlfluff is given for dbt's `target` while it renders the models: that of a home."""

name = "home"
database = "warehouse"
