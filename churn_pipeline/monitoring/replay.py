"""What each Monday's call list would have been worth, told with the truth known today.

Read are the predictions of past Mondays, each written with the model that was in force then, and compared with who left
afterwards. Judged is the list that was worked, where there was one, else the first by priority_rank. Beside it stand the rule of
thumb, logistic regression, revenue alone and chance, which rank the same customers and get the same number of calls, and the best
possible list, which only hindsight has.

Nothing is said before it is known: a label counts once its window has closed, and what is not defined is None, never 0.
The logistic regression of a Monday is fitted on what was closed at that Monday's training Monday, so it looks no
further ahead than the model did.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, timedelta
from typing import Any, Literal

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core import calendar
from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.formatting import usd
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import Target, by_horizon, target_of
from churn_pipeline.core.warehouse import has_table
from churn_pipeline.features import frames
from churn_pipeline.features.catalogue import read_catalogue
from churn_pipeline.features.splits import refit_slices
from churn_pipeline.modeling import guard
from churn_pipeline.modeling.baselines import rule_score
from churn_pipeline.modeling.calibrate import sigmoid
from churn_pipeline.modeling.encode import Encoder
from churn_pipeline.modeling.evaluate import TOP_PER_WEEK, Estimate, Resamples, estimate, quantile_bins
from churn_pipeline.modeling.linear import Linear
from churn_pipeline.monitoring import lists
from churn_pipeline.monitoring.lists import Basis

type Floats = NDArray[np.float64]
type Ranking = Literal["revenue", "probability"]
type Caller = Literal["model", "logistic", "rule", "mrr", "chance", "best"]

# By revenue: the list and, for a baseline, its score times annual revenue (the rule: the silent first, the larger
# before the smaller). By probability: the score alone. Who pays most is called by revenue only, and hindsight knows who pays most of
# those who left.
RANKINGS: tuple[Ranking, ...] = ("revenue", "probability")
CALLERS: tuple[Caller, ...] = ("model", "logistic", "rule", "mrr", "chance", "best")
CALLERS_OF: Mapping[Ranking, tuple[Caller, ...]] = {
    "revenue": CALLERS,
    "probability": ("model", "logistic", "rule", "chance"),
}
_DECILES = 10
# Usage may rest over a long weekend. Longer, and whoever left in days without data would count as having stayed;
# shorter, and a company that is closed on Sundays would know a week less than it does.
_QUIET = timedelta(days=3)


@dataclass(frozen=True)
class Held:
    """What the called of one Monday held. Fractional where a tie had to be cut, and for chance: both are expectations.

    Attributes:
        churners: of the called, those who left within 90 days.
        revenue: annual revenue of those, in USD.
    """

    churners: float
    revenue: float


@dataclass(frozen=True)
class Flag:
    """The product's flag, a probability over 0.7 of the target of role flag (30 days), against who left within its horizon.

    Attributes:
        flagged: customers flagged.
        hits: of those, who left.
        churners: all who left.
    """

    flagged: int
    hits: int
    churners: int

    @property
    def precision(self) -> float | None:
        """hits / flagged; None when nobody was flagged."""
        return self.hits / self.flagged if self.flagged else None

    @property
    def recall(self) -> float | None:
        """hits / churners; None when nobody left."""
        return self.hits / self.churners if self.churners else None


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error of one Monday.

    Attributes:
        ece: mean absolute difference of forecast and observed share over 15 bins of equal size (Naeini et al., 2015).
        floor: what true probabilities would show on as many customers, by chance alone: in a bin the difference is
            about normal with variance sum p (1 - p), and the mean of its absolute value is sqrt(2 / pi) standard
            deviations.
    """

    ece: float
    floor: float


@dataclass(frozen=True)
class Decile:
    """A tenth of all customers and Mondays, by rising probability.

    Attributes:
        rows: customers on Mondays.
        forecast: mean probability.
        observed: share that left, with a 95 % interval that resamples customers.
    """

    rows: int
    forecast: float
    observed: Estimate


@dataclass(frozen=True)
class MondayDecile:
    """A tenth of the customers of one Monday, by rising probability.

    Attributes:
        rows: customers.
        forecast: mean probability.
        observed: share that left.
        chance: standard deviation of ``observed`` if every probability were true: sqrt(sum p (1 - p)) / rows, that of a
            sum of independent trials.
    """

    rows: int
    forecast: float
    observed: float
    chance: float

    @property
    def beyond_chance(self) -> bool:
        """Whether true probabilities would come this far off on about one decile in twenty only."""
        return abs(self.observed - self.forecast) > 1.96 * self.chance


@dataclass(frozen=True)
class ReplayWeek:
    """One Monday of the range.

    Attributes:
        snapshot_date: S.
        state: ``judged``; ``open`` when it was scored and its 90-day window has not closed; ``missing`` when there are
            no predictions.
        reason: why figures are not there; empty when all of them are.
        scoring_mode: ``live`` or ``as_of``; None when missing, like everything below.
        model_version: of the target of role risk (90 days).
        customers: scored and still in the data.
        forgotten: scored and no longer in the data (erased on request); judged by no figure.
        basis: what the list is taken from: who was on the call list, or priority_rank; None where the 90-day window is open, like
            everything of 90 days below.
        calls: its length, and that of the others.
        churners: customers who left within 90 days.
        expected_revenue: annual revenue that was expected to leave in USD, the sum of 90-day probability times revenue.
        churned_revenue: their annual revenue in USD; a customer whose revenue is not known adds 0.
        held: by ranking and caller, what the called held; None for a baseline that could not be had (see ``notes``).
        flag: at 30 days.
        calibration_30d: of the target of role flag.
        calibration_90d: of the target of role risk.
        deciles: by target, for each whose window has closed; fewer than ten where probabilities are equal.
        notes: why a baseline is not there, and who is not judged.
    """

    snapshot_date: date
    state: Literal["judged", "open", "missing"]
    reason: str
    scoring_mode: str | None = None
    model_version: str | None = None
    customers: int | None = None
    forgotten: int | None = None
    basis: Basis | None = None
    calls: int | None = None
    churners: int | None = None
    expected_revenue: float | None = None
    churned_revenue: float | None = None
    held: Mapping[Ranking, Mapping[Caller, Held | None]] | None = None
    flag: Flag | None = None
    calibration_30d: CalibrationError | None = None
    calibration_90d: CalibrationError | None = None
    deciles: Mapping[str, tuple[MondayDecile, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    settle_days: int = 0

    @property
    def closes_30d(self) -> date:
        """When the 30-day window closes; its figures are there from the first Monday that is not before."""
        return self.snapshot_date + timedelta(days=target_of("flag").settled(self.settle_days).closing_days)

    @property
    def closes_90d(self) -> date:
        """Likewise of the 90-day window."""
        return self.snapshot_date + timedelta(days=target_of("risk").settled(self.settle_days).closing_days)


@dataclass(frozen=True)
class Total:
    """A caller over the Mondays that are judged and on which it could call, each figure with its 95 % interval.

    The interval comes from resampling customers (the same ones appear on many Mondays), re-ranking every Monday's list
    in each resample.

    Attributes:
        weeks: number of those Mondays.
        churners: mean per Monday among the called.
        revenue: mean per Monday of the annual revenue of those, in USD.
        revenue_share: that revenue over all churned revenue of the same Mondays.
        advantage: the model's mean churners minus this caller's, on the same Mondays and resamples; None for the model
            itself.
        revenue_advantage: likewise of revenue, in USD.
    """

    weeks: int
    churners: Estimate
    revenue: Estimate
    revenue_share: Estimate
    advantage: Estimate | None
    revenue_advantage: Estimate | None


@dataclass(frozen=True)
class MoneyTotal:
    """Whether the probabilities meant what they said where the money is, over the Mondays whose window has closed.

    Attributes:
        weeks: number of those Mondays.
        expected: mean per Monday of the annual revenue that was expected to leave, in USD.
        left: mean per Monday of the annual revenue that left.
        ratio: left over expected; 1 is right. 95 % interval that resamples customers.
    """

    weeks: int
    expected: float
    left: float
    ratio: Estimate


@dataclass(frozen=True)
class ReplayReport:
    """The replayed Mondays of a range.

    Attributes:
        first: first Monday of the range.
        last: last Monday of the range.
        known_until: labels closed by this Monday are known.
        capacity: calls a Monday, at most; None where whole lists are judged.
        weeks: every Monday of the range, oldest first, the empty ones too.
        money: by target, revenue that was expected to leave beside revenue that left; a target without a closed window is absent.
        churned_revenue: mean per judged Monday of the annual revenue of all who left within 90 days, in USD; None
            without a judged Monday.
        totals: by ranking and caller; a caller that never could call is absent.
        flag: pooled over the Mondays whose 30-day window has closed; None without one.
        calibration: deciles by target, pooled over the Mondays whose window has closed; empty without one.
        notices: what a reader has to know about the data.
    """

    first: date
    last: date
    known_until: date
    capacity: int | None
    weeks: tuple[ReplayWeek, ...]
    money: Mapping[str, MoneyTotal]
    churned_revenue: float | None
    totals: Mapping[Ranking, Mapping[Caller, Total]]
    flag: Flag | None
    calibration: Mapping[str, tuple[Decile, ...]]
    notices: tuple[str, ...]

    @property
    def judged(self) -> tuple[ReplayWeek, ...]:
        """The Mondays whose 90-day window has closed."""
        return tuple(week for week in self.weeks if week.state == "judged")

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values: dates in ISO form, None for what is not defined, no NaN."""
        return {entry.name: _plain(getattr(self, entry.name)) for entry in fields(self)}

    def rows(self) -> list[dict[str, Any]]:
        """One flat row a Monday, for a table on a terminal or in a spreadsheet; lists are ranked by revenue at risk."""
        return [_row(week) for week in self.weeks]

    def headline(self) -> str:
        """The report in one or two sentences."""
        if not self.judged:
            opened = [week for week in self.weeks if week.state == "open"]
            if not opened:
                return f"None of the Mondays from {self.first} to {self.last} has been scored."
            return (
                f"No Monday from {self.first} to {self.last} can be judged yet: the first 90-day window closes on "
                f"{opened[0].closes_90d}."
            )
        totals = self.totals["revenue"]
        others = []
        for caller, name in caller_names().items():
            if caller not in ("model", "mrr", "best") and (total := totals.get(caller)):
                on = "" if total.weeks == totals["model"].weeks else f" (on {_count(total.weeks, 'Monday')} of them)"
                others.append(f"{name} {total.churners.value:.0f}{on}")
        model = totals["model"]
        over = "On the one judged Monday" if model.weeks == 1 else f"Over {model.weeks} judged Mondays"
        verb = "held" if model.weeks == 1 else "held on average"
        text = f"{over} {self.list_name()} {verb} {model.churners.value:.0f} customers who left within 90"
        text += f" days; {', '.join(others)}."
        if self.churned_revenue:
            paid, lost = usd(model.revenue.value), usd(self.churned_revenue)
            text += f" The list's churners paid {paid} of the {lost} a year that left, {model.revenue_share.value:.0%}."
        return text

    def list_name(self) -> str:
        """The judged lists, with their length: ``the list's 200 calls``."""
        lengths = sorted({week.calls or 0 for week in self.judged})
        calls = f"{lengths[0]:,}" if len(lengths) == 1 else f"{lengths[0]:,} to {lengths[-1]:,}"
        return f"the list's {calls} calls" if lengths != [1] else "the list's one call"

    def findings(self) -> tuple[str, ...]:
        """What the list held of the revenue beside others, how it compares with logistic regression and with the rule, and whether the
        money that was expected to leave did, one sentence each."""
        sentences = []
        if self.judged and self.churned_revenue:
            shares = {caller: total.revenue_share.value for caller, total in self.totals["revenue"].items()}
            likeliest = self.totals["probability"]["model"].revenue_share.value
            sentences.append(
                f"Of the revenue that left, the list held {shares['model']:.0%}; of as many calls the best possible would have held "
                f"{shares['best']:.0%}, revenue alone {shares['mrr']:.0%}, probability alone {likeliest:.0%}, chance {shares['chance']:.0%}."
            )
        rivals: tuple[Caller, ...] = ("logistic", "rule")
        for caller in rivals:
            total = self.totals["revenue"].get(caller)
            if total is None or total.advantage is None:
                continue
            by = total.advantage
            verdict = "too close to call" if by.low <= 0 <= by.high else "a clear difference"
            sentences.append(
                f"The list finds {abs(by.value):.1f} {'more' if by.value >= 0 else 'fewer'} churners a Monday than "
                f"{caller_names()[caller]} (95 % interval {by.low:+.1f} to {by.high:+.1f}): {verdict}."
            )
        for target in by_horizon("churn"):
            money = self.money.get(target.name)
            if money and money.ratio.defined:
                sentences.append(
                    f"Within {target.horizon_days} days {usd(money.expected)} a year was expected to leave a Monday, and "
                    f"{usd(money.left)} left: {money.ratio.value:.2f} times as much (95 % interval {money.ratio.low:.2f} to "
                    f"{money.ratio.high:.2f})."
                )
        return tuple(sentences)


def replay_report(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    first: date,
    last: date,
    *,
    latest: date,
    capacity: int | None = None,
) -> ReplayReport:
    """Judges the predictions of the Mondays from ``first`` to ``last``, both included.

    Args:
        con: the warehouse; read-only will do.
        settings: depth of history, thresholds, seed and number of resamples, where dbt's project is.
        first: a Monday.
        last: a Monday, not before ``first``.
        latest: the newest Monday that has begun; only labels closed by then count. Where the landed usage ends earlier,
            so does what is known: whoever left after it would look as if they had stayed.
        capacity: calls a Monday, at least 1: a call list is judged up to there, and a Monday without one by as many of
            priority_rank. Unless given, call lists are judged whole, and other Mondays by 200 calls.

    Raises:
        InputError: a date is no Monday, the range is empty, or the capacity is below 1.
        RefusedError: no usage has been landed.
    """
    for day in (first, last, latest):
        calendar.parse_monday(day.isoformat())
    if last < first:
        raise InputError(f"the range from {first} to {last} is empty")
    if capacity is not None and capacity < 1:
        raise InputError(f"a capacity of {capacity} calls leaves nothing to judge; it has to be at least 1")
    known_until = _known_until(con, latest)
    requested = list(calendar.mondays(first, last + calendar.WEEK))
    scored = _scored(con, first, last)
    absent = _absent(con, [day for day in requested if day not in scored])
    tally = _Tally.start(con, settings, scored)
    baselines = _Baselines(con, settings)
    weeks = [
        _week(con, day, known_until, tally, baselines, capacity) if day in scored else _empty(day, absent[day])
        for day in requested
    ]
    flags = [week.flag for week in weeks if week.flag]
    judged = [week for week in weeks if week.state == "judged"]
    return ReplayReport(
        first=first,
        last=last,
        known_until=known_until,
        capacity=capacity,
        weeks=tuple(weeks),
        money=tally.money_totals(),
        churned_revenue=float(np.mean([week.churned_revenue for week in judged])) if judged else None,
        totals=tally.totals(),
        flag=Flag(sum(f.flagged for f in flags), sum(f.hits for f in flags), sum(f.churners for f in flags))
        if flags
        else None,
        calibration={target.name: tally.deciles(target) for target in by_horizon("churn")},
        notices=(*_notices(con, settings, scored, known_until, latest), *_of_lists(judged)),
    )


def caller_names() -> dict[Caller, str]:
    """How sentences call those who rank the customers."""
    return {
        "model": "the list",
        "logistic": "logistic regression",
        "rule": f"the rule '{target_of('risk').rule.text}'",
        "mrr": "revenue alone",
        "chance": "chance",
        "best": "the best possible list",
    }


@dataclass
class _Tally:
    """Sums over the Mondays, in each resample of customers.

    Attributes:
        customers: everybody who was scored on one of the Mondays; position is the code of a customer.
        resamples: over ``customers``.
        called: by ranking and caller, for each judged Monday what the called held: churners and revenue, each of shape
            (replicates + 1,).
        churned: for each judged Monday the revenue of all who left, of that shape.
        forecasts: by target, for each closed Monday codes of customers, probabilities and who left.
        money: by target, for each closed Monday the revenue that was expected to leave and that left, of that shape.
    """

    customers: pd.Index
    resamples: Resamples
    called: dict[tuple[Ranking, Caller], dict[date, tuple[Floats, Floats]]] = field(default_factory=dict)
    churned: dict[date, Floats] = field(default_factory=dict)
    forecasts: dict[str, list[tuple[NDArray[np.intp], Floats, NDArray[np.bool_]]]] = field(default_factory=dict)

    money: dict[str, list[tuple[Floats, Floats]]] = field(default_factory=dict)

    @classmethod
    def start(cls, con: duckdb.DuckDBPyConnection, settings: Settings, days: Collection[date]) -> _Tally:
        customers = pd.Index([], dtype=object)
        if days:
            rows = con.execute(
                """
                select distinct customer_id from policy.predictions
                where snapshot_date in (select unnest(?::date[])) order by 1
                """,
                [list(days)],
            ).fetchall()
            customers = pd.Index([customer for (customer,) in rows], dtype=object)
        return cls(customers, Resamples.draw(customers.to_series(), settings.bootstrap_replicates, settings.seed))

    def add_lists(
        self,
        day: date,
        customer_id: pd.Series,
        churned: NDArray[np.bool_],
        revenue: Floats,
        scores: Mapping[tuple[Ranking, Caller], Floats],
        calls: int,
    ) -> dict[tuple[Ranking, Caller], Held]:
        """Calls the top of each ranking, as many in each; returns what each held in the sample itself."""
        here = self.resamples.rows(self.customers.get_indexer(pd.Index(customer_id)))
        values = np.stack([churned, churned * revenue], axis=1).astype(np.float64)
        called = {key: lists.held(score, values, calls, here) for key, score in scores.items()}
        called["revenue", "best"] = lists.best(values[:, 0], revenue, calls, here)
        sums = here.sums({"rows": np.ones(len(churned)), "churners": values[:, 0], "revenue": values[:, 1]})
        self.churned[day] = sums["revenue"]
        share = np.minimum(1.0, calls / np.maximum(sums["rows"], 1))
        for ranking in RANKINGS:
            called[ranking, "chance"] = (share * sums["churners"], share * sums["revenue"])
        for key, figures in called.items():
            self.called.setdefault(key, {})[day] = figures
        return {key: Held(float(churners[0]), float(paid[0])) for key, (churners, paid) in called.items()}

    def add_forecasts(
        self, target: Target, customer_id: pd.Series, probability: Floats, churned: NDArray[np.bool_], revenue: Floats
    ) -> None:
        codes = self.customers.get_indexer(pd.Index(customer_id))
        self.forecasts.setdefault(target.name, []).append((codes, probability, churned))
        sums = self.resamples.rows(codes).sums({"expected": probability * revenue, "left": churned * revenue})
        self.money.setdefault(target.name, []).append((sums["expected"], sums["left"]))

    def money_totals(self) -> dict[str, MoneyTotal]:
        totals = {}
        for name, mondays in self.money.items():
            expected, left = (np.mean([monday[part] for monday in mondays], axis=0) for part in (0, 1))
            totals[name] = MoneyTotal(
                len(mondays), float(expected[0]), float(left[0]), estimate(lists.ratio(left, expected))
            )
        return totals

    def totals(self) -> dict[Ranking, dict[Caller, Total]]:
        totals: dict[Ranking, dict[Caller, Total]] = {ranking: {} for ranking in RANKINGS}
        for ranking in RANKINGS:
            model = self.called.get((ranking, "model"), {})
            for caller in CALLERS_OF[ranking]:
                if days := self.called.get((ranking, caller), {}):
                    totals[ranking][caller] = self._total(days, {} if caller == "model" else model)
        return totals

    def _total(self, days: Mapping[date, tuple[Floats, Floats]], model: Mapping[date, tuple[Floats, Floats]]) -> Total:
        """``model`` is what to compare with; nothing where it is the caller itself."""
        churners, revenue = (np.mean([figures[part] for figures in days.values()], axis=0) for part in (0, 1))
        churned = np.mean([self.churned[day] for day in days], axis=0)
        share = lists.ratio(revenue, churned)
        advantage = [
            estimate(np.mean([model[day][part] for day in days], axis=0) - own) if model else None
            for part, own in ((0, churners), (1, revenue))
        ]
        return Total(len(days), estimate(churners), estimate(revenue), estimate(share), *advantage)

    def deciles(self, target: Target) -> tuple[Decile, ...]:
        parts = self.forecasts.get(target.name)
        if not parts:
            return ()
        customer, probability, churned = (np.concatenate(column) for column in zip(*parts, strict=True))
        deciles = []
        for rows in _decile_rows(probability):
            sums = self.resamples.rows(customer[rows]).sums({"rows": np.ones(rows.sum()), "left": churned[rows]})
            share = estimate(lists.ratio(sums["left"], sums["rows"]))
            deciles.append(Decile(int(rows.sum()), float(probability[rows].mean()), share))
        return tuple(deciles)


def _decile_rows(probability: Floats) -> Iterator[NDArray[np.bool_]]:
    """Which rows each tenth has, by rising probability. Equal ones never fall into different tenths, so there may be fewer."""
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, _DECILES + 1)[1:-1]))
    decile = np.searchsorted(edges, probability, side="left")
    for number in np.unique(decile):
        yield decile == number


def _monday_deciles(probability: Floats, churned: NDArray[np.bool_]) -> tuple[MondayDecile, ...]:
    return tuple(
        MondayDecile(
            rows=int(rows.sum()),
            forecast=float(probability[rows].mean()),
            observed=float(churned[rows].mean()),
            chance=float(np.sqrt((probability[rows] * (1 - probability[rows])).sum()) / rows.sum()),
        )
        for rows in _decile_rows(probability)
    )


def _week(
    con: duckdb.DuckDBPyConnection,
    day: date,
    known_until: date,
    tally: _Tally,
    baselines: _Baselines,
    capacity: int | None,
) -> ReplayWeek:
    flag, risk = target_of("flag"), frames.settled(con, target_of("risk"), day)
    there = {name for (name, *_) in con.execute("describe policy.predictions").fetchall()}
    predicted = [target for target in by_horizon("churn") if target.probability_column in there]
    frame = con.execute(
        f"""
        select customer_id, {", ".join(target.probability_column for target in predicted)}, is_flagged, priority_rank,
               is_on_call_list, call_rank, coalesce(annual_revenue, 0) as revenue, scoring_mode, {risk.version_column} as model_version
        from {lists.predictions(con)} as predictions
        semi join landing.customers using (customer_id)
        where snapshot_date = ?
        order by customer_id
        """,
        [day],
    ).df()
    row = con.execute("select count(*) from policy.predictions where snapshot_date = ?", [day]).fetchone()
    assert row is not None
    forgotten = row[0] - len(frame)
    if frame.empty:
        return _empty(day, f"none of the {forgotten:,} customers scored is in the data any more")
    notes = [f"{_count(forgotten, 'customer')} no longer in the data and not judged"] if forgotten else []
    known: dict[str, Any] = {"deciles": {}}
    forecasts: dict[str, tuple[Floats, NDArray[np.bool_]]] = {}
    revenue = frame["revenue"].to_numpy(dtype=np.float64)
    for target in predicted:
        # A target that was declared after this Monday was published, or had no model, predicted nothing.
        if (
            frames.settled(con, target, day).is_closed(day, known_until)
            and frame[target.probability_column].notna().all()
        ):
            probability = frame[target.probability_column].to_numpy(dtype=np.float64)
            churned = _left(con, day, target, known_until)
            forecasts[target.name] = probability, churned
            known["deciles"][target.name] = _monday_deciles(probability, churned)
            tally.add_forecasts(target, frame["customer_id"], probability, churned, revenue)
    if flag.name in forecasts:
        probability, churned = forecasts[flag.name]
        flagged = frame["is_flagged"].to_numpy(dtype=bool)
        known["flag"] = Flag(int(flagged.sum()), int((flagged & churned).sum()), int(churned.sum()))
        known["calibration_30d"] = _calibration_error(probability, churned)
    closed = risk.name in forecasts
    if closed:
        probability, churned = forecasts[risk.name]
        worked = lists.worked_list(frame, capacity or TOP_PER_WEEK)
        scores: dict[tuple[Ranking, Caller], Floats] = {
            ("revenue", "model"): worked.score,
            ("revenue", "mrr"): revenue,
            ("probability", "model"): probability,
        }
        other, reasons = baselines.scores(day, frame["customer_id"], revenue)
        notes += reasons
        calls = min(capacity or worked.calls, worked.calls)
        held_by_list = tally.add_lists(day, frame["customer_id"], churned, revenue, scores | other, calls)
        known["basis"], known["calls"] = worked.basis, calls
        known["expected_revenue"] = float((probability * revenue).sum())
        known["held"] = {
            ranking: {caller: held_by_list.get((ranking, caller)) for caller in callers}
            for ranking, callers in CALLERS_OF.items()
        }
        known["churners"], known["churned_revenue"] = int(churned.sum()), float((churned * revenue).sum())
        known["calibration_90d"] = _calibration_error(probability, churned)
    return ReplayWeek(
        snapshot_date=day,
        state="judged" if closed else "open",
        reason=""
        if closed
        else f"the {risk.horizon_days}-day window is open until {day + timedelta(days=risk.closing_days)}",
        settle_days=risk.settle_days,
        scoring_mode=str(frame["scoring_mode"].iloc[0]),
        model_version=str(frame["model_version"].iloc[0]),
        customers=len(frame),
        forgotten=forgotten,
        notes=tuple(notes),
        **known,
    )


def _empty(day: date, reason: str) -> ReplayWeek:
    return ReplayWeek(snapshot_date=day, state="missing", reason=reason)


def _left(con: duckdb.DuckDBPyConnection, day: date, target: Target, known_until: date) -> NDArray[np.bool_]:
    """Who left within the horizon, of everybody scored who is still in the data, ordered by customer_id."""
    labels = con.execute(
        f"""
        select label from ({frames.churn_labelled("policy.predictions", "$as_of")})
        where snapshot_date = $day order by customer_id
        """,
        {"day": day, "horizon": target.horizon_days, "as_of": known_until},
    ).fetchnumpy()["label"]
    return np.asarray(labels, dtype=bool)


def _calibration_error(probability: Floats, churned: NDArray[np.bool_]) -> CalibrationError:
    bins = quantile_bins(probability)
    gap = np.bincount(bins, weights=churned - probability)
    variance = np.bincount(bins, weights=probability * (1 - probability))
    n = len(probability)
    return CalibrationError(ece=float(np.abs(gap).sum() / n), floor=float(np.sqrt(2 / np.pi * variance).sum() / n))


@dataclass
class _Baselines:
    """What the rule and logistic regression would have said, with one fit per training Monday."""

    con: duckdb.DuckDBPyConnection
    settings: Settings
    fitted: dict[date, tuple[Encoder, Linear] | RefusedError] = field(default_factory=dict)

    def scores(
        self, day: date, customer_id: pd.Series, revenue: Floats
    ) -> tuple[dict[tuple[Ranking, Caller], Floats], list[str]]:
        """Scores by ranking and caller, each of shape (customers,), and why one is not there."""
        risk = target_of("risk")
        if not has_table(self.con, "marts", risk.mart):
            return {}, [_NO_FEATURES]
        mart = frames.scoring_frame(self.con, risk, day)
        if mart.empty:
            return {}, [_NO_FEATURES]
        # A customer who has left the mart since, because a late row changed who was active, is silent to nobody and
        # average to the regression.
        features = mart.set_index("customer_id").reindex(customer_id).reset_index()
        silent = rule_score(features, risk.rule)
        scores: dict[tuple[Ranking, Caller], Floats] = {
            # Above the largest revenue, so that the silent come first and the larger before the smaller.
            ("revenue", "rule"): silent * (1 + revenue.max()) + revenue,
            ("probability", "rule"): silent,
        }
        training_monday = calendar.training_monday(day, self.settings.training_cadence_weeks)
        if training_monday not in self.fitted:
            try:
                self.fitted[training_monday] = _fit_logistic(self.con, self.settings, training_monday)
            except RefusedError as refusal:
                self.fitted[training_monday] = refusal
        fitted = self.fitted[training_monday]
        if isinstance(fitted, RefusedError):
            return scores, [f"no logistic regression: {fitted}"]
        encoder, logistic = fitted
        probability = sigmoid(logistic.log_odds(encoder, encoder.matrix(features)))
        scores["revenue", "logistic"] = probability * revenue
        scores["probability", "logistic"] = probability
        return scores, []


def _fit_logistic(con: duckdb.DuckDBPyConnection, settings: Settings, training_monday: date) -> tuple[Encoder, Linear]:
    """Logistic regression on the rows that the version registered for a training Monday was trained on.

    Raises:
        RefusedError: too little time, or too few who left.
    """
    risk = frames.settled(con, target_of("risk"), training_monday)
    oldest = frames.first_snapshot(con, risk)
    assert oldest is not None, "the mart holds the Monday that asks"
    first = max(oldest, training_monday - settings.history_weeks * calendar.WEEK)
    span = refit_slices(risk, training_monday, first).train
    frame = frames.training_frame(
        con, risk, training_monday, whole=(), first=first, drop_touched=not settings.train_on_touched
    )
    train = frame[span.rows(frame)]
    positive = int(train.loc[train["label"] == 1, "customer_id"].nunique())
    if positive < settings.min_train_churners:
        raise RefusedError(
            f"as of {training_monday} the training slice has {positive:,} distinct churned customers, "
            f"{settings.min_train_churners:,} are needed"
        )
    known = frames.histories(con, training_monday, trust_static_plan=settings.trust_static_plan)
    catalogue, _ = guard.without_leaks(
        read_catalogue(settings.dbt_project / "models" / "marts" / f"{risk.mart}.yml"),
        guard.columns_that_leak(con, training_monday),
        known,
    )
    catalogue = catalogue.trained(known)
    catalogue = catalogue.without(
        [name for name in catalogue.names if name not in train.columns or train[name].isna().all()]
    )
    encoder = Encoder.learn(train, catalogue)
    return encoder, Linear.fit(encoder, encoder.matrix(train), train["label"].to_numpy(dtype=np.float64))


_NO_FEATURES = "no rule and no logistic regression: the features of this Monday are not in the warehouse any more"


def _known_until(con: duckdb.DuckDBPyConnection, latest: date) -> date:
    """The newest Monday up to which the landed data tells who left, and not after ``latest``."""
    newest = None
    if has_table(con, "landing", "fact_digests"):
        # Usage comes in every day. Without it, the newest fact of whatever there is has to do.
        row = con.execute(
            "select coalesce(max(fact_date) filter (where source = 'usage_events'), max(fact_date)) from landing.fact_digests"
        ).fetchone()
        newest = row[0] if row is not None else None
    if newest is None:
        raise RefusedError("nothing has been landed, so there is nothing to judge; start with 'churn run'")
    return min(latest, calendar.monday_on_or_before(newest + _QUIET))


def _scored(con: duckdb.DuckDBPyConnection, first: date, last: date) -> set[date]:
    if not has_table(con, "policy", "predictions"):
        return set()
    rows = con.execute(
        "select distinct snapshot_date from policy.predictions where snapshot_date between ? and ?", [first, last]
    ).fetchall()
    return {day for (day,) in rows}


def _absent(con: duckdb.DuckDBPyConnection, days: Sequence[date]) -> dict[date, str]:
    """Why each of these Mondays has no predictions: the newest word of the ledger of runs."""
    reasons: dict[date, str] = dict.fromkeys(days, "not scored")
    if days and has_table(con, "ledger", "runs"):
        rows = con.execute(
            """
            select snapshot_date, status, reason, run_id from ledger.runs
            where snapshot_date in (select unnest(?::date[]))
            qualify row_number() over (partition by snapshot_date order by recorded_at desc, run_id) = 1
            """,
            [list(days)],
        ).fetchall()
        for day, status, reason, run_id in rows:
            reasons[day] = (
                f"published by run {run_id}, and not in the warehouse any more"
                if status == "published"
                else f"{status}: {reason}"
            )
    return reasons


def _of_lists(judged: Sequence[ReplayWeek]) -> Iterator[str]:
    without = sum(week.basis == "priority_rank" for week in judged)
    if without:
        yield (
            "Judged by who came first by priority_rank, because there was no call list yet: "
            f"{without:,} of {len(judged):,} judged Mondays."
        )


def _notices(
    con: duckdb.DuckDBPyConnection, settings: Settings, scored: Collection[date], known_until: date, latest: date
) -> Iterator[str]:
    if known_until < latest:
        yield (
            f"The landed data ends before {latest}: what happened from {known_until} on is not known, and windows that "
            "close later count as open."
        )
    if not scored or "mrr_history" in frames.histories(con, max(scored), trust_static_plan=settings.trust_static_plan):
        return
    watched = _watched_since(con)
    unwatched = [day for day in scored if watched is None or day < watched]
    if unwatched:
        # A system that zeroes revenue at churn then understates both the list and what it was worth.
        yield (
            f"There is no history of revenue before {watched or latest}: the annual revenue of a Monday before it is what was landed when it was scored, and 0 "
            "for customers whose billing system had zeroed it by then."
        )


def _watched_since(con: duckdb.DuckDBPyConnection) -> date | None:
    """The Monday from which on it is known what customers were seen to pay."""
    if not has_table(con, "landing", "value_ledger"):
        return None
    row = con.execute("select min(first_seen_monday) from landing.value_ledger").fetchone()
    return row[0] if row is not None else None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _row(week: ReplayWeek) -> dict[str, Any]:
    row: dict[str, Any] = {
        "snapshot_date": week.snapshot_date,
        "state": week.state,
        "scoring_mode": week.scoring_mode,
        "model_version": week.model_version,
        "customers": week.customers,
        "basis": week.basis,
        "calls": week.calls,
        "churners": week.churners,
        "expected_revenue": week.expected_revenue,
        "churned_revenue": week.churned_revenue,
    }
    for caller in CALLERS:
        by_revenue = week.held["revenue"][caller] if week.held else None
        row[f"{caller}_churners"] = by_revenue.churners if by_revenue else None
        row[f"{caller}_revenue"] = by_revenue.revenue if by_revenue else None
    for caller in CALLERS_OF["probability"]:
        by_probability = week.held["probability"][caller] if week.held else None
        row[f"{caller}_churners_by_probability"] = by_probability.churners if by_probability else None
    shares = {
        f"{caller}_revenue_share": row[f"{caller}_revenue"] / week.churned_revenue
        if week.held and week.churned_revenue
        else None
        for caller in ("model", "best")
    }
    return row | {
        **shares,
        "flagged": week.flag.flagged if week.flag else None,
        "flagged_churners": week.flag.hits if week.flag else None,
        "churners_30d": week.flag.churners if week.flag else None,
        "precision": week.flag.precision if week.flag else None,
        "recall": week.flag.recall if week.flag else None,
        "ece_30d": week.calibration_30d.ece if week.calibration_30d else None,
        "ece_90d": week.calibration_90d.ece if week.calibration_90d else None,
        "remark": "; ".join(filter(None, (week.reason, *week.notes))),
    }


def _plain(value: Any) -> Any:
    """JSON knows no dates and no NaN."""
    if is_dataclass(value):
        entries = {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
        return entries | {"precision": value.precision, "recall": value.recall} if isinstance(value, Flag) else entries
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, date):
        return value.isoformat()
    return None if value != value else value
