"""A company that has nothing but a table of its customers gets its list, and its usage may come later."""

from __future__ import annotations

import csv
import json
import random
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.execute import Outcome, run_mondays
from tests.support.companies import TINY, TINY_MONDAY, settings_at
from tests.support.homes import differences, query
from tests.support.processes import churn

pytestmark = pytest.mark.long

# In one trade whoever leaves does so in the first year, in the other in the second: with who they are and for how long one can tell.
LEAVES_AFTER = {"Retail": (150, 240), "Banking": (380, 470)}
SHARE_THAT_LEAVES = 0.6
KNOWN = {"industry", "tenure_days", "is_early_stage"}
# What tells runs apart.
STAMPS = ("run_id", "scored_at", "scoring_mode")
# Further than the first departure.
FAR_BACK = {"history_weeks": 130}
MONDAY, NEXT = TINY_MONDAY, TINY_MONDAY + WEEK


def customers(until: date, zeroed: bool = False) -> list[dict[str, str]]:
    """900 customers as an export of a day shows them; with ``zeroed`` whoever has left pays 0."""
    # One draw of several in which the training is not refused by chance.
    draw = random.Random(2)
    rows = []
    for number in range(900):
        industry = draw.choice(sorted(LEAVES_AFTER))
        signup = MONDAY - timedelta(days=draw.randrange(1, 1000))
        after = draw.randrange(*LEAVES_AFTER[industry])
        churn_date = signup + timedelta(days=after) if draw.random() < SHARE_THAT_LEAVES else None
        tier = draw.choice(("starter", "growth", "enterprise"))
        left = churn_date is not None and churn_date < until
        if signup < until:
            rows.append(
                {
                    "customer_id": f"C{number:04}",
                    "industry": industry,
                    "plan_tier": tier,
                    "signup_date": str(signup),
                    "mrr": "0" if left and zeroed else str(100 + number),
                    "churn_date": str(churn_date) if left else "",
                }
            )
    return rows


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


class Ran(NamedTuple):
    """The home after its first Monday, and after usage began and the first Monday was run again."""

    first: Settings
    later: Settings
    outcomes: tuple[Outcome, ...]
    before: Path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("alone")
    raw = folder / "raw"
    raw.mkdir()
    write(raw / "customers.csv", customers(MONDAY))
    first = settings_at(folder / "home", raw, MONDAY, **TINY | FAR_BACK)
    outcomes = [run_mondays(first, MONDAY)]
    before = folder / "before.duckdb"
    before.write_bytes(first.published_database.read_bytes())
    write(raw / "customers.csv", customers(NEXT, zeroed=True))
    events = [
        {
            "event_id": f"E{customer['customer_id']}",
            "customer_id": customer["customer_id"],
            "timestamp": f"{MONDAY + timedelta(days=2)}T10:00:00",
            "event_type": "api_call",
            "feature_adoption_score": "0.5",
        }
        for customer in customers(MONDAY)[::2]
        if not customer["churn_date"]
    ]
    write(raw / "usage_events.csv", events)
    later = settings_at(folder / "home", raw, NEXT, **TINY | FAR_BACK)
    outcomes += [run_mondays(later, NEXT), run_mondays(later, MONDAY)]
    return Ran(first, later, tuple(outcomes), before)


def test_every_active_customer_is_on_the_list_and_no_reason_is_about_a_table_that_is_not_there(ran: Ran) -> None:
    assert ran.outcomes[0].exit_code == 0, ran.outcomes[0].reason
    active = [row["customer_id"] for row in customers(MONDAY) if not row["churn_date"]]
    rows = query(
        ran.before,
        "select customer_id, list_transform(churn_drivers, lambda driver: driver.feature), risk_score, risk_score_basis, "
        "expansion_propensity from predictions order by 1",
    )
    assert [customer for customer, *_ in rows] == active
    assert {feature for _, features, *_ in rows for feature in features} <= KNOWN
    assert {tuple(values) for _, _, *values in rows} == {(0.0, "none", None)}


def test_the_snapshots_begin_the_monday_after_the_first_departure(ran: Ran) -> None:
    first = min(date.fromisoformat(row["churn_date"]) for row in customers(MONDAY) if row["churn_date"])
    ((oldest,),) = query(ran.later.warehouse, "select min(snapshot_date) from marts.mart_customer_churn_features")
    assert oldest == first + timedelta(days=7 - first.weekday())


def test_usage_that_comes_in_a_year_later_is_used_from_then_on_without_a_past(ran: Ran) -> None:
    assert ran.outcomes[1].exit_code == 0, ran.outcomes[1].reason
    rows = query(
        ran.later.warehouse,
        "select snapshot_date, count(total_events), count(*) from marts.mart_customer_churn_features "
        f"where snapshot_date >= '{MONDAY}' group by 1 order by 1",
    )
    assert [(day, known, there - known) for day, known, there in rows] == [
        (MONDAY, 0, rows[0][2]),
        (NEXT, rows[1][2], 0),
    ]
    bases = query(
        ran.later.published_database,
        f"select distinct risk_score_basis from predictions where snapshot_date = '{NEXT}'",
    )
    assert bases == [("usage_decay",)]


def test_a_monday_that_is_run_again_says_the_same_although_the_price_of_those_who_left_is_0_by_now(ran: Ran) -> None:
    assert ran.outcomes[2].exit_code == 0, ran.outcomes[2].reason
    where = f"snapshot_date = date '{MONDAY}'"
    ((left,),) = query(
        ran.later.warehouse, "select count(*) from landing.value_ledger where to_mrr_cents = 0 and from_mrr_cents > 0"
    )
    assert left > 300
    found = differences(ran.before, ran.later.published_database, "predictions", where, STAMPS)
    assert found["rows"] > 300
    assert (found["only_left"], found["only_right"]) == (0, 0)


@pytest.mark.parametrize("command", [("show",), ("customer", "{customer}"), ("models",)])
def test_the_commands_that_read_know_what_is_not_there(ran: Ran, command: tuple[str, ...]) -> None:
    customer = next(row["customer_id"] for row in customers(NEXT) if not row["churn_date"])
    done = churn(ran.later, *(word.format(customer=customer) for word in command), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
