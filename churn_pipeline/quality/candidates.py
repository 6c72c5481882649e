"""The publishing edge: the candidates of each Monday, before they replace what is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from churn_pipeline.contract import TABLES
from churn_pipeline.core.sql import quoted
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features.verdicts import MondayCheck
from churn_pipeline.policy import tiers
from churn_pipeline.quality import suites
from churn_pipeline.quality.gx import judge
from churn_pipeline.quality.results import FailingRows, Judgement

_CANDIDATES = "policy.prediction_candidates"
_KEYS = ["snapshot_date", "customer_id"]
_JUDGED = [*_KEYS, "risk_tier", "risk_score", "risk_score_tier"]
# Shorter values occur inside other words.
_SHORTEST_NAME = 4


@dataclass(frozen=True)
class CandidatesJudgement:
    """What became of the candidates of one Monday."""

    snapshot_date: date
    judgement: Judgement

    def checks(self) -> list[MondayCheck]:
        """One result per expectation, to be stored and combined with those of the dbt tests."""
        return [
            MondayCheck(
                self.snapshot_date,
                f"candidates_{verdict.expected.name}",
                verdict.passed,
                "" if verdict.passed else f"{verdict.expected.sentence} {verdict.observed}",
            )
            for verdict in self.judgement.verdicts
        ]

    def failing(self) -> tuple[FailingRows, ...]:
        """A sample of the failing rows of each expectation that is about rows."""
        samples = []
        for verdict in self.judgement.failed:
            if verdict.rows:
                columns = tuple(dict.fromkeys([*_KEYS, *verdict.rows[0]]))
                rows = tuple(tuple(row.get(column) for column in columns) for row in verdict.rows)
                samples.append(FailingRows(verdict.expected.sentence, columns, rows, verdict.count))
        return tuple(samples)


# Columns whose text the pipeline makes.
_SENTENCES = (
    "churn_themes",
    "churn_drivers",
    "change_drivers",
    "expansion_drivers",
    "recommended_action",
    "talking_points",
    "play",
)


def judge_candidates(con: duckdb.DuckDBPyConnection, mondays: Sequence[date]) -> list[CandidatesJudgement]:
    """Judges the candidates, Monday by Monday, so that a bad one does not stop the others and memory holds one.

    Args:
        con: the warehouse, after ``prediction_candidates`` was built.
        mondays: the Mondays that this run scored.
    """
    policy = [(tier.risk_tier, tier.lower_bound) for tier in reversed(tiers.of_candidates(con))]
    personal = _personal_columns(con)
    judged_columns = [*_JUDGED, *(target.probability_column for target in TARGETS.values())]
    judged = []
    for day in mondays:
        (active,) = con.execute(
            "select count(*) from marts.mart_customer_churn_features where snapshot_date = ?", [day]
        ).fetchall()[0]
        frame = con.execute(
            f"""
            select {", ".join(judged_columns)}, len(churn_drivers) as churn_drivers
            from {_CANDIDATES} where snapshot_date = ? order by customer_id
            """,
            [day],
        ).df()
        frame["snapshot_date"] = str(day)
        # Two facts about all rows together stand in the first one.
        frame[suites.PERSONAL_COLUMNS] = None
        frame[suites.PERSONAL_ROWS] = float("nan")
        if len(frame):
            frame[suites.PERSONAL_COLUMNS] = [", ".join(personal) or None, *[None] * (len(frame) - 1)]
            frame.loc[0, suites.PERSONAL_ROWS] = float(_rows_with_personal_values(con, day))
        # An empty list has length 0 and a missing one has none; both leave the customer without a reason.
        frame["churn_drivers"] = frame["churn_drivers"].fillna(0)
        expected = suites.of_candidates(policy, active)
        judged.append(CandidatesJudgement(day, judge(suites.CANDIDATES, expected, frame, run=str(day), keys=_KEYS)))
    return judged


def _personal_columns(con: duckdb.DuckDBPyConnection) -> list[str]:
    names = {name.lower() for (name, *_) in con.execute(f"describe {_CANDIDATES}").fetchall()}
    return sorted(names & set(suites.personal_columns()))


def _rows_with_personal_values(con: duckdb.DuckDBPyConnection, day: date) -> int:
    """Rows with a text in which the customer's own personal data occurs.

    Names are made of ordinary words: a customer called "Retail" or "Usage" has its name in every sentence, and no list may be stopped for it.
    So a value counts only where no customer with another one has it in a text too.
    """
    # What we write ourselves, by way of its text form; what comes from the source, such as an industry, may well be a company's name too.
    there = {name for (name, *_) in con.execute(f"describe {_CANDIDATES}").fetchall()}
    texts = [quoted(name) for name in _SENTENCES if name in there]
    values = " union all ".join(
        f"select customer_id, lower(trim({table.restored[column.name]})) as value from landing.{table.name}"
        for table in TABLES.values()
        for column in table.columns
        if column.pii
    )
    counts = con.execute(
        f"""
        with texts as (
            select customer_id, lower(concat_ws(' | ', {", ".join(f"{name}::varchar" for name in texts)})) as text
            from {_CANDIDATES} where snapshot_date = $day
        ),
        own as (select distinct customer_id, value from ({values}) where length(value) >= {_SHORTEST_NAME}),
        shown as materialized (select own.* from own inner join texts using (customer_id) where contains(text, value))
        select count(distinct shown.customer_id)
        from shown
        where not exists (
            select 1 from texts
            left join own as theirs using (customer_id)
            where contains(texts.text, shown.value) and not contains(coalesce(theirs.value, ''), shown.value)
        )
        """,
        {"day": day},
    ).fetchall()
    return int(counts[0][0])
