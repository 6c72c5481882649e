"""Taking customers out of files that are no database: tables in Parquet and CSV, messages, judgements, pages, other text.

Each function returns how much of the customers it found, and with ``write`` takes it out. A file is replaced in one step, so it is
never half of one and half of the other.
"""

from __future__ import annotations

import base64
import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import duckdb

from churn_pipeline.core.atomic import commit_file, replace_bytes, temp_path
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.sql import literal, quoted
from churn_pipeline.privacy.matching import Traces
from churn_pipeline.sources.copies import NOTE, Copy

# Characters with which a spreadsheet would take a cell for a formula; what is written for spreadsheets has an apostrophe before them.
_GUARD = "'"
# Columns of a written list by which a row is a customer's.
_ID_COLUMNS = ("customer_id", "record id", "whatid")
# Base64 of the two bytes that every gzip begins with, of its method, and of a flag byte of zero.
_PACKED = re.compile(r"H4sIA[A-Za-z0-9+/]{20,}={0,2}")
# The parts of a message that are words.
_TEXT_PARTS = ("text", "blocks", "title", "reason")


def parquet(path: Path, traces: Traces, write: bool) -> int:
    """Rows of a Parquet file with a customer_id."""
    ids = list(traces.customer_ids)
    source = f"read_parquet({literal(_unglobbed(path))}, hive_partitioning = false)"
    with duckdb.connect() as con:
        columns = [name for name, *_ in con.execute(f"describe select * from {source}").fetchall()]
        if "customer_id" not in columns:
            return 0
        rows = _count(con, f"{source} where customer_id in (select unnest(?::varchar[]))", ids)
        if rows and write:
            temporary = temp_path(path)
            # Row groups are written in the order in which they were read: the file stays sorted as it was.
            con.execute(
                f"copy (select * from {source} where customer_id is null or not list_contains({_list(ids)}, customer_id)) "
                f"to {literal(str(temporary))} (format parquet, compression zstd)"
            )
            commit_file(temporary, path)
    return rows


def csv_rows(path: Path, traces: Traces, write: bool) -> int:
    """Rows of a CSV file with a customer_id; the other lines stay as they are, to the byte."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    wanted = traces.customer_ids | {_GUARD + customer_id for customer_id in traces.customer_ids}
    kept: list[str] = []
    position: int | None = None
    rows = 0
    for number, (line, cells) in enumerate(_records(text)):
        if number == 0:
            header = [cell.strip().lower() for cell in cells]
            header[:1] = [cell.lstrip("\ufeff") for cell in header[:1]]
            position = next((header.index(name) for name in _ID_COLUMNS if name in header), None)
        elif _is_theirs(cells, position, wanted, traces):
            rows += 1
            continue
        kept.append(line)
    if rows and write:
        replace_bytes(path, "".join(kept).encode("utf-8", "surrogateescape"))
    return rows


def _is_theirs(cells: list[str], position: int | None, wanted: frozenset[str], traces: Traces) -> bool:
    if position is None:
        return any(cell.strip() in wanted or cell in traces.names for cell in cells)
    return len(cells) > position and cells[position].strip() in wanted


def _records(text: str) -> Iterator[tuple[str, list[str]]]:
    """Every record of a CSV with its text: a quoted cell may hold line breaks."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in text.splitlines(keepends=True) if "\r" in text and "\n" not in text else _lines(text):
            taken.append(line)
            yield line

    for cells in csv.reader(lines()):
        yield "".join(taken), cells
        taken.clear()


def _lines(text: str) -> Iterator[str]:
    # Not str.splitlines: it also splits at characters that are ordinary in a cell.
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def message(path: Path, traces: Traces, write: bool) -> tuple[int, dict[str, Any]]:
    """A message of the outbox: lines of lists that name a customer go, elsewhere the mention goes.

    Returns:
        1 where the message named one of them, and the message as it was.
    """
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return other_text(path, traces, write), {}
    if not isinstance(before, dict):
        return other_text(path, traces, write), {}
    # Not its key nor its cause, by which the outbox knows what was said already.
    texts = {part: before[part] for part in _TEXT_PARTS if part in before}
    erased = traces.erase_json(texts)
    if erased == texts:
        return 0, before
    after = before | _without_empty(erased)
    if write:
        replace_bytes(path, json_text(after, indent=1, ascii_only=False).encode())
    return 1, before


def _without_empty(value: Any) -> Any:
    """Without lists and blocks that lost all they had: Slack refuses a message with an empty element."""
    match value:
        case list():
            cleaned = [_without_empty(element) for element in value]
            return [
                element
                for element in cleaned
                if not (isinstance(element, dict) and "type" in element and element.get("elements") == [])
            ]
        case dict():
            return {key: _without_empty(element) for key, element in value.items()}
    return value


def json_file(path: Path, traces: Traces, write: bool) -> int:
    """A JSON file: rows of samples that are a customer's go, elsewhere the mention goes. 1 where there were any."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return other_text(path, traces, write)
    after = traces.erase_json(before)
    if after == before:
        return 0
    if write:
        replace_bytes(path, json_text(after).encode())
    return 1


def json_lines(path: Path, traces: Traces, write: bool) -> int:
    """Lines of a file of JSON lines that are a customer's, by their ``customer_id``; in the others a mention goes. How many lines it was."""
    count = 0
    kept = []
    for line in path.read_bytes().decode("utf-8", "surrogateescape").split("\n"):
        try:
            before = json.loads(line)
        except ValueError:
            # Half a line, which a kill left, is of use to nobody.
            if line and (traces.in_page(line) or any(customer_id in line for customer_id in traces.customer_ids)):
                count += 1
            else:
                kept.append(line)
            continue
        if isinstance(before, dict) and before.get("customer_id") in traces.customer_ids:
            count += 1
            continue
        after = traces.erase_json(before) if traces.telling else before
        if after != before:
            count += 1
            line = json_text(after, compact=True)
        kept.append(line)
    if count and write:
        replace_bytes(path, "\n".join(kept).encode("utf-8", "surrogateescape"), mode=0o600)
    return count


def page(path: Path, traces: Traces, write: bool) -> int:
    """A page made from data: one that names a customer is removed, because figures and plots in it know the customer too."""
    text = path.read_bytes().decode("utf-8", "replace")
    if not traces.in_page(text) and not any(traces.in_text(packed) for packed in unpacked(text)):
        return 0
    if write:
        path.unlink()
    return 1


def unpacked(text: str) -> Iterator[str]:
    """What a page carries as gzip in base64, as the weekly report carries its list."""
    for match in _PACKED.finditer(text):
        try:
            yield gzip.decompress(base64.b64decode(match[0])).decode("utf-8", "replace")
        except (ValueError, OSError, EOFError, zlib.error):
            # Something else that begins alike.
            continue


def other_text(path: Path, traces: Traces, write: bool) -> int:
    """Any other text: 1 where it names one of them; the mention goes. An id that is an ordinary word names nobody here."""
    if not traces.telling:
        return 0
    before = path.read_bytes().decode("utf-8", "surrogateescape")
    if not traces.in_text(before):
        return 0
    if write:
        replace_bytes(path, traces.erase(before).encode("utf-8", "surrogateescape"))
    return 1


def holds(path: Path, traces: Traces) -> bool:
    """Whether the bytes of a file hold an id or a name, wherever they stand; for files that nothing here can read."""
    with path.open("rb") as stream:
        return _holds(stream, traces)


def _holds(stream: IO[bytes] | gzip.GzipFile, traces: Traces) -> bool:
    overlap = max(map(len, traces.bytes_forms), default=1) - 1
    tail = b""
    while chunk := stream.read(1 << 22):
        window = tail + chunk
        if any(form in window for form in traces.bytes_forms):
            return True
        tail = window[-overlap:] if overlap else b""
    return False


def fetched_copy(copy: Copy, traces: Traces, write: bool) -> int:
    """The copy of a table that was fetched: rows of a query's result go, and of objects, which stay as they came, every copy goes, to be
    fetched again. Rows, or objects that hold one of them as far as can be seen: inside of zstd it cannot."""
    if write:
        # What a killed process left counts too.
        copy.begin()
    if copy.note.parts and copy.note.customer:
        return copy.erase(traces.customer_ids) if write else copy.rows_of(traces.customer_ids)
    there = [path for path in sorted(copy.folder.rglob("*")) if path.is_file() and path.name != NOTE]
    count = sum(_is_in(path, traces) for path in there)
    if write:
        copy.remove()
    return count


def _is_in(path: Path, traces: Traces) -> bool:
    """Whether a file of any form holds one of the customers in a cell, or their bytes anywhere."""
    if path.suffix.lower() == ".parquet":
        ids = list(traces.customer_ids)
        source = f"read_parquet({literal(_unglobbed(path))}, hive_partitioning = false)"
        with duckdb.connect() as con:
            columns = [name for name, *_ in con.execute(f"describe select * from {source}").fetchall()]
            cells = " or ".join(f"list_contains(getvariable('ids'), trim({quoted(name)}::varchar))" for name in columns)
            con.execute("set variable ids = ?::varchar[]", [ids])
            return _count(con, f"(select * from {source} where {cells} limit 1)") > 0
    if not traces.telling:
        return False
    if path.suffix.lower() == ".gz":
        with gzip.open(path) as stream:
            return _holds(stream, traces)
    return holds(path, traces)


def _unglobbed(path: Path) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in str(path))


def _list(ids: list[str]) -> str:
    return f"[{', '.join(map(literal, ids))}]"


def _count(con: duckdb.DuckDBPyConnection, relation: str, *parameters: list[str]) -> int:
    return int(con.execute(f"select count(*) from {relation}", list(parameters) or None).fetchall()[0][0])
