"""What the tests of the simulator share besides fixtures."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import duckdb

from churn_pipeline.simulate import Company, Simulation

UNTIL = date(2026, 11, 2)
SMALL = Simulation(until=UNTIL, customers=1_200, weeks=40, seed=3)
# Another family, with plan changes and with subscriptions.
TERMS = replace(SMALL, family="terms", seed=4)
BILLED = replace(SMALL, family="terms", seed=5)
SHOCK_WEEKS = 6


def database(company: Company) -> duckdb.DuckDBPyConnection:
    """The raw tables and the oracle as views."""
    con = duckdb.connect()
    con.execute("set threads = 2")
    for name, table in (company.tables | {"oracle": company.oracle}).items():
        con.register(name, table)
    return con
