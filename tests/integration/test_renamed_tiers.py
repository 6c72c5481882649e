"""Tiers are data: one is renamed and one is added, and every surface still sums to the table."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.cli import output
from churn_pipeline.core.formatting import usd
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.delivery.digest_query import digest_from
from churn_pipeline.delivery.report.write import page_of
from churn_pipeline.delivery.slack.blocks import digest_message
from churn_pipeline.orchestration.assets.publish import tier_counts
from churn_pipeline.orchestration.execute import Outcome, run_mondays
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.homes import copy_of, query
from tests.support.policy import edit_seed, project_of_its_own, rows_that_their_policy_does_not_give

# One Monday, run again by another policy.
pytestmark = pytest.mark.long

NAMES = ["CRITICAL", "SEVERE", "MEDIUM", "WATCH", "LOW"]
URGENT = ("CRITICAL", "SEVERE")
TIERS = """risk_tier,severity,lower_bound,is_urgent
LOW,1,0.00,false
WATCH,2,0.15,false
MEDIUM,3,0.25,false
SEVERE,4,0.40,true
CRITICAL,5,0.50,true
"""


@pytest.fixture(scope="module")
def run(tiny_two_mondays: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Outcome]:
    """A home whose first Monday was made by the shipped policy, and its second at last by one with other tiers."""
    folder = tmp_path_factory.mktemp("renamed")
    # Its models are there, so that it trains none.
    settings = copy_of(tiny_two_mondays, folder / "home")
    with pytest.MonkeyPatch.context() as patch:
        project = project_of_its_own(patch, folder)
        (project / "seeds" / "risk_tiers.csv").write_text(TIERS, encoding="utf-8")
        edit_seed(project, "playbook", lambda text: text.replace(",HIGH,", ",SEVERE,"))
        outcome = run_mondays(settings, TINY_MONDAY)
    assert outcome.exit_code == 0, outcome.reason
    return settings, outcome


@pytest.fixture
def settings(run: tuple[Settings, Outcome]) -> Settings:
    return run[0]


@pytest.fixture
def table(settings: Settings) -> dict[str, tuple[int, float]]:
    """Customers and money by tier, from the published table."""
    rows = query(
        settings.published_database,
        "select risk_tier, count(*), coalesce(sum(revenue_at_risk order by customer_id), 0) from predictions "
        f"where snapshot_date = date '{TINY_MONDAY}' group by 1",
    )
    found = {name: (customers, money) for name, customers, money in rows}
    # Each tier has somebody, or this proves less than it says.
    assert set(found) == set(NAMES)
    return found


def total(table: dict[str, tuple[int, float]], names: tuple[str, ...] = tuple(NAMES)) -> int:
    return sum(table[name][0] for name in names)


def test_every_row_has_the_tier_and_the_play_of_the_policy_of_its_monday(settings: Settings, tmp_path: Path) -> None:
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        assert rows_that_their_policy_does_not_give(con, "predictions", "policy_seeds", tmp_path) == []
    tiers = query(
        settings.published_database,
        """
        select snapshot_date, count(distinct risk_tiers.risk_tier)
        from predictions inner join risk_tiers using (policy_version) group by 1 order by 1
        """,
    )
    assert tiers == [(TINY_BEFORE, 4), (TINY_MONDAY, 5)]
    unknown = "select count(*) from predictions anti join risk_tiers using (policy_version, risk_tier)"
    assert query(settings.published_database, unknown) == [(0,)]


def test_the_digest_sums_to_the_table_and_its_changes_to_the_two_tables(
    settings: Settings, table: dict[str, tuple[int, float]]
) -> None:
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        digest = digest_from(con, TINY_MONDAY)
        before_customers, before_money = con.execute(
            "select count(*), sum(revenue_at_risk) from predictions where snapshot_date = ?", [TINY_BEFORE]
        ).fetchall()[0]
    shown = {tier.risk_tier: (tier.customers, tier.revenue_at_risk) for tier in digest.tiers if tier.customers}
    assert shown == table
    assert [tier.risk_tier for tier in digest.tiers if tier.risk_tier != "HIGH"] == NAMES
    assert digest.customers == total(table)
    assert digest.revenue_at_risk == pytest.approx(sum(money for _, money in table.values()))
    assert sum(tier.customers_change for tier in digest.tiers) == total(table) - before_customers
    assert sum(tier.revenue_change for tier in digest.tiers) == pytest.approx(digest.revenue_at_risk - before_money)
    assert digest.policy_changed
    assert sum(owner.urgent for owner in digest.owners) == total(table, URGENT)
    # Nobody moved into the gravest tier because another one has a new name.
    moved = "where snapshot_date = date '{}' and risk_tier = 'CRITICAL' and previous_risk_tier <> 'CRITICAL'"
    ((into,),) = query(
        settings.published_database,
        f"select count(*) from predictions {moved.format(TINY_MONDAY)} and snoozed_until is null and not is_holdout",
    )
    assert digest.into_top_count == into
    message = digest_message(digest, threaded=True)
    assert message.text.endswith(f"; {total(table, URGENT)} customers CRITICAL or SEVERE")


def test_the_command_line_sums_to_the_table(
    run: tuple[Settings, Outcome], table: dict[str, tuple[int, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, outcome = run
    summary = output.run_summary(settings, TINY_MONDAY, 10)
    assert [(tier["risk_tier"], tier["customers"]) for tier in summary["tiers"]] == [
        (name, table[name][0]) for name in NAMES
    ]
    output.print_run(summary)
    assert ", ".join(f"{table[name][0]:,} {name}" for name in NAMES) in " ".join(capsys.readouterr().out.split())
    (week,) = output.backfill_weeks(settings, outcome.mondays)
    assert (week["urgent"], week["urgent_tiers"]) == (total(table, URGENT), list(URGENT))
    output.print_weeks([week])
    assert "CRITICAL or SEVERE" in capsys.readouterr().out


def test_the_report_sums_to_the_table(settings: Settings, table: dict[str, tuple[int, float]]) -> None:
    page = page_of(settings, TINY_MONDAY).read_text(encoding="utf-8")
    rows = re.findall(
        r'<th scope="row"><span class="tag tier-\d">([^<]+)</span></th><td class="number"[^>]*>([\d,]+)</td>', page
    )
    counts = {name: int(count.replace(",", "")) for name, count in rows}
    assert counts == {name: table[name][0] for name in NAMES} | {"HIGH": 0}
    for name in URGENT:
        assert re.search(
            rf'<span class="what">{name} customers</span><span class="much"[^>]*>{table[name][0]:,}</span>', page
        )
    week = json.loads(re.search(r'<script type="application/json" id="week">(.*?)</script>', page, re.DOTALL)[1])
    assert sum(row["customers"] for row in week["rows"]["tiers"] if row["week"] == str(TINY_MONDAY)) == total(table)
    assert [name for name in week["tiers"] if name != "HIGH"] == NAMES
    # A tier that was only renamed has the colour that it had.
    colours = dict(re.findall(r"--tier-(\d): ([^;]+);", page))
    colour_of = {name: colours[str(place)] for place, name in enumerate(week["tiers"], 1)}
    assert colour_of["SEVERE"] == colour_of["HIGH"] == "var(--high)"
    assert (colour_of["CRITICAL"], colour_of["LOW"]) == ("var(--critical)", "var(--low)")
    index = (settings.published / "report" / "index.html").read_text(encoding="utf-8")
    row = re.search(rf'<a href="{TINY_MONDAY}.html">.*?</tr>', index, re.DOTALL)[0]
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', index)
    cells = re.findall(r"<td[^>]*>([\d,]+)</td>", row)
    places = [heads[2:].index(name) for name in URGENT]
    assert [int(cells[place].replace(",", "")) for place in places] == [table[name][0] for name in URGENT]


def test_the_call_list_files_have_the_tiers_of_the_table(settings: Settings) -> None:
    with (settings.published / "call_lists" / str(TINY_MONDAY) / "all.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    on_list = query(
        settings.published_database,
        f"select customer_id, risk_tier from predictions where snapshot_date = date '{TINY_MONDAY}' and is_on_call_list order by call_rank",
    )
    assert on_list
    assert [(row["customer_id"], row["risk_tier"]) for row in rows] == on_list


def test_the_metadata_of_the_asset_sum_to_the_table(settings: Settings, table: dict[str, tuple[int, float]]) -> None:
    with connect(settings) as con:
        columns, rows = tier_counts(con, [TINY_BEFORE, TINY_MONDAY])
    names = columns[1:-1]
    assert [name for name in names if name != "HIGH"] == NAMES
    before, now = (dict(zip(columns, row, strict=True)) for row in rows)
    assert {name: now[name] for name in names} == {name: table[name][0] for name in NAMES} | {"HIGH": 0}
    assert now[columns[-1]] == usd(sum(money for _, money in table.values()))
    ((customers,),) = query(
        settings.published_database,
        f"select count(*) from predictions where snapshot_date = date '{TINY_BEFORE}'",
    )
    assert sum(before[name] for name in names) == customers
