"""Files of a table read as a landing reads them, without landing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from churn_pipeline.contract import TABLES
from churn_pipeline.contract.dialects import Scratch
from churn_pipeline.contract.files import RawFile
from churn_pipeline.contract.problems import Problem
from churn_pipeline.contract.recognition import Recognition
from churn_pipeline.contract.source import TableSource
from churn_pipeline.contract.statements import macros, parsed_sql
from tests.unit.contract.landing_helpers import NOW

CUSTOMER_COLUMNS = ("customer_id", "signup_date", "mrr", "churn_date")


@dataclass(frozen=True)
class Read:
    """What was read: the values by file and row, what was said of the files, and what is wrong with them."""

    rows: list[tuple[Any, ...]]
    notices: list[str]
    problems: list[Problem]


@contextmanager
def _connection(timezone: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute("set TimeZone = 'UTC'")
        for name, body in macros(timezone, NOW).items():
            con.execute(f"create temp macro {name} as {body}")
        yield con


def raw_file(path: Path, raw: Path) -> RawFile:
    return RawFile(path, path.relative_to(raw).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)


def read(
    raw: Path,
    contents: Mapping[str, bytes],
    columns: Sequence[str] = CUSTOMER_COLUMNS,
    table: str = "customers",
    source: TableSource | None = None,
    timezone: str = "UTC",
) -> Read:
    """Reads files of a table by name and content; the rows come in the order of the names."""
    files = []
    for name, content in contents.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(content)
        files.append(raw_file(raw / name, raw))
    with _connection(timezone) as con, Scratch() as scratch:
        recognition = Recognition(con, timezone, {table: source} if source else {}, scratch)
        problems = recognition.recognise(TABLES[table], files, files, {})
        if problems:
            return Read([], [], problems)
        rows: list[tuple[Any, ...]] = []
        wanted = ", ".join(f'"{column}"' for column in columns)
        for file in sorted(files, key=lambda file: file.name):
            layout = recognition.layout(TABLES[table], file)
            rows += con.execute(f"select {wanted} from ({parsed_sql(TABLES[table], layout, [file])})").fetchall()
        return Read(rows, recognition.notices(), [])


def customers(*rows: tuple[str, ...], delimiter: str = ",", header: str = "", quote: str = "") -> bytes:
    """A customers file in which each row gives customer_id, signup_date, mrr and churn_date as they are written."""
    names = ["customer_id", "industry", "plan_tier", "signup_date", "mrr", "churn_date"]
    lines = [header] if header else []
    for cells in (tuple(names), *((row[0], "Mining", "growth", *row[1:]) for row in rows)):
        lines.append(delimiter.join(f"{quote}{cell}{quote}" for cell in cells))
    return ("\n".join(lines) + "\n").encode()


PLAIN_ROW = ("C1", date(2024, 1, 31), 1130.5, None)
