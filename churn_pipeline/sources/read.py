"""Reading ``sources.yml``: everything that is wrong with it is found at once, each with its line."""

from __future__ import annotations

import codecs
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from churn_pipeline.contract import expressions
from churn_pipeline.contract.declaration import RANGES, TABLES, Column, Kind, TableContract
from churn_pipeline.contract.problems import Problem, UnusableError
from churn_pipeline.contract.source import ColumnSource, TableSource
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import Settings
from churn_pipeline.sources import document, schema
from churn_pipeline.sources.declared import (
    CONNECTION_KINDS,
    DATABASES,
    OBJECT_STORES,
    REFERENCE,
    Connection,
    RemoteSource,
    Sources,
)
from churn_pipeline.sources.document import Entries, Node, Word, Words

CONNECTIONS = "connections"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# A password in an address, between the user's name and the host.
_PASSWORD = re.compile(r"://[^/@:]*:([^/@]*)@")
_SECRET_OPTION = re.compile(
    r"(?i)pass(word|wd|phrase)?|secret|token|credential|private|(access|account|api)_?key|^key$"
)
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
# No file has this column: it is null in every row.
NOWHERE = ColumnSource(expression="NULL")


def sources_of(settings: Settings) -> Sources:
    """What the home says of its raw tables; nothing where it has no ``sources.yml``.

    Raises:
        UnusableError: the file is wrong; everything that is wrong with it.
        InputError: it cannot be read, or the one that CHURN_SOURCES names is not there.
    """
    path = settings.sources_file
    if not path.is_file():
        if settings.sources is not None:
            raise InputError(f"{path}: there is no such file; CHURN_SOURCES names it")
        return Sources()
    return read_sources(path)


def read_sources(path: Path) -> Sources:
    """Reads a ``sources.yml``.

    Raises:
        UnusableError: everything that is wrong with it.
        InputError: it cannot be read at all.
    """
    return parse_sources(_text(path), path)


def parse_sources(text: str, path: Path) -> Sources:
    """Reads the text of a ``sources.yml`` that lies, or will lie, at ``path``.

    Raises:
        UnusableError: everything that is wrong with it.
    """
    reader = _Reader(path.name)
    sources = reader.sources(reader.root(text), path)
    reader.finish()
    return sources


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: the file is not in UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class Export:
    """One kind of file that a known product exports, out of a preset.

    Attributes:
        preset: name of the preset; document: where the product describes the export.
        recognised_by: columns that such a file has.
        source: what a table made of it says; its ``files`` is empty.
        also_called: by contract column, other names of its column.
        doubts: by contract column, what to look at.
    """

    preset: str
    document: str
    recognised_by: tuple[str, ...]
    source: TableSource
    also_called: Mapping[str, tuple[str, ...]]
    doubts: Mapping[str, str]


def read_preset(path: Path) -> tuple[Export, ...]:
    """Reads a preset, which is a sources.yml of exports.

    Raises:
        UnusableError: everything that is wrong with it.
    """
    reader = _Reader(path.name, is_preset=True)
    exports = reader.exports(reader.root(_text(path)), path.stem)
    reader.finish()
    return exports


@dataclass
class _Reader:
    """Walks over the nodes and notes what is wrong."""

    name: str
    is_preset: bool = False
    problems: list[Problem] = field(default_factory=list)

    def root(self, text: str) -> Entries | None:
        parsed = document.parse(text)
        for line, character, what in parsed.faults:
            self._note(line, character, "", what)
        if parsed.root is None:
            if not parsed.faults:
                self._note(1, 1, "", "the file says nothing", "name a table, or remove the file")
            return None
        return self._entries(parsed.root, "")

    def finish(self) -> None:
        if self.problems:
            raise UnusableError(sorted(self.problems, key=lambda problem: problem.line or 0))

    def sources(self, root: Entries | None, path: Path) -> Sources:
        if root is None:
            return Sources()
        connections: dict[str, Connection] = {}
        for key, node in root.pairs:
            if key.text == CONNECTIONS:
                connections = self._connections(node)
        tables: dict[str, TableSource] = {}
        remote: dict[str, RemoteSource] = {}
        for key, node in root.pairs:
            if key.text == CONNECTIONS:
                continue
            table = self._known(key, "", TABLES, "table")
            if table is None:
                continue
            if isinstance(node, Word) and not node.is_null:
                node = Entries(node.line, node.character, ((Word(node.line, node.character, "files"), node),))
            entries = self._entries(node, key.text)
            if entries is None:
                continue
            fields = self._fields(entries, key.text, schema.TABLE_KEYS)
            tables[key.text] = self._table(table, fields)
            fetched = self._remote(table, key, fields, connections)
            if fetched is not None:
                remote[key.text] = fetched
        return Sources(path, MappingProxyType(tables), MappingProxyType(remote), MappingProxyType(connections))

    def exports(self, root: Entries | None, preset: str) -> tuple[Export, ...]:
        exports = []
        for key, node in root.pairs if root else ():
            table = self._known(key, "", TABLES, "table")
            entries = self._entries(node, key.text)
            if table is None or entries is None:
                continue
            fields = self._fields(entries, key.text, {**schema.TABLE_KEYS, **schema.PRESET_KEYS})
            doubts, also_called = (
                self._entries(fields[name][1], f"{key.text}.{name}") if name in fields else None
                for name in ("doubts", "also_called")
            )
            recognised_by = self._list(fields.get("recognised_by"), f"{key.text}.recognised_by")
            if not recognised_by:
                self._note(key.line, key.character, key.text, "recognised_by is missing")
            exports.append(
                Export(
                    preset,
                    self._text(fields.get("document"), f"{key.text}.document"),
                    recognised_by,
                    self._table(table, fields),
                    MappingProxyType(
                        {
                            entry[0].text: self._list(entry, f"{key.text}.also_called.{entry[0].text}")
                            for entry in (also_called.pairs if also_called else ())
                        }
                    ),
                    MappingProxyType(self._texts(doubts, f"{key.text}.doubts")),
                )
            )
        return tuple(exports)

    # What every part is made of.

    def _note(self, line: int, character: int, path: str, what: str, remedy: str = "") -> None:
        place = f"{path} (character {character})" if path else f"at character {character}"
        table = path.split(".")[0]
        self.problems.append(
            Problem(table if table in TABLES else "", f"{place}: {what}", remedy, file=self.name, line=line)
        )

    def _note_at(self, node: Node, path: str, what: str, remedy: str = "") -> None:
        self._note(node.line, node.character, path, what, remedy)

    def _entries(self, node: Node, path: str) -> Entries | None:
        if isinstance(node, Entries):
            if not node.pairs:
                self._note_at(node, path, "nothing is said here", "say something, or remove the line")
            return node
        nothing = isinstance(node, Word) and (node.is_null or node.is_empty)
        what = "nothing is said here" if nothing else "names with values (`name: value`) have to stand here"
        self._note_at(node, path, what, "say something, or remove the line" if nothing else "")
        return None

    def _known[Value](self, key: Word, path: str, known: Mapping[str, Value], noun: str) -> Value | None:
        if key.text in known:
            return known[key.text]
        self._note_at(key, path, f"'{key.text}' is no {noun}", _nearest(key.text, known))
        return None

    def _fields(self, entries: Entries, path: str, known: Mapping[str, str]) -> dict[str, tuple[Word, Node]]:
        return {
            key.text: (key, value)
            for key, value in entries.pairs
            if self._known(key, path, known, "key that is known here") is not None
        }

    def _text(self, entry: tuple[Word, Node] | None, path: str) -> str:
        """The word that stands there, else an empty one."""
        if entry is None:
            return ""
        _, node = entry
        if not isinstance(node, Word):
            self._note_at(node, path, "a single word has to stand here")
            return ""
        if node.is_null or not node.text.strip():
            self._note_at(node, path, "nothing is said here", "say something, or remove the line")
            return ""
        if REFERENCE.search(node.text) and not path.startswith(CONNECTIONS):
            self._note_at(
                node,
                path,
                "${...} refers to the environment, and only connections may do so",
                f"move what is secret to a connection under '{CONNECTIONS}'",
            )
        return node.text

    def _list(self, entry: tuple[Word, Node] | None, path: str) -> tuple[str, ...]:
        if entry is None:
            return ()
        key, node = entry
        nodes = node.items if isinstance(node, Words) else (node,)
        return tuple(self._text((key, item), path) for item in nodes)

    def _texts(self, entries: Entries | None, path: str) -> dict[str, str]:
        if entries is None:
            return {}
        return {key.text: self._text((key, value), f"{path}.{key.text}") for key, value in entries.pairs}

    # Connections.

    def _connections(self, node: Node) -> dict[str, Connection]:
        entries = self._entries(node, CONNECTIONS)
        connections = {}
        for key, value in entries.pairs if entries else ():
            path = f"{CONNECTIONS}.{key.text}"
            parts = self._entries(value, path)
            if parts is None:
                continue
            fields = self._fields(parts, path, schema.CONNECTION_KEYS)
            kind = self._text(fields.get("kind"), f"{path}.kind")
            if "kind" not in fields:
                self._note_at(key, path, "kind is missing", f"it is one of {', '.join(CONNECTION_KINDS)}")
            elif kind and kind not in CONNECTION_KINDS:
                self._note_at(
                    fields["kind"][1], path, f"'{kind}' is no kind of connection", _nearest(kind, CONNECTION_KINDS)
                )
            uri = self._text(fields.get("uri"), f"{path}.uri")
            password = _PASSWORD.search(uri)
            if password and not REFERENCE.fullmatch(password[1]):
                self._note_secret(fields["uri"][1], f"{path}.uri")
            options = self._entries(fields["options"][1], f"{path}.options") if "options" in fields else None
            for option, option_value in options.pairs if options else ():
                if (
                    _SECRET_OPTION.search(option.text)
                    and isinstance(option_value, Word)
                    and not REFERENCE.search(option_value.text)
                ):
                    self._note_secret(option_value, f"{path}.options.{option.text}")
            if "uri" not in fields and "options" not in fields and kind in DATABASES:
                self._note_at(key, path, "neither uri nor options are given", "say where the database is")
            connections[key.text] = Connection(
                key.text, kind, uri, MappingProxyType(self._texts(options, f"{path}.options")), key.line
            )
        return connections

    def _note_secret(self, node: Node, path: str) -> None:
        self._note_at(
            node,
            path,
            "a secret stands here in plain words",
            "put it into an environment variable, write ${NAME} here, and change the secret if others have read this file",
        )

    def _remote(
        self,
        table: TableContract,
        key: Word,
        fields: Mapping[str, tuple[Word, Node]],
        connections: Mapping[str, Connection],
    ) -> RemoteSource | None:
        path = table.name
        files, query, name, incremental_by = (
            self._quiet_text(fields.get(field)) for field in ("files", "query", "connection", "incremental_by")
        )
        connection = connections.get(name)
        if "connection" in fields and name and connection is None:
            self._note_at(
                fields["connection"][1],
                f"{path}.connection",
                f"there is no connection '{name}'",
                _nearest(name, connections) or f"declare it under '{CONNECTIONS}'",
            )
        if "query" in fields:
            if "files" in fields:
                self._note_at(fields["files"][0], path, "files and a query are both given", "keep one of them")
            if "connection" not in fields:
                self._note_at(fields["query"][0], path, "a query needs a connection", f"name one of '{CONNECTIONS}'")
            elif connection is not None and connection.kind in CONNECTION_KINDS and connection.kind not in DATABASES:
                self._note_at(
                    fields["connection"][1], f"{path}.connection", f"{name} is of kind {connection.kind}, no database"
                )
            if ";" in query.rstrip().rstrip(";"):
                # A semicolon within a text is rare enough to ask for another spelling.
                self._note_at(fields["query"][1], f"{path}.query", "a query is a single statement, without a semicolon")
            return RemoteSource(
                path,
                connection.kind if connection else "",
                name,
                query=query.strip().rstrip(";"),
                incremental_by=incremental_by,
                line=key.line,
            )
        if "incremental_by" in fields:
            self._note_at(
                fields["incremental_by"][0],
                path,
                "incremental_by goes with a query; of files only new ones are read anyway",
                "remove the line",
            )
        scheme = _SCHEME.match(files)
        if scheme is None:
            if "connection" in fields:
                self._note_at(
                    fields["connection"][0],
                    path,
                    "a connection needs a query, or an address in files",
                    "add one, or remove the line",
                )
            return None
        kind = OBJECT_STORES.get(scheme[1].lower())
        if kind is None:
            known = ", ".join(f"{name}://" for name in OBJECT_STORES)
            self._note_at(
                fields["files"][1],
                f"{path}.files",
                f"{scheme[0]} is no object store that is known",
                f"known are {known}; files on this machine are written as a path",
            )
        elif connection is not None and connection.kind in CONNECTION_KINDS and connection.kind != kind:
            self._note_at(
                fields["connection"][1],
                f"{path}.connection",
                f"{name} is of kind {connection.kind}, and {scheme[0]} needs {kind}",
            )
        if _PASSWORD.search(files):
            self._note_secret(fields["files"][1], f"{path}.files")
        return RemoteSource(path, kind or "", name, uri=files, line=key.line)

    def _quiet_text(self, entry: tuple[Word, Node] | None) -> str:
        """The word that stands there; what is wrong with it was noted when the table was read."""
        return entry[1].text if entry is not None and isinstance(entry[1], Word) and not entry[1].is_null else ""

    # Tables.

    def _table(self, table: TableContract, fields: Mapping[str, tuple[Word, Node]]) -> TableSource:
        path = table.name
        texts = {
            key: self._text(fields.get(key), f"{path}.{key}")
            for key in ("files", "query", "connection", "incremental_by", "delimiter", "encoding", "decimal")
        }
        files = texts["files"]
        if _SCHEME.match(files):
            files = ""
        elif ".." in PurePosixPath(files).parts:
            self._note_at(
                fields["files"][1], f"{path}.files", "'..' leads out of the raw directory", "write the whole path"
            )
        elif files.startswith("~"):
            files = str(Path(files).expanduser())
        delimiter = schema.DELIMITERS.get(texts["delimiter"].lower(), texts["delimiter"])
        if (
            "delimiter" in fields
            and delimiter
            and (len(delimiter) != 1 or delimiter in "\"'\n\r" or delimiter.isalnum())
        ):
            self._note_at(
                fields["delimiter"][1],
                f"{path}.delimiter",
                f"'{delimiter}' is no delimiter",
                f"write one character, or {', '.join(schema.DELIMITERS)}",
            )
        if texts["encoding"] and not _is_text_encoding(texts["encoding"]):
            self._note_at(
                fields["encoding"][1],
                f"{path}.encoding",
                f"'{texts['encoding']}' is no encoding",
                "such as utf-8, utf-16 or windows-1252",
            )
        if texts["decimal"] and texts["decimal"] not in (",", "."):
            self._note_at(
                fields["decimal"][1], f"{path}.decimal", f"'{texts['decimal']}' is no decimal sign", "it is ',' or '.'"
            )
        elif texts["decimal"] and texts["decimal"] == delimiter:
            self._note_at(
                fields["decimal"][1],
                f"{path}.decimal",
                f"'{delimiter}' is the delimiter too",
                "it can be only one of them",
            )
        columns: dict[str, ColumnSource] = {}
        entries = self._entries(fields["columns"][1], f"{path}.columns") if "columns" in fields else None
        declared = {column.name: column for column in table.columns}
        for key, node in entries.pairs if entries else ():
            column = self._known(key, f"{path}.columns", declared, f"column of {path}")
            if column is not None:
                source = self._column(table, column, key, node)
                if source is not None:
                    columns[key.text] = source
        return TableSource(
            path,
            files,
            MappingProxyType(columns),
            self._list(fields.get("nulls"), f"{path}.nulls"),
            delimiter,
            texts["encoding"],
            texts["decimal"],
        )

    def _column(self, table: TableContract, column: Column, key: Word, node: Node) -> ColumnSource | None:
        path = f"{table.name}.{column.name}"
        if isinstance(node, Words):
            self._note_at(node, path, "a list has no place here", "name one column, or write an expression")
            return None
        if isinstance(node, Word):
            if node.is_null and not node.is_empty:
                return self._nowhere(column, node, path)
            text = self._text((key, node), path)
            return ColumnSource(column=text.strip()) if text else None
        entries = self._entries(node, path)
        fields = self._fields(entries, path, schema.COLUMN_KEYS) if entries else {}
        if not fields:
            return None
        origins = [name for name in schema.ORIGINS if name in fields]
        if len(origins) > 1:
            self._note_at(fields[origins[1]][0], path, f"{' and '.join(origins)} are given", "keep one of them")
            return None
        origin = origins[0] if origins else "column"
        value = fields.get(origin)
        if value is not None and isinstance(value[1], Word) and value[1].is_null and not value[1].is_empty:
            return self._nowhere(column, value[1], path)
        text = self._text(value, f"{path}.{origin}") if value else column.name
        if origin == "expression" and value and text:
            text = self._expression(text, value[1], f"{path}.expression")
        if origin == "constant" and value and text:
            self._constant(table, column, text, fields, path)
        source = ColumnSource(
            column=text.strip() if origin == "column" else "",
            expression=text if origin == "expression" else "",
            constant=text if origin == "constant" else None,
            format=self._format(column, fields.get("format"), f"{path}.format"),
            unit=self._unit(column, fields.get("unit"), f"{path}.unit"),
            words=self._words(column, fields.get("words"), f"{path}.words"),
        )
        return source if text else None

    def _nowhere(self, column: Column, node: Node, path: str) -> ColumnSource | None:
        if column.needed:
            self._note_at(node, path, "null says that there is no such column, and no row can be used without it")
            return None
        return NOWHERE

    def _expression(self, text: str, node: Node, path: str) -> str:
        try:
            return expressions.parse(text).sql
        except expressions.ExpressionError as error:
            self._note_at(node, path, f"the expression cannot be used: {error}")
            return ""

    def _constant(
        self, table: TableContract, column: Column, text: str, fields: Mapping[str, tuple[Word, Node]], path: str
    ) -> None:
        for name in ("format", "unit", "words"):
            if name in fields:
                self._note_at(
                    fields[name][0], path, f"a constant is written in the contract's own form, without {name}"
                )
        node = fields["constant"][1]
        if column.kind is Kind.TEXT and column.name in table.key:
            self._note_at(node, path, "every row would have the same key", "name the column that tells rows apart")
        fault = constant_fault(column, text.strip())
        if fault:
            self._note_at(node, f"{path}.constant", fault)

    def _format(self, column: Column, entry: tuple[Word, Node] | None, path: str) -> str:
        text = self._text(entry, path)
        if entry is None or not text:
            return ""
        if column.kind not in schema.DATED:
            self._note_at(entry[1], path, f"{column.name} is no date", "remove the format")
        elif text not in schema.EPOCHS and not _is_date_format(text):
            close = difflib.get_close_matches(text, schema.EPOCHS, 1)
            self._note_at(
                entry[1],
                path,
                f"'{text}' does not say year, month and day",
                f"did you mean {close[0]}?"
                if close
                else f"write a pattern such as %m/%d/%Y, or {' or '.join(schema.EPOCHS)}",
            )
        return text

    def _unit(self, column: Column, entry: tuple[Word, Node] | None, path: str) -> str:
        text = self._text(entry, path)
        if entry is None or not text:
            return ""
        units = schema.UNITS_OF.get(column.kind, ())
        if text not in units:
            remedy = _nearest(text, units) if units else "remove the unit"
            self._note_at(entry[1], path, f"'{text}' is no unit of {column.name} ({column.kind})", remedy)
        return text

    def _words(self, column: Column, entry: tuple[Word, Node] | None, path: str) -> Mapping[str, str]:
        entries = self._entries(entry[1], path) if entry else None
        if entry is None or entries is None:
            return MappingProxyType({})
        if column.kind not in schema.WORDED:
            self._note_at(entry[0], path, f"{column.name} is a {column.kind} and no word", "remove the words")
            return MappingProxyType({})
        words: dict[str, str] = {}
        first: dict[str, str] = {}
        for key, node in entries.pairs:
            text = self._text((key, node), f"{path}.{key.text}").strip()
            if not text:
                continue
            known = self._known_word(column, text)
            if known is None:
                self._note_at(
                    node,
                    path,
                    f"'{text}' is no word that {column.name} may have",
                    _nearest(text, column.categories or ("true", "false")),
                )
                continue
            plain = key.text.strip().casefold()
            if first.setdefault(plain, known) != known:
                self._note_at(key, path, f"'{key.text}' means {first[plain]} already; words are taken in any case")
            words[key.text.strip()] = known
        return MappingProxyType(words)

    def _known_word(self, column: Column, text: str) -> str | None:
        if column.kind is Kind.TEXT:
            return text
        plain = text.lower()
        if column.kind is Kind.FLAG:
            return "true" if plain in _TRUE else "false" if plain in _FALSE else None
        return plain if plain in column.categories else None


def _nearest(text: str, known: Iterable[str]) -> str:
    """The remedy for a word that is not known: the nearest one, or all of them where none is near."""
    names = tuple(known)
    close = difflib.get_close_matches(text.strip().lower(), names, 1, 0.75)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(names)}" if names else ""


def _is_text_encoding(name: str) -> bool:
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return bool(getattr(info, "_is_text_encoding", True)) and info.name not in ("idna", "punycode", "undefined")


def _is_date_format(pattern: str) -> bool:
    """Whether a date written by the pattern is read back as the same date."""
    import duckdb

    days = [date(2003, 2, 1), date(1999, 12, 31)]
    try:
        with duckdb.connect(config={"enable_external_access": False}) as con:
            con.execute("set TimeZone = 'UTC'")
            for day in days:
                row = con.execute(
                    "select strptime(strftime(?::TIMESTAMP, ?), ?)::TIMESTAMP::DATE", [day, pattern, pattern]
                ).fetchone()
                if row is None or row[0] != day:
                    return False
    except duckdb.Error:
        return False
    return True


def constant_fault(column: Column, text: str) -> str:
    """Why ``text`` is no value of ``column``, as a clause; empty where it is one."""
    checks: Mapping[Kind, Callable[[str], bool]] = {
        Kind.CATEGORY: lambda word: word.lower() in column.categories,
        Kind.FLAG: lambda word: word.lower() in (*_TRUE, *_FALSE),
        Kind.DATE: _is_iso_date,
        Kind.INSTANT: _is_iso_date,
    }
    if column.kind in RANGES:
        low, high = RANGES[column.kind]
        if re.fullmatch(r"[+-]?\d+(\.\d+)?", text) and low <= float(text) <= high:
            return ""
        return f"'{text}' is no number from {low:,} to {high:,}"
    if column.kind in checks and not checks[column.kind](text):
        wanted = ", ".join(column.categories) if column.categories else column.kind
        return f"'{text}' is not what {column.name} may be ({wanted})"
    return ""


def _is_iso_date(text: str) -> bool:
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return bool(re.match(r"[1-9]\d{3}-\d\d-\d\d", text))
