"""The landing edge: what was landed, judged in SQL where it lies.

Thirteen million events never become a DataFrame. One scan counts the rows that break each rule of the contract, in the contract's own SQL,
unless landing has counted them; shares of nulls are compared with the former landing, and those of the newest weeks with former weeks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from statistics import median
from typing import Any

import duckdb

from churn_pipeline.contract import TABLES, Rule, TableContract
from churn_pipeline.contract.declaration import KNOWN_CUSTOMER, UNIQUE_KEY
from churn_pipeline.contract.statements import macros
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.notices import Notice
from churn_pipeline.core.sql import quoted
from churn_pipeline.core.warehouse import has_table
from churn_pipeline.quality import suites
from churn_pipeline.quality.results import SAMPLE, FailingRows, Judgement, Verdict, short, unexpected
from churn_pipeline.quality.suites import OfLanded

# A landing may lose this share of its rows, and gain it beyond what the days since the former one usually bring: corrections and
# erasures are far below, an export that was cut off or delivered twice is far above.
ROWS_SLACK = 0.05
# ... and this many rows, so that a table of ten is not judged by percentages.
ROWS_SLACK_AT_LEAST = 20
# New rows may come this many times as fast as in the last 13 weeks: a catch-up after a pause brings its own days along.
RATE_SLACK = 3.0
RATE_DAYS = 91
# Over a whole table a share of nulls moves by less than this between two landings; a column that an export forgot moves by far more.
NULLS_SLACK = 0.05

# The column of a verdict's rows that says of which week they are.
MONDAY = "Monday"

# One week against the former ones: at least MIN_WEEKS of the last FORMER_WEEKS weeks with at least MIN_ROWS rows, and a difference
# over NULLS_WEEK_SLACK that neither the usual spread nor chance explains.
FORMER_WEEKS = 13
MIN_WEEKS = 8
MIN_ROWS = 30
NULLS_WEEK_SLACK = 0.03
SPREADS = 5.0
# The median absolute deviation of a normal distribution is this share of its standard deviation.
MAD_OF_SIGMA = 0.6745

# Over this many rows, landing's counts are taken as long as nobody has added or removed rows since: it has just asked every rule of every
# row, and compared all keys. Where somebody has, the rules are asked again, and keys are compared for one key in KEY_SAMPLE (chosen by its
# hash, all its rows together): 11 million texts take 2.5 s, and a file that was delivered twice repeats keys by the thousand.
LARGE = 1_000_000
KEY_SAMPLE = 16


@dataclass(frozen=True)
class LandingJudgement:
    """What became of one landed table.

    Attributes:
        failing: samples of the rows that break rules.
    """

    table: str
    judgement: Judgement
    failing: tuple[FailingRows, ...]

    @property
    def passed(self) -> bool:
        return not self.judgement.failed


@dataclass(frozen=True)
class Bounds:
    """What the former landing allows.

    Attributes:
        rows: fewest and most rows; None for the most where nothing was landed before.
        nulls: by raw column, the smallest and largest share of nulls over the whole table.
    """

    rows: tuple[int, int | None]
    nulls: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class _Profile:
    """What one scan found.

    Attributes:
        nulls: by raw column, the share of rows without it.
        broken: by rule, the rows that break it.
        recent: rows of the last ``RATE_DAYS`` days.
    """

    rows: int
    nulls: Mapping[str, float]
    broken: Mapping[Rule, int]
    recent: int


def judge_landing(
    con: duckdb.DuckDBPyConnection, mondays: Sequence[date], *, timezone: str, run_id: str
) -> list[LandingJudgement]:
    """Judges every landed table: as a whole against the contract and the former landing, and its newest weeks against former weeks.

    An optional table that has never had a row is left out. What this landing looked like is kept in ``control.landing_profiles``
    for the next one; judging the same landing again compares it with the same former one.

    Args:
        con: read-write connection to the warehouse, after ``land``.
        mondays: the Mondays of the run; the week before each is judged.
        timezone: IANA name that local dates refer to.
        run_id: stored with the profile.
    """
    con.execute("create schema if not exists control")
    con.execute(
        """
        create table if not exists control.landing_profiles (
            source varchar, evaluated_at timestamp, row_count bigint, nulls map(varchar, double), run_id varchar
        )
        """
    )
    judged = []
    for table in TABLES.values():
        moment = con.execute("select evaluated_at from landing.state where source = ?", [table.name]).fetchone()
        if moment is None:
            continue
        of, run = f"{suites.LANDED}{table.name}", f"{moment[0]:%Y-%m-%d %H.%M}"
        if missing := {landed.name for landed in table.landed} - _present(con, table):
            # Whatever else is asked would read the column that is gone.
            verdict = Verdict(suites.COLUMNS, False, f"Missing: {', '.join(sorted(missing))}.")
            judged.append(LandingJudgement(table.name, Judgement(of, run, (verdict,)), ()))
            continue
        former = con.execute(
            "select row_count, nulls, evaluated_at from control.landing_profiles where source = ? and evaluated_at < ? "
            "order by evaluated_at desc limit 1",
            [table.name, moment[0]],
        ).fetchone()
        with _macros(con, timezone, moment[0]):
            profile = _profile(con, table)
            if table.name != suites.NEVER_EMPTY and not profile.rows and not (former and former[0]):
                continue
            verdicts = _verdicts(con, table, profile, _bounds(table, profile, former, moment[0]), mondays)
            judged.append(LandingJudgement(table.name, Judgement(of, run, verdicts), _failing(con, table, profile)))
        con.execute(
            "delete from control.landing_profiles where source = ? and evaluated_at = ?", [table.name, moment[0]]
        )
        con.execute(
            "insert into control.landing_profiles values (?, ?, ?, ?, ?)",
            [table.name, moment[0], profile.rows, dict(profile.nulls), run_id],
        )
    return judged


def unmet(judged: Sequence[LandingJudgement], mondays: Sequence[date]) -> dict[date, list[Notice]]:
    """The expectations that were not met, a sentence each: on every Monday, or on those whose weeks are at fault.

    Args:
        judged: of :func:`judge_landing`.
        mondays: the Mondays that it judged.
    """
    notices: dict[date, list[Notice]] = {day: [] for day in mondays}
    for table in judged:
        for verdict in table.judgement.failed:
            of_weeks = {row[MONDAY]: row for row in verdict.rows}
            for day, of_day in notices.items():
                if of_weeks and str(day) not in of_weeks:
                    continue
                observed = _found([of_weeks[str(day)]]) if of_weeks else verdict.observed
                expected = _lowered(verdict.expected.sentence)
                sentence = f"{table.table} is not as expected ({expected}): {_lowered(observed)}"
                of_day.append(Notice("expectation", table.table, sentence))
    return notices


def _found(weeks: Sequence[Mapping[str, Any]]) -> str:
    """What was found in weeks that are not as expected, as a sentence."""
    return (
        "Found "
        + "; ".join(", ".join(f"{name} {short(value)}" for name, value in week.items()) for week in weeks)
        + "."
    )


def _lowered(sentence: str) -> str:
    """A sentence as a part of another one."""
    return sentence[:1].lower() + sentence[1:].removesuffix(".")


@contextmanager
def _macros(con: duckdb.DuckDBPyConnection, timezone: str, moment: datetime) -> Iterator[None]:
    """The contract's macros, with the moment of this table's landing: a rule is asked as it was then."""
    made = macros(timezone, moment.replace(tzinfo=UTC))
    for name, body in made.items():
        con.execute(f"create or replace temp macro {name} as {body}")
    try:
        yield
    finally:
        for name in made:
            con.execute(f"drop macro temp.{name.split('(')[0]}")


def restored_sql(table: TableContract) -> str:
    """The landed rows in the words and units of the contract, beside what its rules compare them with."""
    columns = ", ".join(f"{sql} as {quoted(name)}" for name, sql in table.restored.items())
    known = any(rule.name == KNOWN_CUSTOMER for rule in table.rules)
    if not known:
        return f"select {columns} from landing.{table.name} as landed"
    return (
        f"select * from (select {columns} from landing.{table.name}) as landed "
        "left join (select customer_id as known_customer_id from landing.customers) as known "
        "on landed.customer_id = known.known_customer_id"
    )


def _row_rules(table: TableContract) -> list[Rule]:
    return [rule for rule in suites.asked_rules(table) if rule.name != UNIQUE_KEY]


def _profile(con: duckdb.DuckDBPyConnection, table: TableContract) -> _Profile:
    """One scan for everything but the keys; of a large table that is as landing left it, landing's own counts and one for the nulls."""
    rules, columns = _row_rules(table), suites.nullable(table)
    if _is_as_landed(con, table):
        nulls = ", ".join(["count(*)", *(f"count({table.restored[column.name]})" for column in columns)])
        rows, *counts = con.execute(f"select {nulls} from landing.{table.name}").fetchall()[0]
        broken = dict.fromkeys([*rules, table.unique_key], 0)
    else:
        measures = [
            "count(*)",
            *(f"count({quoted(column.name)})" for column in columns),
            *(f"count(*) filter ({rule.condition})" for rule in rules),
        ]
        rows, *counts = con.execute(f"select {', '.join(measures)} from ({restored_sql(table)})").fetchall()[0]
        broken = dict(zip(rules, counts[len(columns) :], strict=True))
        broken[table.unique_key] = con.execute(f"select count(*) from ({_repeated_sql(table, rows)})").fetchall()[0][0]
    recent = con.execute(
        f"select count(*) from landing.{table.name} "
        f"where known_date > (select max(known_date) from landing.{table.name}) - {RATE_DAYS}"
    ).fetchall()[0][0]
    given = zip(columns, counts[: len(columns)], strict=True)
    return _Profile(rows, {column.name: 1 - n / rows if rows else 0.0 for column, n in given}, broken, recent)


def _is_as_landed(con: duckdb.DuckDBPyConnection, table: TableContract) -> bool:
    """Whether a large table has the rows of which landing counted that none breaks a rule and no key is there twice."""
    rows = con.execute(f"select count(*) from landing.{table.name}").fetchall()[0][0]
    # A warehouse that an older version has landed has no counts.
    if rows <= LARGE or not has_table(con, "landing", "counts"):
        return False
    return (rows,) in con.execute("select landed_rows from landing.counts where source = ?", [table.name]).fetchall()


def _repeated_sql(table: TableContract, rows: int) -> str:
    """The landed rows whose key another row has too. Undated rows are a history of one row, so their day belongs to the key."""
    key = ", ".join(map(quoted, table.key))
    if table.own_date in table.key:
        key += f", case when {quoted(table.own_date)} is null then known_date end"
    sampled = f"where hash({key}) % {KEY_SAMPLE} = 0" if rows > LARGE else ""
    landed = f"landing.{table.name}"
    return (
        f"select * from {landed} where hash({key}) in "
        f"(select hash({key}) from {landed} {sampled} group by 1 having count(*) > 1) "
        f"qualify count(*) over (partition by {key}) > 1"
    )


def _bounds(table: TableContract, profile: _Profile, former: tuple[Any, ...] | None, moment: datetime) -> Bounds:
    if former is None or not former[0]:
        return Bounds((int(table.name == suites.NEVER_EMPTY), None), {})
    rows, nulls, at = former
    days = math.ceil((moment - at).total_seconds() / 86_400)
    slack = max(ROWS_SLACK * rows, ROWS_SLACK_AT_LEAST)
    most = rows + slack + RATE_SLACK * days * profile.recent / RATE_DAYS
    shares = {}
    for column, share in nulls.items():
        allowed = NULLS_SLACK + SPREADS * math.sqrt(share * (1 - share) / rows)
        shares[column] = (max(0.0, share - allowed), min(1.0, share + allowed))
    return Bounds((max(0, math.floor(rows - slack)), math.ceil(most)), shares)


def _present(con: duckdb.DuckDBPyConnection, table: TableContract) -> set[str]:
    return {
        name
        for (name,) in con.execute(
            "select column_name from information_schema.columns where table_schema = 'landing' and table_name = ?",
            [table.name],
        ).fetchall()
    }


def _verdicts(
    con: duckdb.DuckDBPyConnection, table: TableContract, profile: _Profile, bounds: Bounds, mondays: Sequence[date]
) -> tuple[Verdict, ...]:
    weeks = _weeks(con, table, mondays)

    def verdict(expected: OfLanded) -> Verdict:
        match expected.about:
            case "rows":
                least, most = bounds.rows
                met = least <= profile.rows and (most is None or profile.rows <= most)
                return Verdict(expected, met, "" if met else f"Found {profile.rows:,}.")
            case "rule":
                assert expected.rule is not None
                count = profile.broken[expected.rule]
                if not count:
                    return Verdict(expected, True)
                values = _values(con, table, expected.rule) if suites.has_values(table, expected.rule) else ()
                return Verdict(expected, False, unexpected(count, profile.rows, values), count=count)
            case "nulls":
                smallest, largest = bounds.nulls[expected.column]
                share = profile.nulls[expected.column]
                # The bounds are told with four digits, and so they hold.
                met = round(smallest, 4) <= round(share, 6) <= round(largest, 4)
                return Verdict(expected, met, "" if met else f"Found {short(round(share, 6))}.")
            case "weekly nulls":
                unusual = tuple(week for week in weeks.get(expected.column, ()) if week.share > week.most)
                rows = tuple(week.row(expected.column) for week in unusual)
                return Verdict(expected, not rows, _found(rows[:3]) if rows else "", rows, len(rows))
            case "columns":
                return Verdict(expected, True)

    is_first = bounds.rows[1] is None
    return tuple(map(verdict, suites.of_landed(table, is_first=is_first, compared=bounds.nulls)))


def _values(con: duckdb.DuckDBPyConnection, table: TableContract, rule: Rule) -> list[Any]:
    """Some of the values that break a rule about one column."""
    name = quoted(rule.columns[0])
    values = con.execute(
        f"select distinct {name} from ({restored_sql(table)}) where {rule.condition} order by 1 limit {SAMPLE}"
    )
    return [value for (value,) in values.fetchall()]


@dataclass(frozen=True)
class _Week:
    """The week before a Monday: the share of rows without a column, and the largest that former weeks make usual."""

    monday: date
    share: float
    most: float

    def row(self, column: str) -> dict[str, Any]:
        return {
            MONDAY: str(self.monday),
            f"largest usual share without {column}": self.most,
            f"share without {column} in the week": self.share,
        }


def _weeks(con: duckdb.DuckDBPyConnection, table: TableContract, mondays: Sequence[date]) -> dict[str, list[_Week]]:
    """By column, the weeks of which something can be said.

    A week's rows are those that were known by its end, so a Monday of the past is judged by what was known then.
    """
    columns = suites.nullable_by_week(table)
    if not columns or not mondays:
        return {}
    own = f"local_date({quoted(table.own_date)})"
    counts = con.execute(
        f"""
        select
            (date_trunc('week', {own}) + interval 7 day)::date as monday, count(*),
            {", ".join(f"count(*) - count({table.restored[column.name]})" for column in columns)}
        from landing.{table.name}
        where {own} >= ?::date and {own} < ?::date and known_date < date_trunc('week', {own}) + interval 7 day
        group by 1
        """,
        [min(mondays) - (FORMER_WEEKS + 1) * WEEK, max(mondays)],
    ).fetchall()
    weeks = {row[0]: row[1:] for row in counts}
    return {
        column.name: [week for day in mondays if (week := _usual(weeks, day, position)) is not None]
        for position, column in enumerate(columns, start=1)
    }


def _usual(weeks: Mapping[date, tuple[int, ...]], monday: date, position: int) -> _Week | None:
    """The week before a Monday; none where there are too few rows or weeks to tell."""
    now = weeks.get(monday)
    before = [weeks[day] for n in range(1, FORMER_WEEKS + 1) if (day := monday - n * WEEK) in weeks]
    shares = [week[position] / week[0] for week in before if week[0] >= MIN_ROWS]
    if now is None or now[0] < MIN_ROWS or len(shares) < MIN_WEEKS:
        return None
    middle = median(shares)
    spread = median(abs(share - middle) for share in shares) / MAD_OF_SIGMA
    chance = math.sqrt(max(middle, 1 / now[0]) * (1 - min(middle, 1 - 1 / now[0])) / now[0])
    most = min(1.0, middle + max(NULLS_WEEK_SLACK, SPREADS * spread, SPREADS * chance))
    return _Week(monday, round(now[position] / now[0], 4), round(most, 4))


def _failing(con: duckdb.DuckDBPyConnection, table: TableContract, profile: _Profile) -> tuple[FailingRows, ...]:
    personal = {column.name for column in table.columns if column.pii}
    samples = []
    for rule, count in profile.broken.items():
        if not count:
            continue
        columns = [name for name in dict.fromkeys((*table.key, *rule.columns)) if name not in personal]
        listed = ", ".join(map(quoted, columns))
        if rule.name == UNIQUE_KEY:
            source, where = f"({_repeated_sql(table, profile.rows)})", "true"
        else:
            source, where = f"({restored_sql(table)})", rule.condition
        rows = con.execute(f"select {listed} from {source} where {where} order by all limit {SAMPLE}").fetchall()
        samples.append(FailingRows(rule.sentence, tuple(columns), tuple(rows), count))
    return tuple(samples)
