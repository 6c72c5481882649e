"""Landing again: only what is new is read, the result is that of landing from scratch, and an error leaves the old one."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn_pipeline.contract import TABLES, fingerprint, landing
from churn_pipeline.contract.book_ledger import Acceptance
from churn_pipeline.core.errors import InputError
from tests.unit.contract.landing_helpers import NOW, USUAL, company, everything, landed, put, quarantined, row, write


def _how(con: duckdb.DuckDBPyConnection, raw: Path, **changes: Any) -> dict[str, str]:
    """What the next landing does, by table, where it does anything."""
    report = put(con, raw, **changes)
    return {name: table.how for name, table in report.tables.items() if not table.unchanged}


def _scratch(raw: Path, **changes: Any) -> dict[str, list[tuple[Any, ...]]]:
    with duckdb.connect() as con:
        put(con, raw, **changes)
        return everything(con)


def _parts(raw: Path, *names: str) -> None:
    """A company whose events are parts named so, one event in each, of customer C1."""
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    for name in names:
        write(raw, "usage_events", [row("usage_events", event_id=name)], f"usage_events/{name}.csv")


# --- only what is new


def test_nothing_is_read_where_nothing_changed(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[row("usage_events")], plan_changes=[row("plan_changes")])
    put(con, raw)
    before = everything(con)
    report = put(con, raw, now=NOW + timedelta(days=7))
    assert all(table.unchanged and table.files_read == 0 for table in report.tables.values())
    assert report.changed_from is None
    assert report.tables["usage_events"].rows_total == 1
    assert everything(con) == before


def test_a_file_that_was_only_touched_or_moved_elsewhere_is_unchanged(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw)
    put(con, raw)
    os.utime(raw / "customers.csv", ns=(1, 1))
    assert _how(con, raw) == {}
    elsewhere = raw.rename(raw.with_name("elsewhere"))
    assert _how(con, elsewhere) == {}


def test_a_small_file_rewritten_with_equal_size_and_time_is_noticed(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    put(con, raw)
    path = raw / "customers.csv"
    times = path.stat()
    path.write_text(path.read_text().replace("99.90", "11.10"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert _how(con, raw) == {"customers": "whole"}
    assert landed(con, "customers", "mrr_cents") == [(1110,)]


def test_a_large_file_is_compared_by_content_when_its_time_changed(
    con: duckdb.DuckDBPyConnection, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "ALWAYS_DIGESTED_BYTES", 0)
    company(raw)
    put(con, raw)
    path = raw / "customers.csv"
    os.utime(path, ns=(1, 1))
    assert _how(con, raw) == {}
    path.write_text(path.read_text().replace("99.90", "11.10"))
    assert _how(con, raw) == {"customers": "whole"}


def test_only_new_parts_are_read(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    _parts(raw, "E1", "E2")
    put(con, raw)
    write(raw, "usage_events", [row("usage_events", event_id="E3")], "usage_events/E3.csv")
    report = put(con, raw).tables["usage_events"]
    assert (report.how, report.files_read, report.rows_read, report.rows_landed, report.rows_total) == (
        "appended",
        1,
        1,
        1,
        3,
    )
    assert everything(con) == _scratch(raw)


@pytest.mark.parametrize("change", ["rewritten", "vanished", "renamed"])
def test_a_changed_or_vanished_part_lands_the_table_again(
    con: duckdb.DuckDBPyConnection, raw: Path, change: str
) -> None:
    _parts(raw, "E1", "E2")
    put(con, raw)
    path = raw / "usage_events/E1.csv"
    if change == "rewritten":
        write(raw, "usage_events", [row("usage_events", event_id="E9")], "usage_events/E1.csv")
    elif change == "vanished":
        path.unlink()
    else:
        path.rename(raw / "usage_events/other.csv")
    assert _how(con, raw) == {"usage_events": "whole"}
    assert everything(con) == _scratch(raw)


def test_an_optional_table_may_come_and_by_somebodys_word_go(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    put(con, raw)
    write(raw, "contracts", [row("contracts")])
    assert _how(con, raw) == {"contracts": "whole"}
    assert len(landed(con, "contracts")) == 1
    (raw / "contracts.csv").unlink(missing_ok=True)
    report = put(con, raw, acceptance=Acceptance("contracts are kept elsewhere now", "Ada"))
    assert report.tables["contracts"].reason == "contracts.csv vanished"
    assert report.changed_from == date(2024, 1, 10)
    assert landed(con, "contracts") == []


def test_another_time_zone_lands_everything_again(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[row("usage_events", timestamp="2024-03-01T02:00:00")])
    put(con, raw)
    report = put(con, raw, timezone="America/New_York")
    assert not any(table.unchanged for table in report.tables.values())
    assert everything(con) == _scratch(raw, timezone="America/New_York")


@pytest.mark.parametrize("what", ["a rule", "DuckDB"])
def test_another_contract_or_duckdb_lands_again(
    con: duckdb.DuckDBPyConnection, raw: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    company(raw, usage_events=[row("usage_events")])
    put(con, raw)
    if what == "DuckDB":
        monkeypatch.setattr(duckdb, "__version__", "9.9.9")
        assert len(_how(con, raw)) == len(TABLES)
        return
    con.execute("update landing.state set definition = 'older' where source = 'usage_events'")
    report = put(con, raw)
    assert (
        report.tables["usage_events"].reason == "the contract, the mapping, the time zone or DuckDB's version changed"
    )
    assert len(landed(con, "usage_events")) == 1


def test_rows_of_an_unknown_customer_land_when_the_customer_does(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[row("usage_events", customer_id="C2"), row("usage_events", event_id="E2")])
    put(con, raw)
    assert landed(con, "usage_events", "event_id") == [("E2",)]
    write(raw, "customers", [row("customers"), row("customers", customer_id="C3")])
    assert _how(con, raw) == {"customers": "whole", "subscriptions": "whole", "risk_signals": "whole"}
    write(raw, "customers", [row("customers"), row("customers", customer_id="C2")])
    again = {"customers": "whole", "subscriptions": "whole", "risk_signals": "whole", "usage_events": "whole"}
    assert _how(con, raw) == again
    assert landed(con, "usage_events", "event_id") == [("E1",), ("E2",)]
    assert quarantined(con) == []


def test_rows_of_a_customer_who_vanished_leave_with_them(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    two = [row("customers"), row("customers", customer_id="C2")]
    company(
        raw, customers=two, usage_events=[row("usage_events"), row("usage_events", event_id="E2", customer_id="C2")]
    )
    put(con, raw)
    write(raw, "customers", two[:1])
    put(con, raw)
    assert landed(con, "usage_events", "event_id") == [("E1",)]
    assert quarantined(con, "value, rule") == [("C2", "known customer")]
    assert everything(con) == _scratch(raw)


def test_a_numeric_id_that_was_unknown_is_recognised_later(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "risk_signals.csv").unlink(missing_ok=True)
    con.execute(
        "copy (select 7.0::double as customer_id, 1 as compliance_gap_score, 1 as vendor_risk_flags) "
        f"to '{raw / 'risk_signals.parquet'}'"
    )
    con.execute(
        "copy (select 'E1' as event_id, 7.0::double as customer_id, date '2024-03-01' as timestamp, '' as event_type, "
        f"0 as feature_adoption_score) to '{raw / 'usage_events.parquet'}'"
    )
    (raw / "usage_events.csv").unlink(missing_ok=True)
    put(con, raw)
    write(raw, "customers", [row("customers", customer_id="7")])
    put(con, raw)
    assert landed(con, "usage_events", "customer_id") == landed(con, "risk_signals", "customer_id") == [("7",)]


# --- the clock


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("usage_events", "timestamp", "2024-06-20T10:00:00"),
        ("customers", "churn_date", "2024-06-20"),
        ("gtm_opportunities", "created_date", "2024-06-20"),
        ("contracts", "loaded_at", "2024-06-20T00:00:00"),
        ("gtm_opportunities", "close_date", "2024-06-20"),
    ],
)
def test_what_lay_in_the_future_is_used_once_its_moment_has_come(
    con: duckdb.DuckDBPyConnection, raw: Path, table: str, column: str, value: str
) -> None:
    values = {column: value} | ({"stage": "closed_lost"} if column == "close_date" else {})
    company(raw, **{table: [row(table, **values)]})
    put(con, raw)
    assert quarantined(con, "column_name, rule") == [(column, "not after now")]
    day_before = datetime(2024, 6, 19, 23, 59, tzinfo=UTC)
    assert _how(con, raw, now=day_before) == {}
    after = datetime(2024, 6, 20, 10, 0, tzinfo=UTC)
    report = put(con, raw, now=after)
    assert report.tables[table].reason == "a date that lay in the future has come"
    assert quarantined(con) == []
    assert everything(con) == _scratch(raw, now=after)
    assert _how(con, raw, now=after + timedelta(days=400)) == {}


def test_what_waits_for_its_moment_is_not_forgotten_when_parts_are_added(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    _parts(raw, "E1")
    write(raw, "usage_events", [row("usage_events", event_id="E2", timestamp="2024-06-20")], "usage_events/E2.csv")
    put(con, raw)
    write(raw, "usage_events", [row("usage_events", event_id="E3")], "usage_events/E3.csv")
    assert _how(con, raw) == {"usage_events": "appended"}
    put(con, raw, now=NOW + timedelta(days=30))
    assert landed(con, "usage_events", "event_id") == [("E1",), ("E2",), ("E3",)]


def test_a_local_date_comes_at_local_midnight(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=[row("customers", churn_date="2024-06-20")])
    put(con, raw, timezone="America/New_York")
    midnight = datetime(2024, 6, 20, 4, tzinfo=UTC)
    assert _how(con, raw, timezone="America/New_York", now=midnight - timedelta(seconds=1)) == {}
    assert _how(con, raw, timezone="America/New_York", now=midnight) == {"customers": "whole"}


def test_a_clock_set_back_hides_what_is_not_yet_a_fact(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[row("usage_events", timestamp="2024-06-11T10:00:00")])
    put(con, raw)
    put(con, raw, now=NOW - timedelta(days=2))
    assert landed(con, "usage_events") == []


# --- incremental equals from scratch

_DAYS = st.sampled_from(["2024-03-01", "2024-03-01T05:00:00", "2024-03-02", "2024-06-11", "2024-06-14", "nonsense"])
_LOADED = st.sampled_from(["", "", "2024-03-02T12:00:00Z", "2024-06-13"])
_CUSTOMER_IDS = st.sampled_from(["C1", "C2", "C3"])
_TIERS = st.sampled_from(["free", "starter", "growth", "gold"])
_GENERATED = {
    "customers": {
        "customer_id": _CUSTOMER_IDS,
        "signup_date": st.sampled_from(["2024-01-01", "2024-02-01", "2024-06-13"]),
        "plan_tier": _TIERS,
        "churn_date": st.sampled_from(["", "2024-05-01", "2024-06-14"]),
        "loaded_at": _LOADED,
    },
    "usage_events": {
        "event_id": st.sampled_from(["E1", "E2", "E3", "E4", ""]),
        "customer_id": _CUSTOMER_IDS,
        "timestamp": _DAYS,
        "feature_adoption_score": st.sampled_from(["0.1", "", "7"]),
        "loaded_at": _LOADED,
    },
    "support_tickets": {
        "ticket_id": st.sampled_from(["T1", "T2"]),
        "customer_id": _CUSTOMER_IDS,
        "created_date": _DAYS,
        "resolution_time": st.sampled_from(["", "1", "100", "-1"]),
    },
    "gtm_opportunities": {
        "opp_id": st.sampled_from(["O1", "O2"]),
        "customer_id": _CUSTOMER_IDS,
        "stage": st.sampled_from(["proposal", "closed_won", "lost"]),
        "close_date": st.sampled_from(["2024-03-05", "2024-06-14", ""]),
        "created_date": st.sampled_from(["2024-03-01", "2024-03-04", ""]),
    },
    "risk_signals": {"customer_id": _CUSTOMER_IDS, "recorded_at": _DAYS.filter(lambda text: text != "nonsense")},
    "plan_changes": {
        "customer_id": _CUSTOMER_IDS,
        "effective_date": st.sampled_from(["2024-03-01", "2024-04-01", "2024-06-13"]),
        "from_tier": _TIERS,
        "to_tier": _TIERS,
    },
}
_PART = st.sampled_from(sorted(_GENERATED)).flatmap(
    lambda table: st.tuples(
        st.just(table), st.lists(st.fixed_dictionaries(_GENERATED[table]), min_size=1, max_size=5), st.integers(0, 3)
    )
)


@given(parts=st.lists(_PART, min_size=2, max_size=8), days=st.lists(st.integers(0, 2), min_size=4, max_size=4))
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
def test_landing_piece_by_piece_equals_landing_at_once(
    parts: list[tuple[str, list[dict[str, str]], int]], days: list[int]
) -> None:
    """Parts arrive in up to four batches while the clock moves, with repeats, bad values and customers that come late."""
    clock = NOW
    with tempfile.TemporaryDirectory() as directory, duckdb.connect() as con:
        raw = Path(directory)
        for table in USUAL:
            write(raw, table, [], f"{table}/empty.csv")
        for batch in range(4):
            for number, (table, rows, arrival) in enumerate(parts):
                if arrival == batch:
                    write(raw, table, [row(table, **values) for values in rows], f"{table}/{number}.csv")
            clock += timedelta(days=days[batch])
            put(con, raw, now=clock)
        assert everything(con) == _scratch(raw, now=clock)


def test_the_order_of_files_makes_no_difference(tmp_path: Path) -> None:
    rows = [
        row("usage_events", event_id=f"E{i % 4}", timestamp=f"2024-03-0{1 + i % 3}", event_type=f"t{i % 5}")
        for i in range(12)
    ]
    results = []
    for number, order in enumerate(itertools.permutations(range(3))):
        raw = company(tmp_path / str(number))
        (raw / "usage_events.csv").unlink(missing_ok=True)
        for position, third in enumerate(order):
            write(raw, "usage_events", rows[third * 4 : third * 4 + 4], f"usage_events/{position}.csv")
        results.append(_scratch(raw))
    assert all(result == results[0] for result in results)


def test_an_appended_earlier_row_takes_the_key_from_a_landed_one(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    _parts(raw, "E1")
    put(con, raw)
    earlier = row("usage_events", timestamp="2024-02-01", event_type="earlier")
    write(raw, "usage_events", [earlier], "usage_events/b.csv")
    report = put(con, raw).tables["usage_events"]
    assert (report.how, report.rows_landed, report.rows_total) == ("appended", 0, 1)
    assert report.changed_from == date(2024, 2, 1)
    assert landed(con, "usage_events", "event_type") == [("earlier",)]
    assert everything(con) == _scratch(raw)


# --- one transaction


def test_an_error_in_the_middle_leaves_the_old_landing(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[row("usage_events")])
    put(con, raw)
    before, files, state = everything(con), landed(con, "files"), landed(con, "state")
    company(raw, customers=[row("customers", customer_id="C9")], usage_events=[row("usage_events", event_id="E9")])
    (raw / "interventions.csv").write_text("intervention_id\n")
    with pytest.raises(InputError, match=r"interventions\.csv"):
        put(con, raw)
    assert (everything(con), landed(con, "files"), landed(con, "state")) == (before, files, state)
    (raw / "interventions.csv").unlink(missing_ok=True)
    put(con, raw)
    assert landed(con, "customers", "customer_id") == [("C9",)]


def test_any_exception_rolls_back_and_leaves_no_temporary_table(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    def interrupt(sentence: str) -> None:
        if "usage_events" in sentence:
            raise KeyboardInterrupt

    company(raw)
    with pytest.raises(KeyboardInterrupt):
        put(con, raw, progress=interrupt)
    assert con.execute("select count(*) from duckdb_tables()").fetchone() == (0,)
    put(con, raw)
    assert con.execute("select count(*) from duckdb_tables() where temporary").fetchone() == (0,)
    assert con.execute("select count(*) from duckdb_functions() where not internal").fetchone() == (0,)


def test_a_kill_in_the_middle_leaves_the_old_landing(raw: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    company(raw, usage_events=[row("usage_events")])
    with duckdb.connect(str(warehouse)) as con:
        put(con, raw)
        before = everything(con)
    company(raw, customers=[row("customers", customer_id="C9")])
    script = f"""
        import os, signal, duckdb
        from datetime import UTC, datetime
        from pathlib import Path
        from churn_pipeline.contract import land

        def kill(sentence):
            if "support_tickets" in sentence:
                os.kill(os.getpid(), signal.SIGKILL)

        land(duckdb.connect({str(warehouse)!r}), Path({str(raw)!r}), now=datetime(2024, 6, 12, tzinfo=UTC), timezone="UTC",
             run_id="killed", max_bad_share=1, max_bad_rows=0, progress=kill)
    """
    company(raw, customers=[row("customers", customer_id="C9")], support_tickets=[row("support_tickets")])
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert result.returncode == -signal.SIGKILL
    with duckdb.connect(str(warehouse)) as con:
        assert everything(con) == before


def test_a_file_that_changes_under_the_reader_is_refused(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    path = raw / "customers.csv"

    def grow(sentence: str) -> None:
        if "customers" in sentence:
            path.write_text(path.read_text() + "C2,x,free,2024-01-01,1,\n")

    with pytest.raises(InputError, match=r"customers\.csv: the file changed while it was being read"):
        put(con, raw, progress=grow)


# --- report


def test_the_report_is_plain_json_and_says_what_happened(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[row("usage_events"), row("usage_events", event_type="other")])
    messages: list[str] = []
    report = put(con, raw, run_id="r7", progress=messages.append)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["run_id"] == "r7"
    assert plain["changed_from"] == plain["tables"]["customers"]["changed_from"] == "2024-01-10"
    assert plain["tables"]["usage_events"] == {
        "how": "whole",
        "reason": "first landing",
        "files_read": 1,
        "rows_read": 2,
        "rows_landed": 1,
        "rows_total": 1,
        "rows_kept_out": 0,
        "rows_repeated": 0,
        "bad_rows": {"unique key": 1},
        "bad_cells": {},
        "changed_from": "2024-03-01",
    }
    assert "Landing usage_events (first landing)" in messages


@pytest.mark.parametrize(("loaded_at", "hidden"), [("2024-06-12", True), ("2024-01-15", True), ("2024-01-14", False)])
def test_a_customers_export_stamped_with_its_own_time_is_noticed(
    con: duckdb.DuckDBPyConnection, raw: Path, loaded_at: str, hidden: bool
) -> None:
    company(raw, customers=[row("customers", loaded_at=loaded_at)])
    notices = [notice for notice in put(con, raw).notices if "loaded_at" in notice]
    assert bool(notices) == hidden
    if hidden:
        assert notices[0].startswith(
            f"customers.loaded_at hides 1 customer(s) from snapshots after their signup, up to {loaded_at}"
        )


def test_the_result_does_not_depend_on_threads(tmp_path: Path, raw: Path) -> None:
    events = [row("usage_events", event_id=f"E{i % 5000}", timestamp=f"2024-03-0{1 + i % 7}") for i in range(10_000)]
    company(raw, usage_events=events)
    states = []
    for threads in (1, 2):
        with duckdb.connect(str(tmp_path / f"{threads}.duckdb"), config={"threads": threads}) as con:
            con.execute(f"set preserve_insertion_order = {threads == 1}")
            put(con, raw)
            states.append((everything(con), fingerprint(con, date(2024, 3, 4))))
    assert states[0] == states[1]
