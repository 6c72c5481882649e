from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.unit.contract.landing_helpers import ROWS, company, put, row

MONDAY = date(2024, 6, 10)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as connection:
        yield connection


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    directory = tmp_path / "raw"
    directory.mkdir()
    return directory


def tickets(weeks: int = 15, a_week: int = 40, until: date = MONDAY, **changes: Any) -> list[dict[str, Any]]:
    """Tickets of the weeks before a Monday, spread over their days."""
    rows = []
    for number in range(weeks * a_week):
        week, position = divmod(number, a_week)
        day = until - timedelta(days=7 * (week + 1)) + timedelta(days=position % 7)
        rows.append(row("support_tickets", ticket_id=f"T{number}", created_date=f"{day}T10:00:00", **changes))
    return rows


@pytest.fixture(scope="session")
def landed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with thirty customers with a name and a row or more in every other table, landed. Nobody writes in it."""
    folder = tmp_path_factory.mktemp("landed")
    (folder / "raw").mkdir()
    customers = [row("customers", customer_id=f"C{n}", company_name=f"Secretive Holding {n}") for n in range(1, 31)]
    others = {name: [values] for name, values in ROWS.items() if name != "customers"}
    with duckdb.connect(str(folder / "warehouse.duckdb"), config={"threads": 2}) as con:
        put(con, company(folder / "raw", customers=customers, **{**others, "support_tickets": tickets()}))
    return folder / "warehouse.duckdb"


@pytest.fixture
def landed(landed_once: Path, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of it for one test."""
    copied = shutil.copy(landed_once, tmp_path / "landed.duckdb")
    with duckdb.connect(str(copied), config={"threads": 2}) as con:
        yield con
