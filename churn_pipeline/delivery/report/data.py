"""What the report of a Monday says, read once and typed.

Who is in the list and how far they are at risk comes from the published database, so that the page and the table agree; what lies
behind it (usage, tickets, contributions, monitoring) from the warehouse, as it was known at S.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb

from churn_pipeline.contract.lives import settling
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import shipped
from churn_pipeline.core.targets import TARGETS, target_of
from churn_pipeline.core.themes import OTHER, PARTS
from churn_pipeline.core.warehouse import has_table
from churn_pipeline.delivery.call_list import (
    CHOICE,
    CUSTOMERS,
    PREDICTIONS,
    customers_of,
    last_contacts,
    main_reason,
    may_be_approached,
)
from churn_pipeline.delivery.digest import Digest
from churn_pipeline.delivery.digest_query import digest_from
from churn_pipeline.delivery.report import figures, since
from churn_pipeline.delivery.report.figures import Figures
from churn_pipeline.delivery.report.since import Group, SinceLastWeek
from churn_pipeline.features.catalogue import Catalogue, read_catalogue
from churn_pipeline.monitoring import outcomes, store
from churn_pipeline.monitoring.interventions import Lift, Saves
from churn_pipeline.policy import playbook, tiers
from churn_pipeline.policy.power import power_on, power_sentence
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
        candidates: for an offer, with their expected uplift; None where no model of expansion was in force.
        policy: the risk tiers of the policy that made it, the gravest first.
        calls: customers on the call list; None for a Monday before there was one.
    """

    snapshot_date: date
    scoring_mode: str
    customers: dict[str, int]
    at_risk: dict[str, float]
    candidates: int | None
    uplift: float | None
    policy: Tiers
    calls: int | None

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
class Worth:
    """What is known of what calls were worth.

    Attributes:
        first_list: the first Monday with a call list; None before there was one.
        known_on: the Monday on which its outcome is known.
        saves: of the newest list whose outcome is known and on which somebody was called.
        lift: what the hold-out says, of everybody whose outcome is known.
        power: what the hold-out in force can show and when, in words; empty without one.
        has_interventions: some call, mail or visit is on file by S.
    """

    first_list: date | None
    known_on: date | None
    saves: Saves | None
    lift: Lift | None
    power: str
    has_interventions: bool


@dataclass(frozen=True)
class Forecast:
    """Annual revenue that is expected to leave within a horizon, with an 80 % interval.

    Attributes:
        customers: how many there are.
        revenue: what they pay.
        past_mondays: past Mondays whose truth was known by then; on `past_covered` of them it lay in the interval.
        realised: what left, where it is known by S.
    """

    snapshot_date: date
    horizon_days: int
    dimension: str
    value: str
    customers: int
    revenue: float
    expected: float
    low: float
    high: float
    past_mondays: int
    past_covered: int
    realised: float | None


@dataclass(frozen=True)
class Retention:
    """Shares of revenue that stayed since `base_date`, and that are expected to stay to the end of the longest horizon. None is not known."""

    dimension: str
    value: str
    base_date: date | None
    gross: float | None
    net: float | None
    is_todays_price: bool
    horizon_days: int
    revenue: float
    expected_gross: float | None
    expected_gross_low: float | None
    expected_gross_high: float | None
    expected_net: float | None


@dataclass(frozen=True)
class WeekReport:
    """A published Monday, as much of it as the page shows.

    Attributes:
        digest: the figures that Slack is told too.
        customers: one row per customer, the call list first: the columns of `CUSTOMERS`, the first ``reason``, and where there are contributions ``bias`` and
            ``log_odds`` of the model of role risk; ``open_tickets`` and ``open_critical_tickets`` (null where no tickets are known),
            ``contact_on``, ``contact_kind`` and ``contact_outcome`` of the last contact.
        has_list: a call list was made for this Monday.
        call_reasons: what the reasons for a call are called.
        since: what is different from the Monday before; None where that is not published.
        figures: by owner, and of everybody.
        parts: names of the columns of ``contributions``; themes and, last, what has none.
        contributions: shape (customers, parts), what they add to ``bias``, in ten thousandths of log-odds.
        call_ranks: shape (customers, WEEKS), place on the lists, 0 for none; `NOTHING` where there was no list, or no such customer.
        worth: what calls were worth, as far as that is known.
        forecasts: of this Monday for every group, and of earlier ones for everybody; ``retention`` likewise of this Monday.
        no_expansion: why no model of expansion is in force; None where there is one.
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
    has_list: bool
    call_reasons: Mapping[str, str]
    since: SinceLastWeek | None
    figures: Mapping[Group, Figures]
    parts: tuple[str, ...]
    contributions: NDArray[np.int64]
    call_ranks: NDArray[np.int64]
    worth: Worth
    forecasts: tuple[Forecast, ...]
    retention: tuple[Retention, ...]
    no_expansion: str | None
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

    @property
    def has_money(self) -> bool:
        """What some customer pays is known; without it nothing is said in dollars, and nothing unknown is shown as 0."""
        return self.customers["revenue_at_risk"].null_count < self.customers.num_rows


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
    settled = settling(warehouse).at(monday).days
    outcomes.create_tables(warehouse)
    return WeekReport(
        snapshot_date=monday,
        scoring_mode=mode,
        scored_at=scored_at,
        run_id=run_id,
        policy_version=policy_version,
        digest=digest,
        customers=customers,
        has_list=customers["is_on_call_list"].null_count < customers.num_rows,
        call_reasons=playbook.call_reasons(published, monday),
        since=since.read(published, monday),
        figures=figures.by_owner(customers, monday),
        parts=tuple(PARTS),
        contributions=_contributions(warehouse, customers, monday),
        call_ranks=_call_ranks(published, customers, mondays),
        worth=_worth(published, warehouse, monday),
        forecasts=_forecasts(warehouse, monday),
        retention=_retention(warehouse, monday),
        no_expansion=_no_expansion(published, customers, monday),
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
        settle_days=settled,
    )


def totals(published: duckdb.DuckDBPyConnection) -> tuple[WeekTotals, ...]:
    """The headline figures of every published Monday, oldest first."""
    rows = published.execute(
        f"""
        select snapshot_date, any_value(scoring_mode), risk_tier, count(*), coalesce(sum(revenue_at_risk order by customer_id), 0),
               count(*) filter (where is_expansion_candidate),
               coalesce(sum(expected_arr_uplift order by customer_id) filter (where is_expansion_candidate), 0),
               count(is_expansion_candidate) > 0, count(*) filter (where is_on_call_list), count(is_on_call_list) > 0
        from {PREDICTIONS} as predictions
        group by snapshot_date, risk_tier order by snapshot_date, risk_tier
        """
    ).fetchall()
    weeks: dict[date, list[Sequence[Any]]] = {}
    for row in rows:
        weeks.setdefault(row[0], []).append(row)
    policies = tiers.of_mondays(published, "predictions", weeks)
    return tuple(_totals(day, tier_rows, policies[day]) for day, tier_rows in weeks.items())


def _totals(day: date, rows: Sequence[Sequence[Any]], policy: Tiers) -> WeekTotals:
    _, modes, names, customers, at_risk, candidates, uplift, has_growth, calls, has_list = zip(*rows, strict=True)
    return WeekTotals(
        snapshot_date=day,
        scoring_mode=modes[0],
        customers=dict(zip(names, customers, strict=True)),
        at_risk=dict(zip(names, map(float, at_risk), strict=True)),
        candidates=sum(candidates) if any(has_growth) else None,
        uplift=float(sum(uplift)) if any(has_growth) else None,
        policy=policy,
        calls=sum(calls) if any(has_list) else None,
    )


def _customers(published: duckdb.DuckDBPyConnection, warehouse: duckdb.DuckDBPyConnection, monday: date) -> pa.Table:
    """Everybody of the Monday, and what the model of role risk adds the contributions up from and to."""
    import pyarrow as pa

    everybody = published.sql(
        f"select *, {may_be_approached('everybody')} as may_be_approached from ({CUSTOMERS}) as everybody order by call_rank nulls last, priority_rank",
        params=customers_of(published, monday, reasons=CHOICE),
    ).to_arrow_table()
    # What stands beside the instruction in Slack and in the terminal stands beside it here.
    advice = zip(everybody["reasons"].to_pylist(), everybody["recommended_action"].to_pylist(), strict=True)
    reasons = [main_reason(sentences or (), action) for sentences, action in advice]
    everybody = everybody.append_column("reason", pa.array(reasons, pa.string()))
    if has_table(warehouse, "scoring", "scores"):
        log_odds = warehouse.execute(
            """
            select customer_id, bias, bias + list_sum(list_transform(contributions, lambda each: each.contribution))
            from scoring.scores where snapshot_date = ? and target = ?
            """,
            [monday, target_of("risk").name],
        ).fetchall()
    else:
        log_odds = []
    everybody = _with(everybody, log_odds, {"bias": pa.float64(), "log_odds": pa.float64()})
    tickets = {"open_tickets": pa.int64(), "open_critical_tickets": pa.int64()}
    rows, absent = open_tickets(warehouse, monday)
    everybody = _with(everybody, rows, tickets, absent)
    contact = {"contact_on": pa.string(), "contact_kind": pa.string(), "contact_outcome": pa.string()}
    contacts = [(customer, str(day), *rest) for customer, (day, *rest) in last_contacts(warehouse, monday).items()]
    return _with(everybody, contacts, contact)


def _with(customers: pa.Table, rows: Sequence[Sequence[Any]], names: Mapping[str, Any], absent: Any = None) -> pa.Table:
    """The table with further columns, from rows of a customer and one value for each of them; ``absent`` stands where there is no row."""
    import pyarrow as pa

    by_customer = {customer: values for customer, *values in rows}
    none = [absent] * len(names)
    aligned = [by_customer.get(customer, none) for customer in customers["customer_id"].to_pylist()]
    for place, (name, kind) in enumerate(names.items()):
        customers = customers.append_column(name, pa.array([values[place] for values in aligned], kind))
    return customers


def open_tickets(warehouse: duckdb.DuckDBPyConnection, monday: date) -> tuple[list[tuple[str, int, int]], int | None]:
    """Open tickets of whatever age, as known before a Monday.

    Returns:
        By customer how many, and how many critical ones of them; and what whoever is not among these has: none, or nobody knows.
    """
    rows = warehouse.execute(
        """
        select customer_id, count(*) filter (where is_open), count(*) filter (where is_open and priority = 'critical')
        from (
            select *, not coalesce(resolved_date < $monday, false) as is_open
            from landing.support_tickets where known_date < $monday and created_date < $monday
        )
        group by 1
        """,
        {"monday": monday},
    ).fetchall()
    return rows, 0 if rows else None


@cache
def catalogue(mart: str) -> Catalogue:
    """Today's catalogue of a mart: in its words features are called, and by it they belong to themes."""
    return read_catalogue(shipped("dbt_project") / "models" / "marts" / f"{mart}.yml")


def _contributions(warehouse: duckdb.DuckDBPyConnection, customers: pa.Table, monday: date) -> NDArray[np.int64]:
    """What each theme adds to the log-odds of the model of role risk; features that have no theme today are the last column but one."""
    import numpy as np

    if not has_table(warehouse, "scoring", "scores"):
        return np.zeros((customers.num_rows, len(PARTS)), dtype=np.int64)
    risk = target_of("risk")
    themes = {feature.name: feature.theme for feature in catalogue(risk.mart)}
    cells = warehouse.sql(
        """
        with contributions as (
            select customer_id, unnest(contributions) as each from scoring.scores where snapshot_date = $monday and target = $target
        ),
        themes as (select unnest($features::varchar[]) as feature, unnest($themes::varchar[]) as theme)
        select customer_id, list_position($parts::varchar[], coalesce(theme, $other)) - 1 as week,
               round(10000 * sum(each.contribution))::bigint as value
        from contributions left join themes on themes.feature = each.feature
        group by all
        """,
        params={
            "monday": monday,
            "target": risk.name,
            "features": list(themes),
            "themes": list(themes.values()),
            "parts": list(PARTS),
            "other": OTHER,
        },
    ).to_arrow_table()
    return _matrix(customers, cells, 0, len(PARTS))


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


def _call_ranks(
    published: duckdb.DuckDBPyConnection, customers: pa.Table, mondays: Sequence[date]
) -> NDArray[np.int64]:
    ranks = published.sql(
        f"""
        select customer_id, (snapshot_date - $first) // 7 as week, coalesce(call_rank, 0) as value
        from {PREDICTIONS} as predictions where snapshot_date between $first and $last and is_on_call_list is not null
        """,
        params={"first": mondays[0], "last": mondays[-1]},
    ).to_arrow_table()
    return _matrix(customers, ranks, NOTHING)


def weeks_listed(call_ranks: NDArray[np.int64]) -> list[int]:
    """For how many Mondays in a row, up to this one, each customer has been on the list.

    Args:
        call_ranks: see `WeekReport`.
    """
    import numpy as np

    return np.cumprod(call_ranks[:, ::-1] > 0, axis=1).sum(axis=1).tolist()


def _matrix(customers: pa.Table, cells: pa.Table, empty: int, width: int = WEEKS) -> NDArray[np.int64]:
    """Spreads (customer_id, week, value) over one row per customer and one column per week, or whatever else the columns are."""
    import numpy as np
    import pyarrow.compute as pc

    rows = pc.index_in(cells["customer_id"], value_set=customers["customer_id"].combine_chunks())
    known = pc.is_valid(rows).to_numpy()
    matrix = np.full((customers.num_rows, width), empty, dtype=np.int64)
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
    # Of the longest horizon as many weeks again as its truth takes.
    settled = settling(warehouse).at(monday).days
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


def _worth(published: duckdb.DuckDBPyConnection, warehouse: duckdb.DuckDBPyConnection, monday: date) -> Worth:
    ((first_list,),) = published.execute(
        f"select min(snapshot_date) from {PREDICTIONS} as predictions where is_on_call_list is not null and snapshot_date <= ?",
        [monday],
    ).fetchall()
    ((has_interventions,),) = warehouse.execute(
        "select exists (from landing.interventions where known_date < ?)", [monday]
    ).fetchall()

    def newest[T](kind: type[T], table: str) -> T | None:
        # Tables of an older version lack what came later, and its rows have nulls there.
        columns = ", ".join(field.name for field in fields(kind))  # type: ignore[arg-type]
        whole = " and ".join(f"{field.name} is not null" for field in fields(kind))  # type: ignore[arg-type]
        rows = warehouse.execute(
            f"select {columns} from monitoring.{table} where assessed_on <= ? and {whole} order by predicted_on desc limit 1",
            [monday],
        ).fetchall()
        return kind(*rows[0]) if rows else None

    return Worth(
        first_list=first_list,
        known_on=_due(warehouse, first_list) if first_list else None,
        saves=newest(Saves, "saves"),
        lift=newest(Lift, "holdout_lift"),
        power=_power(published, warehouse, monday),
        has_interventions=has_interventions,
    )


def _due(warehouse: duckdb.DuckDBPyConnection, snapshot_date: date) -> date:
    """The Monday on which it is known what became of the list of a Monday."""
    return snapshot_date + target_of("risk").settled(settling(warehouse).at(snapshot_date).days).closing_weeks * WEEK


def _power(published: duckdb.DuckDBPyConnection, warehouse: duckdb.DuckDBPyConnection, monday: date) -> str:
    if not has_table(warehouse, "control", "holdout"):
        return ""
    in_force = warehouse.execute(
        "select share, effective_from from control.holdout where effective_from <= ? order by effective_from desc limit 1",
        [monday],
    ).fetchall()
    share, first = in_force[0] if in_force else (0.0, None)
    return power_sentence(power_on(published.cursor(), "predictions", monday, share), share, first) if share else ""


def _forecasts(warehouse: duckdb.DuckDBPyConnection, monday: date) -> tuple[Forecast, ...]:
    """What this Monday leads to expect, and what earlier ones did, with the truth where it is known by S; oldest first."""
    if not has_table(warehouse, "monitoring", "forecast"):
        return ()
    rows = warehouse.execute(
        """
        select snapshot_date, horizon_days, dimension, value, customers, revenue, expected, low, high, past_mondays, past_covered,
               case when assessed_on <= $monday then realised end
        from monitoring.forecast
        where snapshot_date = $monday or snapshot_date between $monday - 7 * $weeks::integer and $monday and dimension = 'all'
        order by snapshot_date, horizon_days, dimension = 'all' desc, dimension, revenue desc, value
        """,
        {"monday": monday, "weeks": OUTCOME_WEEKS},
    ).fetchall()
    return tuple(Forecast(*row) for row in rows)


def _retention(warehouse: duckdb.DuckDBPyConnection, monday: date) -> tuple[Retention, ...]:
    if not has_table(warehouse, "monitoring", "retention"):
        return ()
    rows = warehouse.execute(
        """
        select dimension, value, base_date, gross, net, is_todays_price, horizon_days, revenue, expected_gross, expected_gross_low,
               expected_gross_high, expected_net
        from monitoring.retention where snapshot_date = ? order by dimension = 'all' desc, dimension, revenue desc, value
        """,
        [monday],
    ).fetchall()
    return tuple(Retention(*row) for row in rows)


def _no_expansion(published: duckdb.DuckDBPyConnection, customers: pa.Table, monday: date) -> str | None:
    """Why nobody's growth was predicted; None where somebody's was."""
    growth = target_of("expansion")
    if customers[growth.probability_column].null_count < customers.num_rows:
        return None
    newest = published.execute(
        "select reason, promoted from promotions where target = ? and labels_closed_by <= ? and effective_from <= ? order by seq desc limit 1",
        [growth.name, monday, monday],
    ).fetchall()
    if not newest:
        return "none was trained yet"
    ((reason, promoted),) = newest
    return "no version of it could be used" if promoted else str(reason).removeprefix("refused: ").rstrip(".")
