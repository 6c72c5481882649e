"""What sqlfluff is given for dbt's `api` while it renders the models: a relation that writes itself as a name."""


class Relation:
    """A relation of dbt's, as far as the macros use it."""

    def __init__(self, schema: str, identifier: str | None) -> None:
        self.schema, self.identifier = schema, identifier

    @classmethod
    def create(cls, database: str | None = None, schema: str = "", identifier: str | None = None) -> "Relation":
        """As dbt's; the database is not written."""
        return cls(schema, identifier)

    def without_identifier(self) -> "Relation":
        """Its schema."""
        return Relation(self.schema, None)

    def __str__(self) -> str:
        return f"{self.schema}.{self.identifier}" if self.identifier else self.schema
