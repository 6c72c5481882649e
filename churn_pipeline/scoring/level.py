"""Is the mean probability of a Monday one that this company can have?

Probabilities are right on average when as many leave as they add up to, which nobody knows before the horizon is over. What is known is how
many left of each Monday whose label is closed. A mean far from the newest of those is said: a season, a shock in the book (prices rise, a
competitor is bought), or a model that is no longer right. A mean beyond anything the company has had in a year is no change of the book. It is
a model that has read the answer (`churn_pipeline.modeling.guard`), which promises those who are still there that hardly anybody leaves, or a
feed that broke; that Monday is not published unless somebody says that it is true.

Everything here is known at the Monday, so a past Monday is judged as it would have been.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

import duckdb

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.targets import TARGETS, Target
from churn_pipeline.core.warehouse import transaction
from churn_pipeline.features import frames
from churn_pipeline.features.plan import read_beginning

if TYPE_CHECKING:
    from churn_pipeline.scoring.score import ScoredMonday

# unknown: no Monday is closed yet, or nobody was there.
Judgement = Literal["unknown", "ok", "notice", "impossible"]


@dataclass(frozen=True)
class Band:
    """Between which multiples of a rate a mean may lie."""

    low: float
    high: float


# Against the newest closed Monday. On real data an honest model was off by a factor of 2.1 at the turn of a season. Narrower, and every
# season is said; wider, and a shock that doubles the rate is not.
NOTICE = Band(0.4, 2.5)
# Against the whole range of a closed year, its intervals included. A model that had read the answer from emptied prices gave a mean of 0.0015
# where 0.108 left, a seventieth. Narrower, and a bad quarter keeps a list back; wider, and such a list comes out.
IMPOSSIBLE = Band(0.2, 5.0)
# Of a closed year, so that its range means something.
MIN_DEPARTURES = 30
CLOSED_WEEKS = 52
# Of the newest closed Monday's customers. On a Monday with fewer, of a company that was just beginning, any rate can be had by chance.
MIN_BOOK = 0.25
_TABLES = """
create schema if not exists ledger;
create schema if not exists scoring;
create table if not exists ledger.accepted_levels (
    snapshot_date date, target varchar, model_version varchar, mean double, detail varchar, reason varchar, who varchar,
    accepted_at timestamp, run_id varchar
);
create table if not exists scoring.levels (
    snapshot_date date, target varchar, mean double, newest double, lowest double, highest double, judgement varchar, sentence varchar,
    run_id varchar
);
"""
# Standard deviations on either side: 95 % of intervals hold the rate.
_Z = 1.96


@dataclass(frozen=True)
class WeekRate:
    """How many of one Monday's customers left within the horizon."""

    snapshot_date: date
    customers: int
    departures: int

    @property
    def rate(self) -> float:
        return self.departures / self.customers

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's (1927), which stays between 0 and 1 and is right for few departures."""
        n, p, square = self.customers, self.rate, _Z**2
        middle = (p + square / (2 * n)) / (1 + square / n)
        half = _Z * math.sqrt(p * (1 - p) / n + square / (4 * n * n)) / (1 + square / n)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Rates:
    """How many left, on the newest Mondays whose label is closed.

    Attributes:
        target: the question.
        weeks: oldest first; at most a year, Mondays with customers only.
        departures: different customers who left.
    """

    target: Target
    weeks: tuple[WeekRate, ...]
    departures: int


@dataclass(frozen=True)
class Verdict:
    """What the mean of a Monday comes to for one target.

    Attributes:
        target: its name.
        mean: of the probabilities.
        newest: rate of the newest closed Monday; NaN where there is none.
        lowest, highest: of the closed year.
        judgement: what it comes to.
        sentence: in words, without a full stop; empty where there is nothing to say.
    """

    target: str
    mean: float
    newest: float
    lowest: float
    highest: float
    judgement: Judgement
    sentence: str


@dataclass(frozen=True)
class Acceptance:
    """Somebody's word that a mean which looks impossible is right.

    Attributes:
        reason: why; kept, so it may name nobody.
        who: on whose behalf.
    """

    reason: str
    who: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise InputError("--accept-level needs a reason: why do so many leave, or so few? It is kept")


def closed_rates(con: duckdb.DuckDBPyConnection, target: Target, snapshot_date: date) -> Rates:
    """The rates of the closed year, as known at a Monday.

    Args:
        con: the warehouse, after landing.
        target: about churn.
        snapshot_date: the Monday. Weeks from before the data begin are left out: whoever left before is not in them.
    """
    target = frames.settled(con, target, snapshot_date)
    last = target.newest_closed(snapshot_date)
    beginning = read_beginning(con).first_monday(snapshot_date)
    if beginning is None or beginning > last:
        return Rates(target, (), 0)
    first = max(beginning, last - (CLOSED_WEEKS - 1) * WEEK)
    weeks, departures = frames.departures_by_week(con, target, first, last, snapshot_date)
    return Rates(target, tuple(WeekRate(*week) for week in weeks), departures)


def judge(mean: float, rates: Rates) -> Verdict:
    """Compares the mean probability of a Monday with the rates of the closed year.

    Chance speaks first: with few customers a rate is not known well, so what its interval allows is neither remarkable nor impossible.

    Args:
        mean: of all customers scored.
        rates: of the same target, as known at that Monday.
    """
    name, days = rates.target.name, rates.target.horizon_days
    if not rates.weeks or math.isnan(mean):
        nan = float("nan")
        return Verdict(name, mean, nan, nan, nan, "unknown", "")
    newest = rates.weeks[-1]
    telling = [week for week in rates.weeks if week.customers >= MIN_BOOK * newest.customers]
    lowest, highest = (choose(week.rate for week in telling) for choose in (min, max))
    low, high = min(week.interval[0] for week in telling), max(week.interval[1] for week in telling)
    judgement: Judgement = "ok"
    sentence = ""
    outside = mean < NOTICE.low * newest.rate or mean > NOTICE.high * newest.rate
    if rates.departures >= MIN_DEPARTURES and (mean < IMPOSSIBLE.low * low or mean > IMPOSSIBLE.high * high):
        judgement = "impossible"
        sentence = (
            f"{name}: probabilities average {_percent(mean)}, and of no Monday of the last {len(rates.weeks)} whose end is known did less "
            f"than {_percent(lowest)} or more than {_percent(highest)} leave within {days} days"
        )
    elif outside and not newest.interval[0] <= mean <= newest.interval[1]:
        judgement = "notice"
        sentence = (
            f"{name}: probabilities average {_percent(mean)}, and {_percent(newest.rate)} left within {days} days of "
            f"{newest.snapshot_date}, the newest Monday whose end is known. Until it is known why, trust the order of the list, not its level"
        )
    return Verdict(name, mean, newest.rate, lowest, highest, judgement, sentence)


def together(verdicts: Sequence[Verdict]) -> str | None:
    """What is said where drift says act and the level is off: one thing has happened, and it is told once. None where the level is not off.

    Args:
        verdicts: of a Monday whose list comes out.
    """
    off = [verdict for verdict in verdicts if verdict.judgement == "notice"]
    if not off:
        return None
    levels = ", ".join(f"{v.target} averages {_percent(v.mean)} where {_percent(v.newest)} left" for v in off)
    return (
        f"drift and level say together that the book changed: {levels}. A shock such as a price rise, or a broken feed: trust the order of the "
        "list, not its level"
    )


def judge_monday(con: duckdb.DuckDBPyConnection, scored: ScoredMonday, snapshot_date: date) -> list[Verdict]:
    """The verdicts on a Monday that was scored, one for each target about churn.

    Args:
        con: the warehouse, after landing.
        scored: its scores.
        snapshot_date: the Monday.
    """
    return [
        judge(mean, closed_rates(con, TARGETS[name], snapshot_date))
        for name, mean in scored.means.items()
        if TARGETS[name].event == "churn"
    ]


def refusal(verdicts: Sequence[Verdict], snapshot_date: date) -> str:
    """Why a Monday is not published, what it usually is, and how to say that it is true.

    Args:
        verdicts: those that are impossible.
        snapshot_date: the Monday.
    """
    return (
        "; ".join(verdict.sentence for verdict in verdicts)
        + ". No book changes like that: a feed broke, or a column told the model who had left (docs/operations.md, When the level is "
        f"impossible). If it is true: churn run --week {snapshot_date} --accept-level REASON"
    )


def accept(
    con: duckdb.DuckDBPyConnection,
    snapshot_date: date,
    verdict: Verdict,
    version: str,
    acceptance: Acceptance,
    *,
    run_id: str,
    now: datetime,
) -> None:
    """Notes that somebody takes an impossible mean for true: of this Monday, this target and this version of its model.

    Args:
        con: the warehouse.
        snapshot_date: the Monday.
        verdict: what was found.
        version: of the model.
        acceptance: whose word it is.
        run_id: of the run that carries it.
        now: the instant as the warehouse stores it.
    """
    create_tables(con)
    con.execute(
        "insert into ledger.accepted_levels values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            snapshot_date,
            verdict.target,
            version,
            verdict.mean,
            verdict.sentence,
            acceptance.reason.strip(),
            acceptance.who,
            now,
            run_id,
        ],
    )


def accepted(con: duckdb.DuckDBPyConnection, snapshot_date: date, target: str, version: str) -> Acceptance | None:
    """Who has said of this Monday, target and version that an impossible mean is right; None where nobody has."""
    create_tables(con)
    # All of them: a row that is not fetched holds the connection.
    rows = con.execute(
        "select reason, who from ledger.accepted_levels where snapshot_date = ? and target = ? and model_version = ? "
        "order by accepted_at desc limit 1",
        [snapshot_date, target, version],
    ).fetchall()
    return Acceptance(*rows[0]) if rows else None


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Creates what this module writes, where absent. What somebody accepted cannot be computed again, and knows no customer."""
    con.execute(_TABLES)


def write(con: duckdb.DuckDBPyConnection, snapshot_date: date, verdicts: Collection[Verdict], run_id: str) -> None:
    """Replaces the verdicts on one Monday.

    Args:
        con: the warehouse.
        snapshot_date: the Monday.
        verdicts: one a target.
        run_id: of the run that scores it.
    """
    create_tables(con)
    with transaction(con):
        con.execute("delete from scoring.levels where snapshot_date = ?", [snapshot_date])
        for verdict in verdicts:
            values = [None if value != value else value for value in astuple(verdict)]
            con.execute(
                "insert into scoring.levels values (?, ?, ?, ?, ?, ?, ?, ?, ?)", [snapshot_date, *values, run_id]
            )


def of_monday(con: duckdb.DuckDBPyConnection, snapshot_date: date) -> list[Verdict]:
    """The verdicts on a Monday, by target; none of one that was scored before there were any."""
    create_tables(con)
    rows = con.execute(
        "select target, mean, newest, lowest, highest, judgement, sentence from scoring.levels where snapshot_date = ? order by target",
        [snapshot_date],
    ).fetchall()

    def figure(value: float | None) -> float:
        return math.nan if value is None else value

    return [
        Verdict(target, figure(mean), figure(newest), figure(lowest), figure(highest), judgement, sentence)
        for target, mean, newest, lowest, highest, judgement, sentence in rows
    ]


def _percent(share: float) -> str:
    """Three figures, however small the share."""
    return "under 0.01%" if 0 < share < 0.0001 else f"{100 * share:.3g}%"
