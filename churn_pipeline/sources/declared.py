"""What ``sources.yml`` says, as plain values: tables that lie in files, tables that are fetched, and the connections for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from churn_pipeline.contract.source import TableSource
from churn_pipeline.core.errors import InputError

# A reference to an environment variable; only connections may hold one.
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

# By the scheme of an address, the kind of store. Which of them can be reached depends on what is installed.
OBJECT_STORES: Mapping[str, str] = MappingProxyType(
    {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
)
DATABASES = ("postgresql", "snowflake", "bigquery")
CONNECTION_KINDS = (*DATABASES, *dict.fromkeys(OBJECT_STORES.values()))


@dataclass(frozen=True)
class Connection:
    """How a database or an object store is reached.

    Attributes:
        kind: one of ``CONNECTION_KINDS``.
        uri: the address, with ``${NAME}`` where something secret goes; empty where the options say it all.
        options: passed on to the driver, by its own names, likewise with ``${NAME}``.
        line: where it stands in sources.yml.
    """

    name: str
    kind: str
    uri: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    line: int = 0

    def expanded(self, environment: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """The address and the options with the values of the environment: secrets, not to be printed or kept.

        Raises:
            InputError: a variable is not set; all that are missing are named.
        """
        texts = (self.uri, *self.options.values())
        missing = dict.fromkeys(name for text in texts for name in REFERENCE.findall(text) if not environment.get(name))
        if missing:
            names = ", ".join(missing)
            raise InputError(
                f"sources.yml, line {self.line}: connection {self.name} needs the environment variable(s) {names}, which are not set"
            )

        def expand(text: str) -> str:
            return REFERENCE.sub(lambda match: environment[match[1]], text)

        return expand(self.uri), {name: expand(text) for name, text in self.options.items()}


@dataclass(frozen=True)
class RemoteSource:
    """A table that is fetched before it is landed. Exactly one of ``query`` and ``uri`` is given.

    Attributes:
        table: its name in the contract.
        kind: one of ``CONNECTION_KINDS``.
        connection_name: the connection; empty for an object store that is reached with what the environment says anyway.
        query: SQL in the dialect of the database, one statement.
        uri: address of files in an object store, with a pattern or of a folder.
        incremental_by: column of the query's result by which only newer rows are fetched; empty: all rows, each time.
        line: where the table stands in sources.yml.
    """

    table: str
    kind: str
    connection_name: str = ""
    query: str = ""
    uri: str = ""
    incremental_by: str = ""
    line: int = 0


@dataclass(frozen=True)
class Sources:
    """Everything that a sources.yml says.

    Attributes:
        path: the file; None where there is none, and then every table has the contract's own names.
        tables: by name, also those that are fetched: what is said of their columns holds for what was fetched.
        remote: by name of the table, those that are fetched.
        connections: by name.
    """

    path: Path | None = None
    tables: Mapping[str, TableSource] = field(default_factory=lambda: MappingProxyType({}))
    remote: Mapping[str, RemoteSource] = field(default_factory=lambda: MappingProxyType({}))
    connections: Mapping[str, Connection] = field(default_factory=lambda: MappingProxyType({}))
