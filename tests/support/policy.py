"""The policy in tests: a project whose seeds may be edited, kept seeds for tables made by hand, and rows worked out again from what is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.policy import tiers

POLICY_SEEDS = (
    "call_economics", "call_reasons", "intervention_kinds", "money_bands", "plan_ladder", "playbook", "policy_parameters", "risk_tiers",
    "segments", "talking_points",
)  # fmt: skip
SHIPPED = tiers.declared(REPOSITORY / "dbt_project")
TIERS = [tier.risk_tier for tier in SHIPPED]


def keep_shipped_policy(con: duckdb.DuckDBPyConnection, versions: Iterable[str], table: str = "policy_seeds") -> None:
    """Keeps the shipped tiers under some versions, as a run that used them would have."""
    con.execute(
        f"create table if not exists {table} (policy_version varchar, seed varchar, content varchar, first_used timestamp)"
    )
    content = (REPOSITORY / "dbt_project" / "seeds" / "risk_tiers.csv").read_text(encoding="utf-8")
    for version in versions:
        con.execute(f"insert into {table} values (?, 'risk_tiers', ?, null)", [version, content])


def project_of_its_own(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """A copy of the dbt project, which everything in this process takes for the project from now on."""
    project = folder / "dbt_project"
    shutil.copytree(REPOSITORY / "dbt_project", project, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setattr(Settings, "dbt_source", property(lambda _: project))
    return project


def edit_seed(project: Path, seed: str, change: Callable[[str], str]) -> None:
    """Edits the file of a seed; an edit that changes nothing is a mistake in the test."""
    path = project / "seeds" / f"{seed}.csv"
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    path.write_text(after, encoding="utf-8")


def rows_that_their_policy_does_not_give(
    con: duckdb.DuckDBPyConnection, predictions: str, kept: str, folder: Path
) -> list[tuple]:
    """Rows whose tier, play or action is not what the seeds kept of their policy_version give, in plain SQL.

    Args:
        con: a database with both tables.
        predictions: table of the rows.
        kept: table of the kept seeds.
        folder: for the seeds as files.

    Returns:
        Version, customer, and what the row says of itself; a version whose seeds are not kept is one too.
    """
    wrong: list[tuple] = []
    for (version,) in con.execute(f"select distinct policy_version from {predictions} order by 1").fetchall():
        seeds = dict(con.execute(f"select seed, content from {kept} where policy_version = ?", [version]).fetchall())
        if not seeds:
            wrong.append((version, "no seed is kept"))
            continue
        files = {}
        for seed, content in seeds.items():
            files[seed] = folder / f"{version}_{seed}.csv"
            files[seed].write_text(content, encoding="utf-8")
        columns = seeds["playbook"].split("\n", 1)[0].split(",")
        conditions = " and ".join(
            f"(playbook.{column} is null or playbook.{column} = {fact})"
            for column, fact in {
                "is_on_call_list": "tiered.is_on_call_list::varchar",
                "lifecycle": "tiered.lifecycle",
                "risk_tier": "tiered.own_tier",
                "money_band": "tiered.money_band",
                "theme": "tiered.churn_themes[1].theme",
                "segment": "tiered.own_segment",
            }.items()
            if column in columns
        )
        template = "playbook.recommended_action"
        kind = "playbook.action_kind" if "action_kind" in columns else "null"
        matches = (
            "regexp_full_match(tiered.recommended_action, "
            f"regexp_replace(regexp_escape({template}), '\\\\\\{{\\w+\\\\\\}}', '.+', 'g'))"
        )
        wrong += con.execute(
            f"""
            with parameters as (select parameter, value from read_csv('{files["policy_parameters"]}')),
            facts as (
                select *,
                       churn_probability_90d
                       >= (select value from parameters where parameter = 'play_churn_threshold') as at_risk,
                       coalesce(
                           expansion_propensity
                           >= (select value from parameters where parameter = 'play_expansion_threshold'), false
                       ) as ready_to_grow
                from {predictions} where policy_version = '{version}'
            ),
            tiered as (
                select facts.*, own.risk_tier as own_tier, segments.segment as own_segment
                from facts
                asof left join read_csv('{files["risk_tiers"]}') as own on facts.churn_probability_90d >= own.lower_bound
                left join read_csv('{files["segments"]}') as segments using (at_risk, ready_to_grow)
            ),
            played as (
                select tiered.*, playbook.play as own_play, {template} as own_action, {kind} as own_kind, {matches} as says_it
                from tiered
                left join read_csv('{files["playbook"]}', all_varchar = true, header = true) as playbook on {conditions}
                -- A row that names a fact is passed over where nobody knows the fact, and only there.
                where playbook.position is null or {matches} or not contains(playbook.recommended_action, '{{')
                qualify row_number() over (
                    partition by tiered.snapshot_date, tiered.customer_id order by playbook.position::integer
                ) = 1
            )
            select policy_version, snapshot_date, customer_id, risk_tier, own_tier, play, own_play
            from played
            where (risk_tier, play, {"action_kind" if "action_kind" in columns else "null"}) is distinct from (own_tier, own_play, own_kind)
                or not says_it
            """
        ).fetchall()
    return wrong
