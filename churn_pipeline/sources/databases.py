"""Tables that a database answers a query with, as a stream of Arrow batches of types that the contract reads.

Read-only, in one transaction a connection, so that tables of one database are of one moment. A driver is imported where it is used: few
homes have a database, and only PostgreSQL's driver comes along.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from churn_pipeline.core.errors import InputError, SourceError
from churn_pipeline.core.postgres_url import HOW_TO_WRITE_ONE, is_postgres_url
from churn_pipeline.core.sql import quoted
from churn_pipeline.sources.declared import Connection
from churn_pipeline.sources.hiding import Secrets

if TYPE_CHECKING:
    import pyarrow as pa

type Mark = int | float | Decimal | date | datetime

# A query that is not done by then has lost its way; who knows better says so in the address, as options=-c statement_timeout=...
STATEMENT_TIMEOUT = "30min"
_LOCK_TIMEOUT = "60s"
_POSTGRES_DEFAULTS = {
    "application_name": "churn fetch",
    "connect_timeout": "10",
    # A server that vanished without a word is given up after a minute; TCP alone would wait a quarter of an hour.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
# Digits of a decimal that no database has given a scale, as sums and averages are. 29 before the point hold any id.
_DIGITS, _SCALE = 38, 9
# The form in which a bound on what is new reaches the query, see _Postgres.batches.
_AFTER = "churn.after"


@dataclass(frozen=True)
class Column:
    """A column of a query's result.

    Attributes:
        origin: the database's own name of its type, where the driver tells.
        target: the Arrow type in which it is kept.
    """

    name: str
    origin: str
    target: pa.DataType


class Session:
    """An open read-only transaction. Made by :func:`session`."""

    # Databases differ in how a name is quoted, and in little else that is needed here.
    quote: Callable[[str], str] = staticmethod(quoted)

    def __init__(self, con: Any, connection: Connection, secrets: Secrets, batch_bytes: int | None = None) -> None:
        self._con = con
        self._connection = connection
        self._secrets = secrets
        self._batch_bytes = batch_bytes
        self.begin()

    def begin(self) -> None:
        """Begins the transaction; called again after an error has ended it."""

    def again(self) -> None:
        """Ends the transaction after an error and begins another, for the next table."""
        with self._said_plainly():
            self._con.rollback()
            self.begin()

    def columns(self, query: str) -> tuple[Column, ...]:
        """What a query answers with, without running it for long.

        Raises:
            InputError: it cannot be run.
            SourceError: the database is away.
        """
        with self._said_plainly(), self._cursor() as cursor:
            cursor.execute(f"select * from (\n{query}\n) as fetched where 1 = 0")
            schema = cursor.fetch_record_batch().schema
            return tuple(Column(entry.name, "", _plain_type(entry.type)) for entry in schema)

    @contextmanager
    def batches(
        self, query: str, columns: tuple[Column, ...], newer_than: tuple[Column, Mark] | None = None
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """Streams the rows of a query.

        Args:
            query: one statement.
            columns: of the query, from :meth:`columns`.
            newer_than: a column and a value: only rows with it or a greater one, and those without one.

        Raises:
            InputError, SourceError: as for :meth:`columns`.
        """
        sql, parameters = f"select * from (\n{query}\n) as fetched", None
        if newer_than is not None:
            name = self.quote(newer_than[0].name)
            sql += f" where {name} >= ? or {name} is null"
            parameters = (newer_than[1],)
        with self._streamed(sql, parameters, columns) as batches:
            yield batches

    @contextmanager
    def _streamed(
        self, sql: str, parameters: tuple[Any, ...] | None, columns: tuple[Column, ...]
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        with self._cursor() as cursor:
            with self._said_plainly():
                cursor.execute(sql, parameters) if parameters is not None else cursor.execute(sql)
                reader = _stream(cursor)

            def read() -> Iterator[pa.RecordBatch]:
                while True:
                    with self._said_plainly():
                        try:
                            batch = reader.read_next_batch()
                        except StopIteration:
                            return
                    yield plain(batch, columns)

            try:
                yield read()
            finally:
                # Also when nobody reads to the end: a statement with an open stream cannot be closed.
                reader.close()

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        cursor = self._con.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        """Turns an error of a driver into one of ours. The original is not chained: Dagster keeps causes with their text."""
        import pyarrow as pa

        driver_errors = importlib.import_module("adbc_driver_manager").Error
        try:
            yield
            return
        except (driver_errors, pa.ArrowException, OSError) as error:
            ours = self.translated(error)
        raise ours from None

    def translated(self, error: BaseException) -> InputError | SourceError:
        """An error of the driver as one of ours, in a sentence without secrets."""
        text = self._secrets.hidden(_first_words(str(error)))
        where = f"connection {self._connection.name}"
        if re.search(r"authenticat|not authorized|permission|access denied|does not exist|syntax|invalid", text, re.I):
            return InputError(f"{where} refuses: {text}")
        return SourceError(f"{where} failed: {text}")


def _stream(cursor: Any) -> Any:
    """The batches of an executed query. Of the two forms that the driver has, the one whose errors still carry PostgreSQL's code is not
    public; without it messages are told by their words."""
    reader = getattr(getattr(cursor, "_results", None), "reader", None)
    return reader if reader is not None else cursor.fetch_record_batch()


class _Postgres(Session):
    def begin(self) -> None:
        with self._said_plainly(), self._cursor() as cursor:
            # Everything in one moment, and nothing is written, whatever the query calls.
            cursor.execute("set transaction isolation level repeatable read, read only")
            # Not the role's zone: a query that makes a day of an instant would give other days to another role.
            for name, value in (("timezone", "UTC"), ("lock_timeout", _LOCK_TIMEOUT), ("extra_float_digits", "1")):
                self._set(cursor, name, value)
            cursor.execute("select current_setting('statement_timeout')")
            if cursor.fetchone()[0] == "0":
                self._set(cursor, "statement_timeout", STATEMENT_TIMEOUT)

    def _set(self, cursor: Any, name: str, value: str) -> None:
        cursor.execute("select set_config($1, $2, true)", (name, value))
        cursor.fetchall()

    def columns(self, query: str) -> tuple[Column, ...]:
        with self._said_plainly(), self._cursor() as cursor:
            schema = cursor.adbc_execute_schema(f"select * from (\n{query}\n) as fetched")
            return tuple(Column(entry.name, _origin(entry), _postgres_type(entry)) for entry in schema)

    @contextmanager
    def batches(
        self, query: str, columns: tuple[Column, ...], newer_than: tuple[Column, Mark] | None = None
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        names = ", ".join(f"{_postgres_value(column)} as {quoted(column.name)}" for column in columns)
        sql = f"select {names} from (\n{query}\n) as fetched"
        if newer_than is not None:
            column, value = newer_than
            name = quoted(column.name)
            with self._said_plainly(), self._cursor() as cursor:
                # Bound to a setting of this transaction and not to the query: a query with a parameter is no COPY, and the driver
                # then holds its whole result in memory (2 million rows: 420 MB and not 190).
                text = value.isoformat() if isinstance(value, date) else str(value)
                self._set(cursor, _AFTER, text)
            sql += f" where {name} >= current_setting('{_AFTER}')::{_POSTGRES_MARKS[column.origin]} or {name} is null"
        with self._streamed(sql, None, columns) as batches:
            yield batches

    def _cursor(self) -> Any:
        return _postgres_cursor(self._con, self._batch_bytes)

    def translated(self, error: BaseException) -> InputError | SourceError:
        return _postgres_error(error, self._connection, self._secrets)


@contextmanager
def _postgres_cursor(con: Any, batch_bytes: int | None) -> Iterator[Any]:
    kwargs = {} if batch_bytes is None else {"adbc.postgresql.batch_size_hint_bytes": str(batch_bytes)}
    cursor = con.cursor(adbc_stmt_kwargs=kwargs)
    try:
        yield cursor
    finally:
        cursor.close()


# Types by which what is new can be told: they grow, and their order is the same here and there.
_POSTGRES_MARKS = {
    "int2": "bigint",
    "int4": "bigint",
    "int8": "bigint",
    "numeric": "numeric",
    "float4": "double precision",
    "float8": "double precision",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
}


def _origin(entry: pa.Field) -> str:
    """PostgreSQL's own name of a column's type."""
    return str((entry.metadata or {}).get(b"POSTGRESQL:type", b"").decode())


def _postgres_type(entry: pa.Field) -> pa.DataType:
    """The type in which a column of PostgreSQL is kept, by its description."""
    import pyarrow as pa

    match _origin(entry):
        case "int2" | "int4" | "int8" | "float4" | "float8" | "bool" | "date" | "timestamp" | "timestamptz":
            return entry.type
        case "numeric":
            return _decimal(int((entry.metadata or {}).get(b"POSTGRESQL:typmod", b"-1")))
        case "money":
            return pa.decimal128(_DIGITS, _SCALE)
        case "oid":
            return pa.int64()
    return pa.string()


def _decimal(typmod: int) -> pa.DataType:
    """numeric(p, s), which PostgreSQL writes as ((p << 16) | s) + 4; of any size without one."""
    import pyarrow as pa

    precision, scale = (typmod - 4) >> 16, (typmod - 4) & 0x7FF
    if typmod < 4 or not 0 < precision <= _DIGITS or scale > precision:
        return pa.decimal128(_DIGITS, _SCALE)
    return pa.decimal128(precision, scale)


def _postgres_value(column: Column) -> str:
    """The column in SQL, as something that the driver hands over whole. ADBC coerces nothing: money comes as a count of cents, an
    infinite date as a number of days, and what it does not know as bytes."""
    name = quoted(column.name)
    match column.origin:
        case "int2" | "int4" | "int8" | "float4" | "float8" | "bool" | "text" | "varchar":
            return name
        case "numeric":
            # NaN is how some writers spell null, in doubles too. Sums and averages have more digits than anybody needs.
            return f"nullif(round({name}, {column.target.scale}), 'NaN')"
        case "money":
            return f"round({name}::numeric, {column.target.scale})"
        case "oid":
            return f"{name}::bigint"
        case "date" | "timestamp" | "timestamptz" as kind:
            # For ever, as others write it. Before all times there is no such day: the contract will call it impossible.
            return (
                f"case when {name} >= '9999-12-31'::{kind} then '9999-12-31'::{kind} "
                f"when {name} < '0001-01-01'::{kind} then '0001-01-01'::{kind} else {name} end"
            )
    if column.origin.startswith("_"):
        return f"to_jsonb({name})::text"
    return f"{name}::text"


def plain(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> pa.RecordBatch:
    """A batch in the types of its columns.

    Raises:
        InputError: a number does not fit into its column's type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    arrays = []
    for array, column in zip(batch.columns, columns, strict=True):
        values = array.storage if isinstance(array, pa.ExtensionArray) else array
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if values.type != column.target:
            values = _decimals(values, column) if pa.types.is_decimal(column.target) else pc.cast(values, column.target)
        arrays.append(values)
    schema = pa.schema([pa.field(column.name, column.target) for column in columns])
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _decimals(values: pa.Array, column: Column) -> pa.Array:
    """Numbers, as text or as greater decimals, in a column's decimals."""
    import pyarrow as pa
    import pyarrow.compute as pc

    scale = column.target.scale
    before = column.target.precision - scale
    if pa.types.is_decimal(values.type):
        texts = pc.cast(pc.cast(pc.round(values, scale), pa.decimal256(76, scale)), pa.string())
    else:
        texts = values
    # Arrow makes another number of a text of 40 digits, without a word.
    fits = pc.match_substring_regex(texts, rf"^-?\d{{0,{before}}}(\.\d{{0,{scale}}})?$")
    if pc.any(pc.invert(fits)).as_py():
        raise InputError(
            f"column {column.name} holds a number that is infinite or has more than {before} digits before the point"
        )
    return pc.cast(texts, column.target)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """The type in which a column of a database other than PostgreSQL is kept: without extensions, dictionaries and great decimals."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_decimal256(kind):
        return pa.decimal128(_DIGITS, min(kind.scale, _SCALE))
    return kind


def can_tell_what_is_new(column: Column) -> bool:
    """Whether the values of a column grow in an order that everybody agrees on; words do not."""
    import pyarrow as pa

    kind = column.target
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
    ) and (not column.origin or column.origin in _POSTGRES_MARKS)


@contextmanager
def session(
    connection: Connection, environment: Mapping[str, str], *, batch_bytes: int | None = None
) -> Iterator[Session]:
    """Opens a read-only transaction on a database.

    Args:
        connection: which.
        environment: where its secrets are.
        batch_bytes: about how much a batch is to hold; None: as the driver has it.

    Raises:
        InputError: the address, the user or the password is wrong, or the driver is not installed.
        SourceError: the database is away.
    """
    uri, options = connection.expanded(environment)
    secrets = Secrets.of(connection, environment)
    kind: type[Session]
    match connection.kind:
        case "postgresql":
            opened, kind = _open_postgres(uri, options, connection, secrets), _Postgres
        case "snowflake":
            opened, kind = _open_other("adbc_driver_snowflake", uri, options, connection, secrets), Session
        case "bigquery":
            opened, kind = _open_other("adbc_driver_bigquery", uri, options, connection, secrets), _BigQuery
        case _:
            raise InputError(f"connection {connection.name} is of kind {connection.kind}, which is no database")
    try:
        yield kind(opened, connection, secrets, batch_bytes)
    finally:
        opened.close()


class _BigQuery(Session):
    quote = staticmethod(lambda name: "`" + name.replace("`", "\\`") + "`")


def _open_postgres(uri: str, options: Mapping[str, str], connection: Connection, secrets: Secrets) -> Any:
    driver = _driver("adbc_driver_postgresql", connection)
    address = _postgres_address(uri, options)
    if not is_postgres_url(address):
        # libpq's own words are not repeated: they quote the part it stumbled over, often the password.
        raise InputError(f"the address of connection {connection.name} cannot be read; {HOW_TO_WRITE_ONE}")
    error: BaseException
    try:
        return driver.connect(address)
    except importlib.import_module("adbc_driver_manager").Error as caught:
        error = caught
    raise _postgres_error(error, connection, secrets, connecting=True) from None


def _postgres_address(uri: str, options: Mapping[str, str]) -> str:
    uri = uri or "postgresql://"
    given = dict(parse_qsl(uri.partition("?")[2], keep_blank_values=True))
    more = {**_POSTGRES_DEFAULTS, **options}
    added = "&".join(f"{name}={quote(value, safe='')}" for name, value in more.items() if name not in given)
    return uri + ("&" if "?" in uri else "?") + added


def _open_other(module: str, uri: str, options: Mapping[str, str], connection: Connection, secrets: Secrets) -> Any:
    driver = _driver(module, connection)
    error: BaseException
    try:
        return driver.connect(uri or None, db_kwargs=dict(options)) if uri else driver.connect(db_kwargs=dict(options))
    except importlib.import_module("adbc_driver_manager").Error as caught:
        error = caught
    raise InputError(
        f"connection {connection.name} cannot be opened: {secrets.hidden(_first_words(str(error)))}"
    ) from None


def _driver(module: str, connection: Connection) -> Any:
    try:
        return importlib.import_module(f"{module}.dbapi")
    except ImportError:
        extra = connection.kind
        what = "churn-pipeline" if extra == "postgresql" else f"'churn-pipeline[{extra}]'"
        raise InputError(
            f"connection {connection.name} needs the driver for {extra}, which is not installed: pip install {what}"
        ) from None


def where(connection: Connection, environment: Mapping[str, str]) -> str:
    """A connection for people: its name, and host, port and database where the address tells."""
    uri, _ = connection.expanded(environment)
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        return f"connection {connection.name}"
    if connection.kind != "postgresql" or not host:
        return f"connection {connection.name}"
    return f"connection {connection.name} ({host}:{port or 5432}{parts.path})"


# What libpq says when nobody answers, or answers that it is not the time. Its own words are English; a server's may not be.
_AWAY = re.compile(
    r"could not translate host name|connection refused|timeout expired|no route to host|network is unreachable|connection timed out|"
    r"closed the connection|connection reset|could not receive|could not send|no connection to the server|starting up|shutting down|"
    r"recovery|too many (clients|connections)|connection slots|could not connect|terminating connection|SSL SYSCALL",
    re.IGNORECASE,
)


def _postgres_error(
    error: BaseException, connection: Connection, secrets: Secrets, *, connecting: bool = False
) -> InputError | SourceError:
    """What went wrong in PostgreSQL, by its code where there is one: its words may be in any language."""
    state = str(getattr(error, "sqlstate", None) or "")
    text = _first_words(str(error))
    said = secrets.hidden(text)
    who = f"connection {connection.name}"
    if connecting or not state:
        if "could not translate host name" in text:
            host = re.search(r'host name "([^"]*)"', said)
            return SourceError(
                f"{who}: there is no host {host[1] if host else ''}; a typing error in its address, or the network is away"
            )
        if re.search(r"password authentication failed|no password supplied|authentication failed", text):
            return InputError(f"{who}: the server refuses the user or the password")
    if state == "57014" or "statement timeout" in text:
        return InputError(
            f"{who}: the query took longer than the statement timeout ({STATEMENT_TIMEOUT} unless the address sets another); ask for "
            "less, fetch by what is new (incremental_by), or give the table an index"
        )
    if state == "42501":
        return InputError(f"{who}: {said}; the user of the connection needs SELECT on it")
    if state == "25006":
        return InputError(f"{who}: {said}; a query may only read")
    if state[:2] == "22" or not (state or connecting):
        # Messages of this class quote the value they are about, and without a code it may be one.
        said = re.sub(r'"[^"]*"', '"…"', said)
    if state[:2] == "22":
        return InputError(f"{who}: {said}")
    if state[:2] in ("08", "40", "53", "55", "57", "58", "XX") or _AWAY.search(text):
        return SourceError(f"{who}: the database is away or failed on the way: {said}")
    if state or connecting:
        return InputError(f"{who}: the database refuses: {said}")
    return SourceError(f"{who}: the database failed on the way: {said}")


def _first_words(text: str) -> str:
    """The first sentence of a driver's message: what follows is a hint, the query, or a place in it."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = re.sub(r"^[A-Z_]+: ", "", line)
    line = re.sub(r"^(\[libpq\] )?(Failed to [a-z]+( query)?( '.*')?: ?|Execution error \[\w+\]: ?)", "", line)
    line = re.sub(r"^could not begin COPY: ", "", line)
    return re.sub(r"^(.*(?:failed|COPY): )?(ERROR|FATAL): +", r"\1", line)
