"""A broken column is a bad source: the landing stops and says which column, why, and what to do."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.contract import TABLES, Acceptance
from churn_pipeline.contract.broken import REMEDIES
from churn_pipeline.contract.declaration import Column, Kind
from churn_pipeline.contract.limits import ColumnLimits
from churn_pipeline.contract.problems import Problem, UnusableError
from tests.unit.contract.landing_helpers import company, everything, landed, put, quarantined, row, write

LIMITS = ColumnLimits()
MONEY = Column("mrr", Kind.MONEY, "", strict=True)
TEXT = Column("priority", Kind.CATEGORY, "")

JUDGED: dict[str, Any] = {"columns": LIMITS, "max_bad_share": 0.05, "max_bad_rows": 20}


def customers(count: int, bad: int = 0, **changes: Any) -> list[dict[str, Any]]:
    return [row("customers", customer_id=f"C{n}", **(changes if n < bad else {})) for n in range(count)]


def events(count: int, prefix: str = "E", **changes: Any) -> list[dict[str, Any]]:
    return [row("usage_events", event_id=f"{prefix}{n}", **changes) for n in range(count)]


def refusal(con: duckdb.DuckDBPyConnection, raw: Path, **changes: Any) -> list[Problem]:
    with pytest.raises(UnusableError) as caught:
        put(con, raw, **(JUDGED | changes))
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("column", "unusable", "given", "broken"),
    [
        (MONEY, 1, 1, False),
        (MONEY, 1, 2, False),
        (MONEY, 2, 4, True),
        (MONEY, 2, 5, False),
        (MONEY, 5, 11, False),
        (MONEY, 6, 1_199, True),
        (MONEY, 6, 1_200, False),
        (TEXT, 20, 41, False),
        (TEXT, 21, 419, True),
        (TEXT, 21, 420, False),
        (TEXT, 0, 0, False),
    ],
)
def test_a_column_is_broken_over_its_number_and_share_or_from_two_and_half_on(
    column: Column, unusable: int, given: int, broken: bool
) -> None:
    assert LIMITS.is_broken(column, unusable, given) == broken


def test_dates_of_customers_and_events_and_money_of_customers_are_strict() -> None:
    strict = {f"{table.name}.{column.name}" for table in TABLES.values() for column in table.columns if column.strict}
    assert strict >= {
        "customers.signup_date",
        "customers.mrr",
        "customers.churn_date",
        "customers.upgrade_date",
        "customers.censor_date",
        "usage_events.timestamp",
    }


def test_every_kind_of_value_that_can_be_unreadable_has_a_remedy() -> None:
    kinds = {column.kind for table in TABLES.values() for column in table.columns}
    assert kinds - {Kind.TEXT, Kind.CATEGORY} <= REMEDIES.keys()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"churn_date": "04.21.2024"},
            "churn_date '04.21.2024' (customers.csv, line 2; 5 like it) is not YYYY-MM-DD; set its format in sources.yml",
        ),
        (
            {"mrr": "many"},
            "mrr 'many' (customers.csv, line 2; 5 like it) is not a number of dollars; set its unit or decimal sign in sources.yml",
        ),
        (
            {"churn_date": "2023-12-31"},
            "churn_date '2023-12-31' (customers.csv, line 2; 5 like it) is before signup_date; "
            "correct the dates, or what they are taken from",
        ),
    ],
)
def test_the_sentence_names_column_value_file_line_number_and_remedy(
    con: duckdb.DuckDBPyConnection, raw: Path, changes: dict[str, str], sentence: str
) -> None:
    company(raw, customers=customers(60, 6, **changes))
    assert [str(problem) for problem in refusal(con, raw)] == [sentence]


def test_of_a_few_bad_values_the_others_are_landed(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=customers(60, 5, mrr="many"))
    report = put(con, raw, **JUDGED).tables["customers"]
    assert report.bad_cells == {"mrr: readable number": 5}
    assert len(landed(con, "customers")) == 60


def test_unknown_words_are_listed_with_their_numbers_and_where_to_map_them(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    rows = customers(60, 25, plan_tier="Pro")
    for customer in rows[:3]:
        customer["plan_tier"] = "Basic"
    company(raw, customers=rows)
    assert [str(problem) for problem in refusal(con, raw)] == [
        "customers: plan_tier holds 25 values that the contract does not know: 'Pro' (22), 'Basic' (3); say under `words` of "
        "this column in sources.yml which of free, starter, growth, enterprise, custom each is"
    ]


def test_a_date_that_only_lies_ahead_is_no_fault_and_waits(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    signing = [row("contracts", customer_id=f"C{n}", start_date="2024-07-01", end_date="") for n in range(40)]
    company(raw, customers=customers(60, 30, churn_date="2024-12-31"), contracts=signing)
    put(con, raw, **JUDGED)
    assert landed(con, "customers", "count(*), count(churn_date)") == [(60, 0)]
    assert {rule for (rule,) in quarantined(con, "rule")} == {"not after now"}


def test_an_event_after_now_is_a_bad_row_and_no_broken_column(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=events(60) + events(20, "F", timestamp="2062-01-01"))
    put(con, raw, **JUDGED)
    write(raw, "usage_events", events(60) + events(30, "F", timestamp="2062-01-01"))
    (problem,) = refusal(con, raw)
    assert problem.what.startswith(
        "30 of 90 rows are bad, 33.3% where 5.0% are tolerated. Rules broken most: 'not after now' on"
    )


def test_a_ticket_resolved_after_now_is_bad_and_many_of_them_stop(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    def tickets(bad: int) -> list[dict[str, Any]]:
        hours = lambda n: "9000" if n < bad else "3"  # noqa: E731
        return [row("support_tickets", ticket_id=f"T{n}", resolution_time=hours(n)) for n in range(60)]

    company(raw, support_tickets=tickets(1))
    put(con, raw, **JUDGED)
    assert landed(con, "support_tickets", "count(*), count(resolution_seconds)") == [(60, 59)]
    write(raw, "support_tickets", tickets(30))
    (problem,) = refusal(con, raw)
    assert (problem.column, problem.remedy) == ("resolution_time", "set its unit in sources.yml")


@pytest.mark.parametrize("bad", [5, 6])
def test_it_does_not_matter_in_how_many_files_bad_values_arrive(
    con: duckdb.DuckDBPyConnection, raw: Path, bad: int
) -> None:
    """Two bad timestamps a file are few, six in the table are not."""
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    rows = events(300)
    for n in range(bad):
        rows[n * 50]["timestamp"] = "soon"
    for part in range(6):
        write(raw, "usage_events", rows[part * 50 : part * 50 + 50], f"usage_events/{part}.csv")
        if part == 5 and bad == 6:
            assert [problem.column for problem in refusal(con, raw)] == ["timestamp"]
        else:
            put(con, raw, **JUDGED)
    with duckdb.connect() as other:
        if bad == 6:
            assert [problem.column for problem in refusal(other, raw)] == ["timestamp"]
        else:
            put(other, raw, **JUDGED)


def test_a_broken_file_does_not_hide_in_a_large_table(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", events(3_000), "usage_events/a.csv")
    put(con, raw, **JUDGED)
    write(raw, "usage_events", events(20, "B", feature_adoption_score="much"), "usage_events/b.csv")
    (problem,) = refusal(con, raw)
    assert str(problem).startswith(
        "feature_adoption_score 'much' (usage_events/b.csv, line 2; 19 like it) is not a number"
    )
    write(raw, "usage_events", events(19, "B", feature_adoption_score="much"), "usage_events/b.csv")
    put(con, raw, **JUDGED)


def test_all_problems_of_all_tables_are_told_at_once(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(
        raw,
        customers=customers(60, 30, mrr="many"),
        support_tickets=[row("support_tickets", ticket_id=f"T{n}", priority="P1") for n in range(30)],
    )
    (raw / "usage_events.csv").write_text("event_id,customer_id\nE1,C1\n")
    (raw / "risk_signals.csv").unlink(missing_ok=True)
    (raw / "risk_signals.parquet").write_bytes(b"PAR1 nothing PAR1")
    (raw / "gtm_opportunities.csv").write_text('opp_id,customer_id,stage,close_date,amount,sales_owner\nO1,C1,"x,\n')
    tables = {problem.table for problem in refusal(con, raw)}
    assert tables == {"customers", "support_tickets", "usage_events", "risk_signals", "gtm_opportunities"}


def test_ids_that_are_written_differently_are_shown_beside_each_other(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(
        raw,
        customers=[row("customers", customer_id=str(n)) for n in range(1, 41)],
        usage_events=[row("usage_events", event_id=f"E{n}", customer_id=f"{n:08}") for n in range(1, 41)],
        support_tickets=[row("support_tickets", ticket_id=f"T{n}", customer_id=f"C{n}.0") for n in range(1, 41)],
    )
    (problem,) = refusal(con, raw)
    assert str(problem) == (
        "customer_id is written differently: '1' in customers, '00000001' in usage_events, 'C1.0' in support_tickets; "
        "write it alike everywhere, for instance by an expression in sources.yml"
    )


def test_ids_of_others_are_shown_beside_ours(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=customers(3), usage_events=events(40, customer_id="somebody"))
    (problem,) = refusal(con, raw)
    assert "customer_id 'somebody' (usage_events.csv, line 2; 39 like it)" in str(problem)
    assert "whose ids are written like 'C0'" in str(problem)


def test_without_customers_nobody_else_is_blamed(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=[], usage_events=events(40), plan_changes=[row("plan_changes")])
    assert [str(problem) for problem in refusal(con, raw)] == [
        "customers.csv: it has no rows; export every customer, past and present, one row each"
    ]


def test_identical_rows_in_overlapping_parts_are_one_row_and_no_fault(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, usage_events=[])
    (raw / "usage_events.csv").unlink(missing_ok=True)
    rows = events(90)
    write(raw, "usage_events", [dict(r, loaded_at="2024-04-01") for r in rows[:60]], "usage_events/a.csv")
    write(raw, "usage_events", [dict(r, loaded_at="2024-05-01") for r in rows[30:]], "usage_events/b.csv")
    report = put(con, raw, **JUDGED).tables["usage_events"]
    assert (report.rows_total, report.rows_landed, report.rows_repeated, report.bad_rows) == (90, 90, 30, {})
    assert quarantined(con) == []


def test_the_quarantine_of_a_refused_landing_can_be_read_until_one_succeeds(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, customers=customers(60))
    put(con, raw, **JUDGED)
    before = everything(con)
    write(raw, "customers", customers(60, 30, mrr="many"))
    refusal(con, raw)
    assert everything(con) == before
    kept = landed(con, "refused_quarantine", "source, row_key, column_name, value, file")
    assert len(kept) == 30
    assert kept[0] == ("customers", "C0", "mrr", "many", "customers.csv")
    write(raw, "customers", customers(60))
    put(con, raw, **JUDGED)
    assert landed(con, "refused_quarantine") == []


def test_no_message_shows_a_value_of_a_personal_column_or_a_line_of_data(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    rows = [row("customers", customer_id=f"C{n}", company_name="Secret GmbH", mrr="many") for n in range(30)]
    company(raw, customers=rows)
    assert "Secret" not in str(refusal(con, raw)[0])


def _damage(raw: Path, rng: random.Random) -> None:
    """Breaks random cells of random tables, and now and then a whole line."""
    for path in sorted(raw.glob("*.csv")):
        head, *lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if rng.random() < 0.5:
                cells = line.split(",")
                cells[rng.randrange(len(cells))] = rng.choice(
                    ["", "x", "-1", "2031-01-01", "2O25-11-03", "C2", "9" * 20]
                )
                lines[number] = ",".join(cells)
        if rng.random() < 0.3:
            lines = lines[: rng.randrange(len(lines) + 1)]
        path.write_text("\n".join([head, *lines]) + "\n")


@pytest.mark.parametrize("seed", range(12))
def test_a_corrected_file_heals_whatever_a_damaged_one_left_behind(
    con: duckdb.DuckDBPyConnection, raw: Path, tmp_path: Path, seed: int
) -> None:
    """Rows, quarantine, digests and ledger are those of a home that never saw the damage, for every table."""
    rng = random.Random(seed)
    good: dict[str, Callable[[], list[dict[str, Any]]]] = {
        table: (lambda table=table: [_of(table, n) for n in range(6)]) for table in TABLES
    }
    company(raw, **{table: rows() for table, rows in good.items()})
    if rng.random() < 0.5:
        put(con, raw)
    _damage(raw, rng)
    # A table whose lines are all lost would not get in without a word.
    put(con, raw, acceptance=Acceptance("nobody looked", "Ada"))
    company(raw, **{table: rows() for table, rows in good.items()})
    put(con, raw)
    healed = everything(con)
    with duckdb.connect() as other:
        put(other, raw)
        undamaged = everything(other)
    ledgers = (healed.pop("undated_ledger"), undamaged.pop("undated_ledger"))
    assert healed == undamaged
    # The ledger is appended to: what was taken back stands there as withdrawn.
    assert {entry[1:] for entry in ledgers[1]} <= {entry[1:] for entry in ledgers[0]}


def _of(table: str, n: int) -> dict[str, Any]:
    """The n-th good row of a table, of the n-th customer; every other risk signal is undated."""
    values = row(table, customer_id=f"C{n}")
    for key in TABLES[table].key:
        if key.endswith("_id") and key != "customer_id":
            values[key] = f"{values[key]}{n}"
    if table == "risk_signals" and n % 2:
        values["recorded_at"] = ""
    return values
