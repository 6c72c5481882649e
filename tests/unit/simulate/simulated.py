"""What the tests of the simulator share besides fixtures."""

from __future__ import annotations

from datetime import date

import duckdb

from churn_pipeline.simulate import Company, Simulation

UNTIL = date(2026, 11, 2)
SMALL = Simulation(until=UNTIL, customers=1_200, weeks=40, seed=3)
SHOCK_WEEKS = 6


def database(company: Company) -> duckdb.DuckDBPyConnection:
    """The raw tables and the oracle as views."""
    con = duckdb.connect()
    con.execute("set threads = 2")
    for name, table in (company.tables | {"oracle": company.oracle}).items():
        con.register(name, table)
    return con
