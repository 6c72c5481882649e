"""What was built from the facts of others stays current when somebody is erased."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb

from churn_pipeline.contract import value_ledger
from churn_pipeline.privacy import databases, erase
from churn_pipeline.privacy.matching import Traces
from tests.unit.contract.landing_helpers import NOW, company, put, row, write

_DIGESTS = "from landing.fact_digests where source = 'value_ledger' order by all"


def test_the_changes_of_price_of_an_erased_customer_leave_the_ledger_and_its_digests(tmp_path: Path) -> None:
    path, raw = tmp_path / "warehouse.duckdb", tmp_path / "raw"
    raw.mkdir()
    company(raw)
    with duckdb.connect(str(path)) as con:
        for week, price in enumerate(("10", "20", "30")):
            stays = row("customers", mrr=price if week < 2 else "20")
            write(raw, "customers", [stays, row("customers", customer_id="GONE", mrr=price)])
            put(con, raw, now=NOW + week * timedelta(days=7))
        assert [rows for _, _, rows, _ in con.execute(_DIGESTS).fetchall()] == [2, 1]
    traces = Traces({"GONE"}, set())
    databases.rewrite(path, traces, lambda con, old: erase._keep_fingerprints(con, old, traces))
    with duckdb.connect(str(path)) as con:
        assert con.execute("select distinct customer_id from landing.value_ledger order by 1").fetchall() == [
            ("C1",),
            (None,),
        ]
        kept = con.execute(_DIGESTS).fetchall()
        assert [rows for _, _, rows, _ in kept] == [1]
        value_ledger.replace_digests(con)
        assert con.execute(_DIGESTS).fetchall() == kept
