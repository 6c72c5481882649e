"""Feeds that changed: named by source, event type and day, from what was known on each Monday.

A row counts for the week of its own date if it was known when that week ended. By that, this week and the former ones are compared as
they looked on their own Mondays, a feed that always arrives two days late has its own normal, and nothing after S takes part.

Company-wide seasons (the turn of the year, a summer) move whole feeds to 60 % and back. So a feed is named only when it halves or
doubles beyond what its own spread and the same weeks of last year explain; a single event type also when it leaves the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Literal

import duckdb

from churn_pipeline.contract import TABLES, TableContract
from churn_pipeline.contract.statements import local_date
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.notices import Notice
from churn_pipeline.core.sql import quoted
from churn_pipeline.quality.landing import FORMER_WEEKS, MAD_OF_SIGMA, MIN_WEEKS, SPREADS

Change = Literal[
    "stopped", "halved", "doubled", "lost type", "type left the others", "new type", "lost day", "doubled day", "late"
]

# "Halves" and "doubles" with room for noise: a feed that lost exactly half has 0.45 to 0.55 of its usual rows. The turn of the year of
# the simulated company has 0.60, so a limit above that alarms every winter; the feed shock leaves 0.47.
HALVED = 0.55
DOUBLED = 1 / HALVED
# Hardly anything is left, which needs less of a distance: one of 20 by chance has a probability of 4e-7. Above 0.05 a public holiday
# is called a lost day.
GONE = 0.05
GONE_SPREADS = 3.0
DAY_DOUBLED = 2.0
# An event type against all others of its week: seasons move all alike, so a quarter is plenty. It has to have moved itself as well, or
# the ones that stayed would be named for those that left.
LEFT_OTHERS = 0.75
MOVED_ITSELF = 0.85
# Fewer rows than this say nothing by their number: of 900 customers 5 sign up in a week, and then 17.
LEAST_USUAL = 20
# The spread of counts is never taken as smaller than chance or these shares: a feed that came in very evenly for 13 weeks is not wrong
# for moving by a tenth. Chance is the square root of twice the median, because rows come in bunches (one customer connects five
# systems): at a bare square root 84 connections after 46 were news.
BUNCHING = 2.0
LEAST_SPREAD = 0.05
LEAST_DAY_SPREAD = 0.1
LEAST_TYPE_SPREAD = 0.04
# A type that nobody has seen before is news from this many rows a week on.
NEW_TYPE_ROWS = 20
# The same weeks of last year, one to either side because feasts move.
LAST_YEAR_WEEKS = (51, 52, 53)
LAST_YEAR_DAYS = range(361, 369)

# Lateness is learned from the Mondays of two years; with fewer than MIN_DELIVERIES different newest days there is nothing to learn from.
LATENESS_WEEKS = 104
MIN_DELIVERIES = 4
LATENESS_FACTOR = 1.5

_HISTORY_WEEKS = max(LATENESS_WEEKS, max(LAST_YEAR_WEEKS) + FORMER_WEEKS) + 1
_EVENTS = "usage_events"


@dataclass(frozen=True)
class Finding:
    """Something about a feed that is not as usual.

    Attributes:
        what: the event type or the day that it is about; empty for a whole source.
        sentence: for whoever has to ask the source.
        observed, usual: rows, or days for what is late.
    """

    snapshot_date: date
    source: str
    change: Change
    what: str
    sentence: str
    observed: float
    usual: float


@dataclass(frozen=True)
class Feed:
    """Rows of one source by day of their own date, those known when their week ended.

    Attributes:
        first: first day with a row.
        days: rows by day.
        types: the same for each event type; empty for other sources.
        newest: by Monday, the newest own date that was known at it.
    """

    source: str
    first: date
    days: Mapping[date, int]
    types: Mapping[str, Mapping[date, int]]
    newest: Mapping[date, date]

    def week(self, monday: date, rows: Mapping[date, int]) -> int:
        """Rows of the week before a Monday."""
        return sum(rows.get(monday - timedelta(days=n), 0) for n in range(1, 8))


def read_feeds(con: duckdb.DuckDBPyConnection, mondays: Sequence[date], *, timezone: str) -> list[Feed]:
    """Reads the daily counts of every source that has dates, in one scan each.

    Args:
        con: the warehouse, after ``land``.
        mondays: the Mondays to be judged; two years before the first are read.
        timezone: IANA name that local dates refer to.
    """
    feeds = []
    until = max(mondays)
    since = min(mondays) - _HISTORY_WEEKS * WEEK
    for table in TABLES.values():
        day = _own_day(table, timezone)
        kind = "coalesce(event_type, '')" if table.name == _EVENTS else "''"
        counts = con.execute(
            f"""
            select day, kind, count(*) filter (known_date < date_trunc('week', day) + interval 7 day), min(known_date)
            from (select {day} as day, {kind} as kind, known_date from landing.{table.name})
            where day >= $since and day < $until and known_date < $until
            group by day, kind
            order by day, kind
            """,
            {"since": since, "until": until},
        ).fetchall()
        if not counts:
            continue
        days: dict[date, int] = {}
        types: dict[str, dict[date, int]] = {}
        known: dict[date, date] = {}
        for own, name, rows, first_known in counts:
            known[own] = min(known.get(own, first_known), first_known)
            if rows:
                days[own] = days.get(own, 0) + rows
                types.setdefault(name, {})[own] = rows
        newest = _newest(known, since, until)
        feeds.append(Feed(table.name, counts[0][0], days, types if table.name == _EVENTS else {}, newest))
    return feeds


def find_changes(feeds: Sequence[Feed], mondays: Sequence[date], *, freshness_days: int) -> list[Finding]:
    """Names what changed in the week before each Monday.

    Args:
        feeds: of ``read_feeds``.
        mondays: which Mondays to judge.
        freshness_days: added to what is usual before a source is called late. Usage events are left out: they refuse the Monday.

    Returns:
        By Monday, source and weight; none where everything is as usual or there is too little history to tell.
    """
    findings: list[Finding] = []
    for day in sorted(mondays):
        for feed in feeds:
            findings += _volumes(feed, day)
            findings += _days(feed, day)
            findings += _types(feed, day)
            if feed.source != _EVENTS:
                findings += _late(feed, day, freshness_days)
    return findings


def unusual(findings: Sequence[Finding], mondays: Sequence[date]) -> dict[date, list[Notice]]:
    """The findings as notices of their Mondays; a Monday on which everything was as usual has none."""
    return {
        day: [Notice("feed", finding.source, finding.sentence) for finding in findings if finding.snapshot_date == day]
        for day in mondays
    }


def _own_day(table: TableContract, timezone: str) -> str:
    kinds = {landed.name: landed.type for landed in table.landed}
    own = quoted(table.own_date)
    return own if kinds[table.own_date] == "DATE" else local_date(own, timezone)


def _newest(known: Mapping[date, date], since: date, until: date) -> dict[date, date]:
    """By Monday of [since, until], the newest day whose first row was known before it."""
    arrivals = sorted((arrived, own) for own, arrived in known.items())
    newest: dict[date, date] = {}
    position, best, monday = 0, date.min, since
    while monday <= until:
        while position < len(arrivals) and arrivals[position][0] < monday:
            best = max(best, arrivals[position][1])
            position += 1
        if best > date.min:
            newest[monday] = best
        monday += WEEK
    return newest


def _former(rows: Mapping[date, int], feed: Feed, monday: date) -> list[int]:
    """The former weeks that lie whole within the feed's life; too few of them are none."""
    weeks = [monday - n * WEEK for n in range(1, FORMER_WEEKS + 1)]
    counts = [feed.week(week, rows) for week in weeks if week - WEEK >= feed.first]
    return counts if len(counts) >= MIN_WEEKS else []


def _distance(now: float, former: Sequence[float], least: float) -> tuple[float, float, float]:
    """The median of the former counts, the ratio to it, and the distance from it in spreads: 1 and 0 where they are too few to tell."""
    middle = float(median(former))
    spread = max(
        median(abs(count - middle) for count in former) / MAD_OF_SIGMA, math.sqrt(BUNCHING * middle), least * middle
    )
    if middle < LEAST_USUAL:
        return middle, 1.0, 0.0
    return middle, now / middle, (now - middle) / spread


def _last_year(rows: Mapping[date, int], feed: Feed, monday: date) -> list[float]:
    """The ratios of the same weeks of last year to the weeks before them."""
    ratios = []
    for weeks in LAST_YEAR_WEEKS:
        day = monday - weeks * WEEK
        former = _former(rows, feed, day)
        if former and median(former):
            ratios.append(feed.week(day, rows) / median(former))
    return ratios


def _beyond_season(ratio: float, seasonal: Sequence[float]) -> float:
    """The ratio without what last year's same weeks did in the same direction; they never make it more suspicious."""
    if ratio < 1:
        return min(1.0, ratio / min([1.0, *(season for season in seasonal if season > 0)]))
    return max(1.0, ratio / max([1.0, *seasonal]))


def _volumes(feed: Feed, day: date) -> Iterator[Finding]:
    former = _former(feed.days, feed, day)
    if not former:
        return
    now = feed.week(day, feed.days)
    usual, ratio, distance = _distance(now, former, LEAST_SPREAD)
    beyond = _beyond_season(ratio, _last_year(feed.days, feed, day))
    change: Change
    if distance <= -GONE_SPREADS and ratio <= GONE:
        change, verb = "stopped", "has stopped"
    elif distance <= -SPREADS and beyond <= HALVED:
        change, verb = "halved", "has fallen to half or less"
    elif distance >= SPREADS and beyond >= DOUBLED:
        change, verb = "doubled", "has about doubled or more"
    else:
        return
    yield Finding(day, feed.source, change, "", f"{feed.source} {verb}: {_compared(now, usual, day)}", now, usual)


def _days(feed: Feed, day: date) -> Iterator[Finding]:
    total = _former(feed.days, feed, day)
    if not total:
        return
    _, ratio, _ = _distance(feed.week(day, feed.days), total, LEAST_SPREAD)
    if ratio <= GONE:
        return
    for back in range(7, 0, -1):
        past_day = day - timedelta(days=back)
        former = [
            feed.days.get(past_day - n * WEEK, 0)
            for n in range(1, FORMER_WEEKS + 1)
            if past_day - n * WEEK >= feed.first
        ]
        if len(former) < MIN_WEEKS:
            continue
        now = feed.days.get(past_day, 0)
        usual, ratio, distance = _distance(now, former, LEAST_DAY_SPREAD)
        change: Change
        if distance <= -GONE_SPREADS and ratio <= GONE and not _was_quiet_last_year(feed, past_day):
            change, verb = "lost day", "has lost"
        elif distance >= SPREADS and ratio >= DAY_DOUBLED:
            change, verb = "doubled day", "has twice the usual on"
        else:
            continue
        sentence = f"{feed.source} {verb} {past_day:%A} {past_day}: {now:,.0f} rows, on former {past_day:%A}s about {usual:,.0f}"
        yield Finding(day, feed.source, change, f"{past_day:%A} {past_day}", sentence, now, usual)


def _was_quiet_last_year(feed: Feed, day: date) -> bool:
    """Whether a day of about this date was empty last year too, and its weekday otherwise was not: a holiday."""
    for back in LAST_YEAR_DAYS:
        former_day = day - timedelta(days=back)
        former = [
            feed.days.get(former_day - n * WEEK, 0)
            for n in range(1, FORMER_WEEKS + 1)
            if former_day - n * WEEK >= feed.first
        ]
        if len(former) >= MIN_WEEKS:
            _, ratio, distance = _distance(feed.days.get(former_day, 0), former, LEAST_DAY_SPREAD)
            if distance <= -GONE_SPREADS and ratio <= GONE:
                return True
    return False


def _types(feed: Feed, day: date) -> Iterator[Finding]:
    if not feed.types or not _former(feed.days, feed, day):
        return
    named: list[Finding] = []
    steady: dict[str, tuple[int, list[int]]] = {}
    for name, rows in feed.types.items():
        former = _former(rows, feed, day)
        now = feed.week(day, rows)
        usual, ratio, distance = _distance(now, former, LEAST_SPREAD)
        beyond = _beyond_season(ratio, _last_year(rows, feed, day)) if usual else ratio
        shown = f"event type '{name}'" if name else "events without a type"
        change: Change
        if distance <= -GONE_SPREADS and ratio <= GONE:
            change, verb = "lost type", "are missing" if not name else "is missing"
        elif distance <= -SPREADS and beyond <= HALVED:
            change, verb = "halved", "fell to half or less"
        elif distance >= SPREADS and usual and beyond >= DOUBLED:
            change, verb = "doubled", "about doubled or more"
        elif now >= NEW_TYPE_ROWS and not any(rows.get(old) for old in rows if old < day - WEEK):
            change, verb = "new type", "is new"
        else:
            steady[name] = (now, former)
            continue
        named.append(
            Finding(
                day,
                feed.source,
                change,
                name,
                f"{feed.source}: {shown} {verb}: {_compared(now, usual, day)}",
                now,
                usual,
            )
        )
    yield from named
    yield from _out_of_step(feed, day, steady)


def _out_of_step(feed: Feed, day: date, steady: Mapping[str, tuple[int, list[int]]]) -> Iterator[Finding]:
    """Types that moved while the others, without those already named, did not."""
    total_now = sum(now for now, _ in steady.values())
    total_former = [sum(weeks) for weeks in zip(*(former for _, former in steady.values()), strict=True)]
    for name, (now, former) in steady.items():
        usual, ratio, distance = _distance(now, former, LEAST_SPREAD)
        rest_now, rest_former = total_now - now, [total - own for total, own in zip(total_former, former, strict=True)]
        if not (now and rest_now and min(former) and min(rest_former)):
            continue
        logs = [math.log(own / rest) for own, rest in zip(former, rest_former, strict=True)]
        middle = median(logs)
        spread = max(
            median(abs(log - middle) for log in logs) / MAD_OF_SIGMA,
            math.sqrt(BUNCHING / usual + BUNCHING / median(rest_former)),
            LEAST_TYPE_SPREAD,
        )
        moved = math.log(now / rest_now) - middle
        fell = moved < 0 and ratio <= MOVED_ITSELF and distance <= -SPREADS
        rose = moved > 0 and ratio >= 1 / MOVED_ITSELF and distance >= SPREADS
        if abs(moved) >= -math.log(LEFT_OTHERS) and abs(moved) >= SPREADS * spread and (fell or rose):
            sentence = f"{feed.source}: event type '{name}' {'fell' if fell else 'rose'} while the others did not: {_compared(now, usual, day)}"
            yield Finding(day, feed.source, "type left the others", name, sentence, now, usual)


def _late(feed: Feed, day: date, freshness_days: int) -> Iterator[Finding]:
    """A source whose newest row is older than it ever was on a Monday: by half again, and by the days that usage events may have.

    Without those days sparse feeds alarmed by chance: sign-ups of a company of 900 pause for 12 days after 6 at most.
    """
    if day not in feed.newest:
        return
    # Mondays of the present wait would make it usual.
    waits = [
        (monday - feed.newest[monday]).days
        for n in range(1, LATENESS_WEEKS + 1)
        if (monday := day - n * WEEK) in feed.newest and feed.newest[monday] < feed.newest[day]
    ]
    deliveries = {
        feed.newest[monday] for n in range(1, LATENESS_WEEKS + 1) if (monday := day - n * WEEK) in feed.newest
    }
    if not waits or len(deliveries) < MIN_DELIVERIES:
        return
    longest = max(waits)
    late = (day - feed.newest[day]).days
    if late > freshness_days + LATENESS_FACTOR * longest:
        sentence = (
            f"{feed.source} is late: its newest row before {day} is of {feed.newest[day]}, {late} days before; "
            f"on former Mondays a newest row was {longest} days old at most"
        )
        yield Finding(day, feed.source, "late", "", sentence, late, longest)


def _compared(now: float, usual: float, day: date) -> str:
    return f"{now:,.0f} rows in the week before {day}, in former weeks about {usual:,.0f}"
