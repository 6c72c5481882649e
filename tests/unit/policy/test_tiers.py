"""Tiers come from the seeds that were kept of a policy, and no name of one stands anywhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

import duckdb
import pytest
import yaml

from churn_pipeline.core.errors import ChurnError
from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.policy import playbook, tiers
from churn_pipeline.policy.tiers import RiskTier
from tests.support.policy import POLICY_SEEDS, SHIPPED

PROJECT = REPOSITORY / "dbt_project"
BEFORE_URGENCY = "risk_tier,severity,lower_bound\nLOW,1,0.00\nMEDIUM,2,0.25\nHIGH,3,0.50\nCRITICAL,4,0.75\n"
NEWER = 'risk_tier,severity,lower_bound,is_urgent\n"A, B",3,0.7,true\nLOW,1,0.0,false\nSEVERE,2,0.5,false\n'


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse that kept two policies; its second Monday was made by the newer one."""
    with duckdb.connect() as con:
        con.execute("create schema ledger")
        con.execute(
            "create table ledger.policy_seeds (policy_version varchar, seed varchar, content varchar, first_used timestamp)"
        )
        for version, content in (("old", BEFORE_URGENCY), ("new", NEWER)):
            con.execute("insert into ledger.policy_seeds values (?, 'risk_tiers', ?, null)", [version, content])
        con.execute(
            "create table predictions as from (values (date '2026-06-01', 'old'), (date '2026-06-08', 'new')) as rows (snapshot_date, policy_version)"
        )
        yield con


def test_each_monday_has_the_tiers_of_its_policy_the_gravest_first(con: duckdb.DuckDBPyConnection) -> None:
    mondays = [date(2026, 6, 1), date(2026, 6, 8), date(2026, 6, 15)]
    policies = tiers.of_mondays(con, "predictions", mondays)
    assert {day: [tier.risk_tier for tier in policy] for day, policy in policies.items()} == {
        mondays[0]: ["CRITICAL", "HIGH", "MEDIUM", "LOW"],
        mondays[1]: ["A, B", "SEVERE", "LOW"],
    }
    assert tiers.of_mondays(con, "predictions", mondays[2:]) == {}


def test_seeds_that_were_kept_before_there_was_urgency_have_the_rule_of_their_time(
    con: duckdb.DuckDBPyConnection,
) -> None:
    assert tiers.urgent(tiers.of_policies(con, ["old"])["old"]) == ["CRITICAL", "HIGH"]
    assert tiers.urgent(tiers.of_policies(con, ["new"])["new"]) == ["A, B"]


def test_a_policy_that_was_not_kept_is_named(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(ChurnError, match="policy lost are not kept"):
        tiers.of_policies(con, ["old", "lost"])


def test_two_policies_are_merged_by_where_their_tiers_begin_and_the_first_one_has_the_say(
    con: duckdb.DuckDBPyConnection,
) -> None:
    kept = tiers.of_policies(con, ["old", "new"])
    both = tiers.merged([kept["new"], kept["old"]])
    assert [tier.risk_tier for tier in both] == ["CRITICAL", "A, B", "SEVERE", "HIGH", "MEDIUM", "LOW"]
    assert both[-1] == RiskTier("LOW", 1, 0.0, False)
    assert tiers.merged([]) == ()


def test_the_table_has_a_row_for_every_policy_and_tier(con: duckdb.DuckDBPyConnection) -> None:
    tiers.write_table(con)
    tiers.write_table(con)
    assert con.execute("from policy.risk_tiers order by policy_version, severity").fetchall() == [
        ("new", "LOW", 1, 0.0, False),
        ("new", "SEVERE", 2, 0.5, False),
        ("new", "A, B", 3, 0.7, True),
        ("old", "LOW", 1, 0.0, False),
        ("old", "MEDIUM", 2, 0.25, False),
        ("old", "HIGH", 3, 0.5, True),
        ("old", "CRITICAL", 4, 0.75, True),
    ]


@pytest.mark.parametrize(
    ("names", "words"), [([], ""), (["A"], "A"), (["A", "B"], "A or B"), (["A", "B", "C"], "A, B or C")]
)
def test_names_in_words(names: list[str], words: str) -> None:
    assert tiers.in_words(names) == words


def test_the_seeds_of_the_policy_are_those_with_its_tag() -> None:
    seeds = yaml.safe_load((PROJECT / "seeds" / "_seeds.yml").read_text(encoding="utf-8"))["seeds"]
    assert sorted(seed["name"] for seed in seeds if "policy" in seed["config"].get("tags", ())) == sorted(POLICY_SEEDS)


def test_no_tier_play_or_segment_is_named_outside_its_seed() -> None:
    segments = [
        line.split(",")[0] for line in (PROJECT / "seeds" / "segments.csv").read_text(encoding="utf-8").splitlines()[1:]
    ]
    names = {*(tier.risk_tier for tier in SHIPPED), *playbook.plays(PROJECT), *segments}
    # A name that is an attribute of something else, as logging.CRITICAL, is no tier.
    literal = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, sorted(names)))})(?!\w)")
    files = [
        path
        for folder in (REPOSITORY / "churn_pipeline", PROJECT)
        for path in folder.rglob("*")
        if path.suffix in (".py", ".sql", ".j2", ".yml")
        # A migration speaks of the time that it was written for; dbt's unit test says what the shipped policy does.
        and path.parent.name != "versions"
        and path.name != "_unit_tests.yml"
    ]
    assert len(files) > 150
    places = [
        f"{path.relative_to(REPOSITORY)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if literal.search(line)
    ]
    assert places == []
