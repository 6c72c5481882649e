"""What the report of a Monday says, read once and typed.

Who is in the list and how far they are at risk comes from the published database, so that the page and the table agree; what lies
behind it (usage, tickets, contributions, monitoring) from the warehouse, as it was known at S.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import duckdb

from churn_pipeline.contract.lives import settle_days
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.targets import TARGETS, target_of
from churn_pipeline.core.warehouse import has_table
from churn_pipeline.delivery.call_list import CUSTOMERS, customers_of, may_be_approached
from churn_pipeline.delivery.digest import Digest
from churn_pipeline.delivery.digest_query import digest_from
from churn_pipeline.monitoring import outcomes, store
from churn_pipeline.policy import tiers
from churn_pipeline.policy.tiers import Tiers

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

# Half a year: what fits into a chart that is read at a glance, and past it nobody remembers.
WEEKS = 26
TICKET_DAYS = 90
# Truth is a quarter late, so a year of it reaches back further than the lists do.
OUTCOME_WEEKS = 52
# Figures by which the models are shown, with what each is called.
FIGURES = {"auc": "AUC", "ece": "Calibration error (ECE)", "precision_top_200": "Precision at the top 200"}
# No value: a week before a customer was there, or one that is not published.
NOTHING = -1


@dataclass(frozen=True)
class WeekTotals:
    """One published Monday in figures.

    Attributes:
        at_risk: revenue at risk in USD a year, by risk tier; ``customers`` likewise.
        policy: the risk tiers of the policy that made it, the gravest first.
    """

    snapshot_date: date
    scoring_mode: str
    customers: dict[str, int]
    at_risk: dict[str, float]
    candidates: int
    uplift: float
    policy: Tiers

    @property
    def total(self) -> int:
        return sum(self.customers.values())

    @property
    def revenue_at_risk(self) -> float:
        return sum(self.at_risk.values())


@dataclass(frozen=True)
class Outcome:
    """A figure of a model: realised on predictions that have fallen due, or expected of those that have not.

    Attributes:
        basis: ``realised`` or ``expected``.
        promised: the same figure at promotion.
    """

    target: str
    figure: str
    basis: str
    predicted_on: date
    version: str
    rows: int
    value: float | None
    low: float | None
    high: float | None
    promised: float | None
    is_under: bool


@dataclass(frozen=True)
class DriftedFeature:
    """A feature, and how many limits it is away from training, or from last week where that is more."""

    target: str
    feature: str
    verdict: str
    limits: float
    share: float | None
    votes: bool


@dataclass(frozen=True)
class WeekReport:
    """A published Monday, as much of it as the page shows.

    Attributes:
        digest: the figures that Slack is told too.
        customers: one row per customer, the call list first: the columns of `CUSTOMERS`, the first ``reason``, and where there are contributions ``bias`` and
            ``log_odds`` of the model of role risk.
        mondays: of the columns of ``probabilities``, oldest first, the last one S.
        probabilities: shape (customers, WEEKS), probability of the target of role risk in thousandths, `NOTHING` where there is none.
        usage: shape (customers, WEEKS), events in the weeks before S, oldest first; `NOTHING` where there are no usage data.
        tickets: customer (row), age in days at S, priority, topic, is_resolved, hours it took.
        weeks: published Mondays up to S, oldest first.
        policy: the risk tiers of the policy of this Monday, the gravest first.
        unmet: expectations of the data that were not met; None where nothing was judged.
        settle_days: after a window's end, until what happened in it is known.
    """

    snapshot_date: date
    scoring_mode: str
    scored_at: datetime
    run_id: str
    policy_version: str
    digest: Digest
    customers: pa.Table
    mondays: tuple[date, ...]
    probabilities: NDArray[np.int64]
    usage: NDArray[np.int64]
    tickets: list[tuple[int, int, str | None, str | None, bool, float | None]]
    weeks: tuple[WeekTotals, ...]
    policy: Tiers
    outcomes: tuple[Outcome, ...]
    drift: tuple[store.DriftVerdict, ...]
    features: tuple[DriftedFeature, ...]
    judged: bool
    unmet: int | None
    settle_days: int = 0


def read_week(
    published: duckdb.DuckDBPyConnection,
    warehouse: duckdb.DuckDBPyConnection,
    monday: date,
    *,
    weeks: Sequence[WeekTotals] | None = None,
    unmet: int | None = None,
) -> WeekReport:
    """Reads everything that the page of a Monday shows.

    Args:
        published: the published database, read only.
        warehouse: the warehouse.
        monday: S; it is published.
        weeks: :func:`totals`, where they have been read already.
        unmet: expectations of the data that were not met.

    Raises:
        RefusedError: nothing is published for that Monday.
    """
    digest = digest_from(published, monday)
    customers = _customers(published, warehouse, monday)
    mode, scored_at, run_id, policy_version = published.execute(
        "select any_value(scoring_mode), max(scored_at), any_value(run_id), any_value(policy_version) "
        "from predictions where snapshot_date = ?",
        [monday],
    ).fetchall()[0]
    mondays = tuple(monday - n * WEEK for n in reversed(range(WEEKS)))
    return WeekReport(
        snapshot_date=monday,
        scoring_mode=mode,
        scored_at=scored_at,
        run_id=run_id,
        policy_version=policy_version,
        digest=digest,
        customers=customers,
        mondays=mondays,
        probabilities=_probabilities(published, customers, mondays),
        usage=_usage(warehouse, customers, monday),
        tickets=_tickets(warehouse, customers, monday),
        weeks=tuple(week for week in weeks or totals(published) if week.snapshot_date <= monday)[-WEEKS:],
        policy=tiers.of_policies(published, [policy_version])[policy_version],
        outcomes=_outcomes(warehouse, monday),
        drift=tuple(store.drift_verdicts(warehouse, monday)),
        features=_features(warehouse, monday),
        judged=bool(store.judgements(warehouse, monday, 1)),
        unmet=unmet,
        settle_days=settle_days(warehouse),
    )


def totals(published: duckdb.DuckDBPyConnection) -> tuple[WeekTotals, ...]:
    """The headline figures of every published Monday, oldest first."""
    rows = published.execute(
        """
        select snapshot_date, any_value(scoring_mode), risk_tier, count(*), coalesce(sum(revenue_at_risk order by customer_id), 0),
               count(*) filter (where is_expansion_candidate),
               coalesce(sum(expected_arr_uplift order by customer_id) filter (where is_expansion_candidate), 0)
        from predictions
        group by snapshot_date, risk_tier order by snapshot_date, risk_tier
        """
    ).fetchall()
    weeks: dict[date, list[Sequence[Any]]] = {}
    for row in rows:
        weeks.setdefault(row[0], []).append(row)
    policies = tiers.of_mondays(published, "predictions", weeks)
    return tuple(
        WeekTotals(
            snapshot_date=day,
            scoring_mode=tier_rows[0][1],
            customers={row[2]: row[3] for row in tier_rows},
            at_risk={row[2]: float(row[4]) for row in tier_rows},
            candidates=sum(row[5] for row in tier_rows),
            uplift=float(sum(row[6] for row in tier_rows)),
            policy=policies[day],
        )
        for day, tier_rows in weeks.items()
    )


def _customers(published: duckdb.DuckDBPyConnection, warehouse: duckdb.DuckDBPyConnection, monday: date) -> pa.Table:
    """Everybody of the Monday, and what the model of role risk adds the contributions up from and to."""
    import pyarrow as pa

    everybody = published.sql(
        f"select *, reasons[1] as reason, {may_be_approached('everybody')} as may_be_approached from ({CUSTOMERS}) as everybody order by call_rank nulls last, priority_rank",
        params=customers_of(published, monday, reasons=1),
    ).to_arrow_table()
    log_odds: dict[str, tuple[float, float]] = {}
    if has_table(warehouse, "scoring", "scores"):
        log_odds = {
            customer: (bias, total)
            for customer, bias, total in warehouse.execute(
                """
                select customer_id, bias, bias + list_sum(list_transform(contributions, lambda one: one.contribution))
                from scoring.scores where snapshot_date = ? and target = ?
                """,
                [monday, target_of("risk").name],
            ).fetchall()
        }
    pairs = [log_odds.get(customer, (None, None)) for customer in everybody["customer_id"].to_pylist()]
    for position, name in enumerate(("bias", "log_odds")):
        everybody = everybody.append_column(name, pa.array([pair[position] for pair in pairs], pa.float64()))
    return everybody


def _probabilities(
    published: duckdb.DuckDBPyConnection, customers: pa.Table, mondays: Sequence[date]
) -> NDArray[np.int64]:
    probabilities = published.sql(
        f"""
        select customer_id, (snapshot_date - $first) // 7 as week, round(1000 * {target_of("risk").probability_column})::bigint as value
        from predictions where snapshot_date between $first and $last
        """,
        params={"first": mondays[0], "last": mondays[-1]},
    ).to_arrow_table()
    return _matrix(customers, probabilities, NOTHING)


def _usage(warehouse: duckdb.DuckDBPyConnection, customers: pa.Table, monday: date) -> NDArray[np.int64]:
    usage = warehouse.sql(
        """
        select customer_id, $weeks - 1 - ($monday - 1 - event_date) // 7 as week, sum(events)::bigint as value
        from intermediate.int_customer_days
        where known_date < $monday and event_date < $monday and event_date >= $monday - 7 * $weeks::integer
        group by all
        """,
        params={"monday": monday, "weeks": WEEKS},
    ).to_arrow_table()
    return _matrix(customers, usage, 0 if usage.num_rows else NOTHING)


def _matrix(customers: pa.Table, cells: pa.Table, empty: int) -> NDArray[np.int64]:
    """Spreads (customer_id, week, value) over one row per customer and one column per week."""
    import numpy as np
    import pyarrow.compute as pc

    rows = pc.index_in(cells["customer_id"], value_set=customers["customer_id"].combine_chunks())
    known = pc.is_valid(rows).to_numpy()
    matrix = np.full((customers.num_rows, WEEKS), empty, dtype=np.int64)
    rows, columns, values = (
        column.to_numpy()[known] for column in (pc.fill_null(rows, 0), cells["week"], cells["value"])
    )
    matrix[rows, columns] = values
    return matrix


def _tickets(
    warehouse: duckdb.DuckDBPyConnection, customers: pa.Table, monday: date
) -> list[tuple[int, int, str | None, str | None, bool, float | None]]:
    """Tickets of the last `TICKET_DAYS`, newest first; one that was resolved later is open."""
    rows = {customer: row for row, customer in enumerate(customers["customer_id"].to_pylist())}
    tickets = warehouse.execute(
        """
        select customer_id, $monday - created_date, priority, topic, is_resolved,
               case when is_resolved then resolution_seconds / 3600.0 end
        from (
            select *, coalesce(resolved_date < $monday, false) as is_resolved
            from landing.support_tickets where known_date < $monday and created_date >= $monday - $days::integer
        )
        order by customer_id, created_date desc, ticket_id
        """,
        {"monday": monday, "days": TICKET_DAYS},
    ).fetchall()
    return sorted(
        ((rows[customer], *rest) for customer, *rest in tickets if customer in rows), key=lambda ticket: ticket[0]
    )


def _outcomes(warehouse: duckdb.DuckDBPyConnection, monday: date) -> tuple[Outcome, ...]:
    """What the models turned out to be worth by S, and what this Monday's predictions are expected to be."""
    outcomes.create_tables(warehouse)
    # Of the longest horizon as many weeks again as its truth takes.
    settled = settle_days(warehouse)
    weeks = max(OUTCOME_WEEKS, *(2 * target.settled(settled).closing_weeks for target in TARGETS.values()))
    rows = warehouse.execute(
        """
        select target, figure, basis, predicted_on, version, "rows", value, low, high, promised, is_under
        from monitoring.model_quality
        where plan_tier = 'all' and customers = 'all' and figure in (select unnest($figures::varchar[]))
            and (basis = 'realised' and assessed_on <= $monday or basis = 'expected' and assessed_on = $monday)
            and predicted_on > $monday - 7 * $weeks::integer
        order by target, figure, predicted_on, basis
        """,
        {"monday": monday, "figures": list(FIGURES), "weeks": weeks},
    ).fetchall()
    return tuple(Outcome(*row) for row in rows if row[0] in TARGETS)


def _features(warehouse: duckdb.DuckDBPyConnection, monday: date) -> tuple[DriftedFeature, ...]:
    """Every feature by how many limits it is away, the farthest first. A distance without a limit is no evidence."""
    store.create_tables(warehouse)
    rows = warehouse.execute(
        """
        select target, feature, verdict,
               greatest(coalesce(psi_reference / limit_reference, 0), coalesce(psi_week / limit_week, 0)) as limits, share, votes
        from monitoring.drift where snapshot_date = ? and plan_tier = 'all' order by target, limits desc, feature
        """,
        [monday],
    ).fetchall()
    return tuple(DriftedFeature(*row) for row in rows)
