"""The dry run: what would come in from raw data, before anything of a home exists or changes.

The raw data are landed into a warehouse of its own, which is thrown away. So everything that a run would refuse is refused here, in the
same words, and the figures are those that the run would have.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from churn_pipeline.contract import TABLES, TableContract, land, lives
from churn_pipeline.contract.currencies import SEED
from churn_pipeline.contract.landing import REFUSED, TableReport, missing_tables
from churn_pipeline.contract.problems import Problem, UnusableError
from churn_pipeline.core import calendar
from churn_pipeline.core.dbt_project import seed_file
from churn_pipeline.core.formatting import usd
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, Target
from churn_pipeline.core.templating import templates
from churn_pipeline.core.warehouse import limit
from churn_pipeline.features.frames import settled_by
from churn_pipeline.features.plan import read_beginning
from churn_pipeline.features.splits import Slices, Span, earliest_training_monday, twin_slices
from churn_pipeline.modeling.fit import needed_customers
from churn_pipeline.sources import sources_of
from churn_pipeline.sources.fetch import fetch, landed_from


@dataclass(frozen=True)
class ColumnIntake:
    """What a column of a landed table holds.

    Attributes:
        filled: share (0..1) of the landed rows with a usable value; None where the table has no rows.
        unusable: values that were given and cannot be used.
        is_missed: whether something is not known where it is empty.
    """

    name: str
    filled: float | None
    unusable: int
    is_missed: bool


@dataclass(frozen=True)
class TableIntake:
    """What would come in of one table.

    Attributes:
        present: whether there is a file of it.
        rows: rows that would be landed.
        first, last: days from which the oldest and the newest row are known.
        repeated: rows that only repeat another one.
        quarantined: rows that would be put aside, by rule.
        unmatched: of these the rows of customers whom nobody knows.
        customers: share (0..1) of the customers with at least one row.
        without_it: what is not known where the table is missing, as a clause.
    """

    name: str
    meaning: str
    present: bool
    files: int
    rows: int
    first: date | None
    last: date | None
    repeated: int
    quarantined: dict[str, int]
    unmatched: int
    customers: float | None
    without_it: str
    columns: tuple[ColumnIntake, ...]


@dataclass(frozen=True)
class BookIntake:
    """The customers as they are at the latest Monday. Revenue is monthly, in dollars."""

    snapshot_date: date
    customers: int
    active: int
    churned: int
    left_otherwise: int
    mrr: float
    departures_last_year: int


@dataclass(frozen=True)
class ModelIntake:
    """Which kinds of models the data support for a target, and from when on.

    Attributes:
        target: its name.
        title: its heading.
        is_required: whether there is a base rate before there is anything else.
        best: the first training Monday at which all kinds are judged; None where there is none yet.
        small: the first at which there is a logistic regression of a few features, where that is earlier; else None.
        missing: what all kinds need, where there is no such Monday yet.
    """

    target: str
    title: str
    is_required: bool
    best: date | None = None
    small: date | None = None
    missing: str = ""

    @property
    def words(self) -> str:
        """When there is what, in words."""
        parts = []
        if self.best is not None:
            parts.append(f"from {self.best} on the best of boosted trees and logistic regression")
        if self.small is not None:
            parts.append(f"from {self.small} on a logistic regression of a few features")
        if self.best is None and self.missing:
            parts.append(self.missing)
        parts.append("before that a base rate" if self.best or self.small else "for now a base rate")
        return "; ".join(parts if self.is_required else parts[:-1])


@dataclass(frozen=True)
class Intake:
    """What a landing of the raw data would bring.

    Attributes:
        problems: what would stop it; then there are no figures.
        notices: what it would remark.
        refused_rows: rows that it would put aside and that were counted among the problems.
    """

    raw: str
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    tables: tuple[TableIntake, ...] = ()
    book: BookIntake | None = None
    models: tuple[ModelIntake, ...] = ()
    refused_rows: int = 0

    @property
    def is_usable(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The intake as plain values; dates stay dates."""
        values = asdict(self)
        values["problems"] = [asdict(problem) | {"sentence": str(problem)} for problem in self.problems]
        return values | {"is_usable": self.is_usable}


@dataclass
class _Look:
    """What was found out, and the rows put aside."""

    intake: Intake
    rows: list[tuple[Any, ...]] = field(default_factory=list)


PAGE = "intake.html.j2"
QUARANTINE_COLUMNS = ("source", "row_key", "kind", "column_name", "value", "rule", "file")


def look_at(
    settings: Settings, *, progress: Callable[[str], None] | None = None, quarantine: Path | None = None
) -> Intake:
    """Lands the raw data into a warehouse that is thrown away, and says what came in.

    Args:
        settings: the raw directory, the time zone, the clock and the limits; nothing of the home is read or written but its
            ``sources.yml``.
        progress: called with a sentence as each table is read.
        quarantine: a CSV file to write the rows and cells into that would be put aside.

    Raises:
        InputError: there is no such directory.
    """
    with _scratch(settings) as (con, folder):
        look = _look(con, settings, progress, folder)
    if quarantine is not None:
        with quarantine.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(QUARANTINE_COLUMNS)
            writer.writerows(look.rows)
    return look.intake


def write_page(intake: Intake, path: Path) -> None:
    """Writes the intake as one HTML page that needs nothing else."""
    page = templates(Path(__file__).parent / "templates").get_template(PAGE)
    path.write_text(page.render(intake=intake, usd=usd, percent=percent), encoding="utf-8")


def percent(share: float | None) -> str:
    """A share in whole percent, where next to all and next to nothing are told from all and nothing; empty where there is none."""
    if share is None:
        return ""
    if 0 < share < 0.005:
        return "< 1%"
    return "> 99%" if 0.995 < share < 1 else f"{share:.0%}"


@contextmanager
def _scratch(settings: Settings) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A warehouse in a private temporary folder, because ten million events need not fit into memory; and the folder."""
    with (
        tempfile.TemporaryDirectory(prefix="churn-check-") as folder,
        closing(duckdb.connect(str(Path(folder) / "check.duckdb"))) as con,
    ):
        limit(con, settings)
        yield con, Path(folder)


def _look(
    con: duckdb.DuckDBPyConnection, settings: Settings, progress: Callable[[str], None] | None, folder: Path
) -> _Look:
    raw = str(settings.raw_dir)
    listed = ", ".join(QUARANTINE_COLUMNS)
    try:
        sources = sources_of(settings)
        # All of what lies elsewhere, and not into the home, of which nothing is changed.
        fetch(sources, folder / "fetched", os.environ, progress or (lambda _: None), now=settings.clock())
        report = land(
            con,
            settings.raw_dir,
            now=settings.clock(),
            timezone=settings.timezone,
            run_id="check",
            max_bad_share=settings.max_bad_share,
            max_bad_rows=settings.max_bad_rows,
            progress=progress,
            sources=landed_from(sources, folder / "fetched"),
            life_gap_days=settings.life_gap_days,
            booking_delay_days=settings.booking_delay_days,
            rates=seed_file(settings.dbt_source, settings.policy, SEED),
        )
    except UnusableError as error:
        rows: list[tuple[Any, ...]] = []
        if _has(con, REFUSED):
            rows = con.execute(f"select {listed} from landing.{REFUSED} order by all").fetchall()
        return _Look(Intake(raw, problems=tuple(error.problems), refused_rows=len(rows)), rows)
    rows = con.execute(f"select {listed} from landing.quarantine order by all").fetchall()
    customers = _count(con, "landing.customers")
    monday = calendar.latest_monday(settings.clock(), settings.timezone)
    missing = missing_tables({name: table.rows_total for name, table in report.tables.items()})
    return _Look(
        Intake(
            raw,
            notices=(*report.notices, *report.recognised),
            tables=tuple(
                _table(con, table, report.tables[table.name], customers, missing) for table in TABLES.values()
            ),
            book=_book(con, monday),
            models=tuple(_model(con, settings, target, monday) for target in TARGETS.values()),
        ),
        rows,
    )


def _has(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    where = "duckdb_tables() where schema_name = 'landing' and table_name = ?"
    return bool(con.execute(f"select count(*) from {where}", [table]).fetchall()[0][0])


def _count(con: duckdb.DuckDBPyConnection, relation: str) -> int:
    return int(con.execute(f"select count(*) from {relation}").fetchall()[0][0])


def _table(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    report: TableReport,
    customers: int,
    missing: Mapping[str, str],
) -> TableIntake:
    restored = [(column, table.restored[column.name]) for column in table.raw if column.name in table.restored]
    counts = ", ".join(f"count({sql})" for _, sql in restored)
    rows, first, last, known, *filled = con.execute(
        f"select count(*), min(known_date), max(known_date), approx_count_distinct(customer_id), {counts} "
        f"from landing.{table.name}"
    ).fetchall()[0]
    unusable = dict(
        con.execute(
            "select column_name, count(*) from landing.quarantine where source = ? and value is not null group by all",
            [table.name],
        ).fetchall()
    )
    by_subscriptions = lives.has_subscriptions(con)
    unmatched = con.execute(
        "select count(*) from landing.quarantine where source = ? and rule = 'known customer'", [table.name]
    ).fetchall()[0][0]
    return TableIntake(
        name=table.name,
        meaning=table.meaning,
        present=bool(report.files_read),
        files=report.files_read,
        rows=rows,
        first=first,
        last=last,
        repeated=report.rows_repeated,
        quarantined=dict(report.bad_rows),
        unmatched=unmatched,
        customers=min(1.0, known / customers) if rows and customers and table.name != "customers" else None,
        without_it=missing.get(table.name, ""),
        columns=tuple(
            ColumnIntake(
                column.name,
                count / rows if rows else None,
                unusable.get(column.name, 0),
                column.required and not (table.name == "customers" and by_subscriptions),
            )
            for (column, _), count in zip(restored, filled, strict=True)
        ),
    )


def _book(con: duckdb.DuckDBPyConnection, monday: date) -> BookIntake:
    row = con.execute(
        """
        with prices as (
            select customer_id, arg_max(to_mrr_cents, effective_date) as mrr_cents
            from landing.plan_history
            where effective_date < $monday
            group by customer_id
        ),
        active as (
            select distinct customer_id from landing.lives
            where active_from < $monday and coalesce(active_until >= $monday, true)
        )
        select
            (select count(*) from landing.customers),
            (select count(*) from active),
            (select count(*) from landing.lives where end_kind = 'churn' and active_until < $monday),
            (select count(*) from landing.lives where end_kind = 'left' and active_until < $monday),
            (
                select coalesce(sum(coalesce(prices.mrr_cents, customers.mrr_cents)), 0) / 100
                from active
                inner join landing.customers as customers using (customer_id)
                left join prices using (customer_id)
            ),
            (
                select count(*) from landing.lives
                where end_kind = 'churn' and ended_on >= $monday - interval 1 year and active_until < $monday
            )
        """,
        {"monday": monday},
    ).fetchall()[0]
    return BookIntake(monday, *row)


def _model(con: duckdb.DuckDBPyConnection, settings: Settings, target: Target, monday: date) -> ModelIntake:
    """The first training Mondays whose slices hold enough positive customers, by the days on which these became positive."""

    def answer(best: date | None, small: date | None, missing: str) -> ModelIntake:
        return ModelIntake(target.name, target.title, target.required, best, small if small != best else None, missing)

    first = read_beginning(con).first_monday(monday)
    if first is None:
        return answer(None, None, "there is neither a usage event nor a departure to learn from")
    settled, cadence = settled_by(con, target), settings.training_cadence_weeks
    earliest = earliest_training_monday(first, settled(monday), cadence)
    if earliest > monday:
        return answer(None, None, f"labels need time to close; there could be more from {earliest} on")
    days = [day for (day,) in con.execute(_POSITIVE_DAYS[target.event]).fetchall()]
    most = (0, 0)
    few, full = needed_customers(settings)
    small = None
    for training in calendar.mondays(earliest_training_monday(first, target, cadence), monday + calendar.WEEK):
        ripe = settled(training)
        if (
            training != calendar.training_monday(training, cadence)
            or earliest_training_monday(first, ripe, cadence) > training
        ):
            continue
        counts = _positives(target, twin_slices(ripe, training, first), days)
        most = max(most, counts)
        if small is None and all(count >= least for count, least in zip(counts, few, strict=True)):
            small = training
        if all(count >= least for count, least in zip(counts, full, strict=True)):
            return answer(training, small, "")
    noun = "departures" if target.event == "churn" else "upgrades"
    return answer(
        None,
        small,
        f"for boosted trees there were at most {most[0]:,} {noun} to learn from, where {full[0]:,} are needed, and {most[1]:,} to judge "
        f"by, where {full[1]:,} are",
    )


_POSITIVE_DAYS = {
    "churn": "select ended_on from landing.lives where end_kind = 'churn'",
    "expansion": "select upgrade_date from landing.customers where upgrade_date is not null "
    "union all select effective_date from landing.plan_history where not is_first",
}


def _positives(target: Target, twin: Slices, days: list[date]) -> tuple[int, int]:
    """Customers with a positive label on some Monday that is learned from, and on some Monday that it is judged by."""

    def within(span: Span) -> int:
        end = span.last + target.horizon_weeks * calendar.WEEK
        return sum(span.first <= day < end for day in days)

    return within(twin.train), within(twin.judged)
