"""Raw files in, typed and deduplicated tables out, in one transaction and only for what is new."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import duckdb

from churn_pipeline.contract import book_ledger, broken, lives, repeats, statements, value_ledger
from churn_pipeline.contract.book import LIMITS, Former, Limits
from churn_pipeline.contract.book_ledger import Acceptance
from churn_pipeline.contract.declaration import KNOWN_CUSTOMER, TABLES, UNIQUE_KEY, TableContract
from churn_pipeline.contract.dialects import Scratch
from churn_pipeline.contract.digests import adjust_digests, changed_from, replace_digests
from churn_pipeline.contract.files import ALWAYS_DIGESTED_BYTES, Layout, RawFile, discover, first_unreadable
from churn_pipeline.contract.limits import ColumnLimits, Limit
from churn_pipeline.contract.problems import Problem, UnusableError
from churn_pipeline.contract.recognition import Recognition
from churn_pipeline.contract.source import TableSource
from churn_pipeline.contract.suppression import Register, check
from churn_pipeline.core.calendar import latest_monday
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.sql import literal
from churn_pipeline.core.warehouse import transaction

_QUARANTINE = """(
    source VARCHAR, row_key VARCHAR, kind VARCHAR, column_name VARCHAR, value VARCHAR, rule VARCHAR, run_id VARCHAR,
    file VARCHAR, detected_at TIMESTAMP, customer_id VARCHAR
)"""
# Ends the stored definition of lives where the customers are those of the subscriptions.
_DERIVED_CUSTOMERS = " customers from subscriptions"
_BOOKKEEPING = f"""
create schema if not exists landing;
{value_ledger.CREATE}
create table if not exists landing.files (
    source VARCHAR, path VARCHAR, size_bytes BIGINT, mtime_ns BIGINT, digest VARCHAR
);
create table if not exists landing.state (
    source VARCHAR, definition VARCHAR, evaluated_at TIMESTAMP, due_at TIMESTAMP
);
create table if not exists landing.counts (source VARCHAR, landed_rows BIGINT);
create table if not exists landing.quarantine {_QUARANTINE};
create table if not exists landing.refused_quarantine {_QUARANTINE};
alter table landing.files add column if not exists allowed VARCHAR;
alter table landing.files add column if not exists styles VARCHAR;
alter table landing.quarantine add column if not exists customer_id VARCHAR;
create table if not exists landing.fact_digests (
    source VARCHAR, fact_date DATE, fact_rows BIGINT, digest HUGEINT
);
create table if not exists landing.undated_ledger (
    entry BIGINT, customer_id VARCHAR, compliance_gap_micros BIGINT, vendor_risk_flags BIGINT, first_seen_monday DATE,
    known_date DATE
);
alter table landing.undated_ledger add column if not exists is_withdrawn BOOLEAN default false;
"""

# The quarantine of a refused landing: at most so many rows of each rule and column, because a broken column may have millions.
REFUSED = "refused_quarantine"
REFUSED_ROWS = 10_000


# The temporary tables of one table's landing.
_WORKING = ("problems", "losers", "incoming", repeats.REPEATED)

_COLUMN_LIMITS = ColumnLimits()


@dataclass
class TableReport:
    """What landing did with one table.

    Attributes:
        how: ``unchanged`` (nothing was read), ``appended`` (only new files were) or ``whole``.
        reason: why it was landed as a whole, in words.
        files_read, rows_read, rows_landed: of this call; rows_read is what shares of bad rows refer to.
        rows_total: rows that the landed table holds now.
        rows_kept_out: raw rows of forgotten customers, in the files read; they count nowhere else.
        rows_repeated: rows that say what another row says, as overlapping parts hold them; each counts once and is no fault.
        bad_rows: rows quarantined in this call, by rule.
        bad_cells: cells blanked in this call, by ``column: rule``.
        changed_from: earliest day on which something known has changed; snapshots after it have to be rebuilt. None:
            nothing has.
    """

    how: Literal["unchanged", "appended", "whole"] = "unchanged"
    reason: str = ""
    files_read: int = 0
    rows_read: int = 0
    rows_landed: int = 0
    rows_total: int = 0
    rows_kept_out: int = 0
    rows_repeated: int = 0
    bad_rows: dict[str, int] = field(default_factory=dict)
    bad_cells: dict[str, int] = field(default_factory=dict)
    changed_from: date | None = None

    @property
    def unchanged(self) -> bool:
        return self.how == "unchanged"


@dataclass
class LandingReport:
    """What one call of ``land`` did, table by table.

    Attributes:
        notices: what a person should know.
        recognised: how the files that were read are written; of files that are as they were nothing is said again.
    """

    run_id: str
    tables: dict[str, TableReport]
    notices: list[str]
    recognised: list[str] = field(default_factory=list)

    @property
    def changed_from(self) -> date | None:
        """The earliest day on which anything known has changed, over all tables."""
        return min((table.changed_from for table in self.tables.values() if table.changed_from), default=None)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        values = asdict(self) | {"changed_from": self.changed_from}
        plain: dict[str, Any] = json.loads(json_text(values))
        return plain


@dataclass(frozen=True)
class _Comparison:
    """A table's files beside those of its last landing.

    Attributes:
        manifest: every file with its digest.
        new, changed: files whose content was not landed; vanished: names of files that were.
        first: no file of the table was landed before.
        noting: the manifest differs from the stored one, be it in times only.
    """

    manifest: tuple[tuple[RawFile, str], ...]
    new: tuple[RawFile, ...]
    changed: tuple[RawFile, ...]
    vanished: tuple[str, ...]
    first: bool
    noting: bool


class _LandedFile(NamedTuple):
    """A file as it was when it was landed, and what was told of it."""

    size: int
    mtime_ns: int
    digest: str
    allowed: str | None
    styles: str | None

    @property
    def identity(self) -> tuple[int, int, str]:
        return self.size, self.mtime_ns, self.digest


class _State(NamedTuple):
    """What the last landing of a table depended on besides the files: a hash of its definition, and whether that was after now, or has
    become due since."""

    definition: str
    is_ahead: bool
    is_due: bool


@dataclass(frozen=True)
class _Plan:
    """What to do for one table, why, and which of its files to read for it."""

    how: Literal["unchanged", "appended", "whole"]
    reason: str
    read: tuple[RawFile, ...]


def land(
    con: duckdb.DuckDBPyConnection,
    raw: Path,
    *,
    now: datetime,
    timezone: str,
    run_id: str,
    max_bad_share: float,
    max_bad_rows: int,
    progress: Callable[[str], None] | None = None,
    register: Register | None = None,
    columns: ColumnLimits | None = _COLUMN_LIMITS,
    max_book_change: float = LIMITS.change,
    acceptance: Acceptance | None = None,
    sources: Mapping[str, TableSource] | None = None,
    life_gap_days: int = 30,
    booking_delay_days: int | None = None,
    rates: Path | None = None,
) -> LandingReport:
    """Brings schema ``landing`` up to date with the raw directory.

    All of it is one transaction: an error or a kill leaves the former landing whole. The result depends on the files,
    on ``now`` and ``timezone``, and on nothing else: landing file by file or at once, in any order, gives equal rows
    and digests. The exceptions are the two ledgers, whose purpose is to remember when something was first seen: that of
    undated rows and that of plans and prices (:mod:`churn_pipeline.contract.value_ledger`).

    A refusal tells of everything that is wrong, and leaves what would have gone into the quarantine in
    ``landing.refused_quarantine``, until a landing succeeds.

    Args:
        con: read-write connection to the warehouse, outside of a transaction.
        raw: directory of raw tables.
        now: aware instant; anything dated after it is not a fact yet.
        timezone: IANA name that local dates refer to.
        run_id: stored with whatever is quarantined.
        max_bad_share: share (0..1) of bad rows in a table or in one of its files over which nothing is landed ...
        max_bad_rows: ... provided that there are more bad rows than this.
        progress: called with a sentence as each table is read.
        register: the home's list of forgotten customers, whose rows are kept out of every table.
        columns: how much of a column may be unusable; None: columns are not judged, nor whether there is any customer.
        max_book_change: share by which what is said of a past Monday may differ from what the former landing said; see `book`.
        acceptance: whoever says that what differs by more is right.
        sources: by table, where it comes from; a table that is not named has the names of the contract.
        life_gap_days: how long a gap does not end a life.
        booking_delay_days: how many days after its date a departure is booked; None: as `loaded_at` shows.
        rates: what currencies are worth, a CSV file; None: the shipped seed.

    Raises:
        UnusableError: tables, columns or files are missing or unreadable, too much in them is bad, or the book jumped.
        InputError: there is no such directory, or the warehouse has a list of forgotten customers and the home has lost the key
            to it.
    """
    unreadable: dict[str, Problem] = {}
    with Scratch() as scratch, _second(con, timezone, now, rates) as second:
        while True:
            landing = _Landing(
                con,
                raw.resolve(),
                now,
                timezone,
                run_id,
                Limit(max_bad_share, max_bad_rows),
                columns,
                progress or (lambda _: None),
                register,
                unreadable,
                replace(LIMITS, change=max_book_change),
                acceptance,
                Recognition(second, timezone, sources or {}, scratch),
                life_gap_days,
                booking_delay_days,
                rates,
            )
            try:
                with _utc_session(con), transaction(con):
                    return landing.run()
            except _UnreadableError as error:
                # The statement that failed has ended the transaction. Once more without the table, to see what else is wrong.
                unreadable[error.table] = error.problem
            except UnusableError:
                with transaction(con):
                    landing.keep_refused()
                raise


class _UnreadableError(Exception):
    """A file of a table cannot be read to its end."""

    def __init__(self, table: str, problem: Problem) -> None:
        super().__init__(str(problem))
        self.table, self.problem = table, problem


@contextmanager
def _second(
    con: duckdb.DuckDBPyConnection, timezone: str, now: datetime, rates: Path | None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to look at raw files with: one that cannot be read would doom the transaction of the landing."""
    with con.cursor() as second:
        second.execute("set TimeZone = 'UTC'")
        for name, body in statements.macros(timezone, now, rates).items():
            second.execute(f"create temp macro {name} as {body}")
        yield second


@contextmanager
def _utc_session(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """DuckDB reads text without an offset in the session's zone, and the contract says that it is UTC."""
    row = con.execute("select current_setting('TimeZone')").fetchone()
    assert row is not None
    con.execute("set TimeZone = 'UTC'")
    try:
        yield
    finally:
        con.execute(f"set TimeZone = {literal(row[0])}")


@dataclass
class _Landing:
    """The state of one call."""

    con: duckdb.DuckDBPyConnection
    raw: Path
    now: datetime
    timezone: str
    run_id: str
    row_limit: Limit
    column_limits: ColumnLimits | None
    progress: Callable[[str], None]
    register: Register | None
    unreadable: Mapping[str, Problem]
    book_limits: Limits
    acceptance: Acceptance | None
    recognition: Recognition
    life_gap_days: int
    booking_delay_days: int | None
    rates: Path | None
    customers_changed: bool = False
    judges_customers: bool = True
    customers_exported: bool = True
    forgot: bool = False
    problems: list[Problem] = field(default_factory=list)
    landed_files: dict[str, dict[str, _LandedFile]] = field(default_factory=dict)
    states: dict[str, _State] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)
    changed_since: set[str] = field(default_factory=set)
    refused_rows: list[tuple[Any, ...]] | None = None

    def run(self) -> LandingReport:
        discovery = discover(self.raw, self.recognition.sources)
        check(self.con, self.register)
        self._prepare()
        notices = [*discovery.notices, *self._remove_forgotten()]
        self._read_bookkeeping()
        compared = {table.name: self._compare(table, discovery.files.get(table.name, ())) for table in TABLES.values()}
        self.problems += [*discovery.problems, *self.unreadable.values()]
        # A missing column in the last table should not be found out after minutes of reading the others.
        unusable = {*self.unreadable, *(problem.table for problem in discovery.problems)}
        for table in TABLES.values():
            if table.name not in unusable:
                files = compared[table.name]
                problems = self.recognition.recognise(
                    table, discovery.files.get(table.name, ()), (*files.new, *files.changed), self._remembered(table)
                )
                self.problems += problems
                unusable.update(problem.table for problem in problems)
        reports: dict[str, TableReport] = {}
        # Where the plans change nothing, nothing will be changed: customers come and go with their own table.
        changing = any(self._plan(table, compared[table.name]).how != "unchanged" for table in TABLES.values())
        former = book_ledger.remember(self.con, self.now, self.timezone) if changing else None
        for table in TABLES.values():
            if table.name in unusable:
                # The run is refused. The other tables are read to tell all that is wrong with them, too.
                self.judges_customers = self.judges_customers and table.name not in ("customers", "subscriptions")
                reports[table.name] = TableReport()
                continue
            is_landed = False
            while not is_landed:
                plan = self._plan(table, compared[table.name])
                report = reports[table.name] = TableReport(plan.how, plan.reason, files_read=len(plan.read))
                is_landed = plan.how == "unchanged"
                if not is_landed:
                    self.progress(f"Landing {table.name} ({plan.reason})")
                    is_landed = self._land(table, plan, report)
            self._note_files(table, compared[table.name])
            if table.name in ("customers", "subscriptions"):
                self._find_customers(table, reports)
            report.rows_total = self._count(f"landing.{table.name}")
            if (
                table.name == "subscriptions"
                and not self._count("landing.customers")
                and self.column_limits is not None
            ):
                self.judges_customers = False
                # Where the table or a file of it is missing, that has been said.
                if not any(problem.table == "customers" and not problem.column for problem in self.problems):
                    self.problems.append(broken.without_customers(self.con, compared["customers"].manifest))
        self._derive_lives(reports)
        reports["customers"].rows_total = self._count("landing.customers")
        if changing:
            notices += self._judge_book(former, compared, reports)
        if self.problems:
            self._refuse()
        self._note_counts(reports)
        by_subscriptions = lives.has_subscriptions(self.con)
        for name, day in changed_from(self.con, "digests_before").items():
            if name == lives.LIVES.name:
                name = "subscriptions" if by_subscriptions else "customers"
            concerned = reports["customers" if name == value_ledger.SOURCE else name]
            concerned.changed_from = min(day, concerned.changed_from or day)
        notices += [*self._hidden_customers(), *self._lives_notices(by_subscriptions), *_missing(reports)]
        self._tidy()
        return LandingReport(self.run_id, reports, notices, self.recognition.notices())

    def _judge_book(
        self, former: Former | None, compared: Mapping[str, _Comparison], reports: Mapping[str, TableReport]
    ) -> list[str]:
        """Compares the book with what it was before; returns what is to be said of a jump that somebody accepts."""
        problems, notices = book_ledger.judge(
            self.con,
            former,
            limits=self.book_limits,
            acceptance=self.acceptance,
            changed=[name for name, files in compared.items() if files.new or files.changed or files.vanished],
            unusable=[name for name, report in reports.items() if report.rows_read],
            now=self.now,
            timezone=self.timezone,
            run_id=self.run_id,
        )
        # Of a table that is broken anyway nobody wants to hear what follows from it.
        broken_tables = {problem.table for problem in self.problems}
        self.problems += [problem for problem in problems if problem.table not in broken_tables]
        return notices

    def _refuse(self) -> None:
        self.refused_rows = self.con.execute(
            "from landing.quarantine where detected_at = this_instant() qualify row_number() over ("
            f"partition by source, kind, column_name, rule order by row_key, value) <= {REFUSED_ROWS}"
        ).fetchall()
        raise UnusableError(broken.with_spellings(self.con, self.problems))

    def keep_refused(self) -> None:
        """Stores what the refused landing, which is undone by now, had put aside."""
        if self.refused_rows is None:
            return
        self.con.execute(
            f"create schema if not exists landing; create table if not exists landing.{REFUSED} {_QUARANTINE}"
        )
        self.con.execute(f"delete from landing.{REFUSED}")
        columns = [list(values) for values in zip(*self.refused_rows, strict=True)]
        if columns:
            self.con.execute(f"insert into landing.{REFUSED} select {', '.join('unnest(?)' for _ in columns)}", columns)

    def _prepare(self) -> None:
        self.con.execute(_BOOKKEEPING)
        self.con.execute(f"delete from landing.{REFUSED}")
        value_ledger.begin(self.con, latest_monday(self.now, self.timezone))
        for table in TABLES.values():
            self.con.execute(f"create table if not exists {statements.create_sql(table, 'landing.' + table.name)}")
        had_lives = lives.prepare(self.con)
        for name, body in statements.macros(self.timezone, self.now, self.rates).items():
            self.con.execute(f"create or replace temp macro {name} as {body}")
        if not had_lives and self._count("landing.customers"):
            # Of a home from before them, so that the book has something to be compared with.
            lives.derive(self.con, self.life_gap_days, self.booking_delay_days, customers_exported=True)
        self.con.execute("create or replace temp table digests_before as from landing.fact_digests")

    def _remove_forgotten(self) -> list[str]:
        """Rows that were landed although their customer is on the list, as after a backup was put back or an erasure was killed."""
        self.con.execute("create or replace temp table kept_out (customer_id VARCHAR)")
        forgotten = 0
        if self.register is not None and self.register.entries:
            self.register.fill(self.con)
            self.con.execute(
                "create or replace temp macro is_kept_out(id) as coalesce(id in (select customer_id from kept_out), false)"
            )
            # Nobody else is in the other tables: a row without a landed customer is quarantined.
            there = ("customers", "undated_ledger", value_ledger.SOURCE, "quarantine")
            forgotten = self._keep_out(" union ".join(f"select customer_id from landing.{name}" for name in there))
        if forgotten:
            self.forgot = True
            for name in (*TABLES, *lives.DERIVED, "quarantine", "undated_ledger", value_ledger.SOURCE):
                self.con.execute(f"delete from landing.{name} where is_kept_out(customer_id)")
            for table in (*TABLES.values(), lives.LIVES):
                replace_digests(self.con, table)
            value_ledger.replace_digests(self.con)
        self.con.execute("create or replace temp table customers_before as select customer_id from landing.customers")
        value_ledger.remember(self.con)
        if not forgotten:
            return []
        return [
            f"{forgotten:,} customer(s) on the list of the forgotten were in the landed tables and have been removed there; "
            "'churn forget --again' removes them everywhere"
        ]

    def _keep_out(self, customers: str) -> int:
        """Adds to the ids that are kept out those of ``customers`` that are on the list; returns how many there are now."""
        assert self.register is not None
        self.con.execute(
            f"insert into kept_out select customer_id from (select distinct customer_id from ({customers})) "
            "where customer_id is not null and customer_id not in (select customer_id from kept_out) "
            f"and {self.register.digest_sql('customer_id')} in (select digest from control.forgotten)"
        )
        return self._count("kept_out")

    def _tidy(self) -> None:
        for name in ("digests_before", "customers_before", value_ledger.BEFORE, "kept_out"):
            self.con.execute(f"drop table temp.{name}")
        self.con.execute("drop table if exists temp.book_before")
        for name in statements.macros(self.timezone, self.now):
            self.con.execute(f"drop macro temp.{name.split('(')[0]}")

    def _count(self, relation: str, parameters: list[Any] | None = None) -> int:
        row = self.con.execute(f"select count(*) from {relation}", parameters or []).fetchone()
        assert row is not None
        return int(row[0])

    def _read_bookkeeping(self) -> None:
        """What is known of all files and tables from their last landings, at once: every statement costs its planning."""
        for source, path, *known in self.con.execute(
            "select source, path, size_bytes, mtime_ns, digest, allowed, styles from landing.files"
        ).fetchall():
            self.landed_files.setdefault(source, {})[path] = _LandedFile(*known)
        for source, *state in self.con.execute(
            "select source, definition, this_instant() < evaluated_at, due_at <= this_instant() from landing.state"
        ).fetchall():
            self.states[source] = _State(*state)
        self.counted = dict(self.con.execute("select source, landed_rows from landing.counts").fetchall())

    def _compare(self, table: TableContract, files: tuple[RawFile, ...]) -> _Comparison:
        known = {path: file.identity for path, file in self.landed_files.get(table.name, {}).items()}
        manifest = []
        for file in files:
            size, mtime_ns, digest = known.get(file.name, (None, None, ""))
            same = (size, mtime_ns) == (file.size, file.mtime_ns) and file.size > ALWAYS_DIGESTED_BYTES
            manifest.append((file, digest if same else file.digest()))
        return _Comparison(
            manifest=tuple(manifest),
            new=tuple(file for file in files if file.name not in known),
            changed=tuple(file for file, digest in manifest if known.get(file.name, ("", "", digest))[2] != digest),
            vanished=tuple(sorted(known.keys() - {file.name for file in files})),
            first=not known,
            noting=known != {file.name: (file.size, file.mtime_ns, digest) for file, digest in manifest},
        )

    def _plan(self, table: TableContract, compared: _Comparison) -> _Plan:
        reason = self._reason(table) or self.recognition.reason(table)
        if not reason and compared.changed:
            reason = f"{compared.changed[0].name} changed"
        if not reason and compared.vanished:
            reason = f"{compared.vanished[0]} vanished"
        if not reason and compared.new and (table.whole or compared.first):
            reason = f"{compared.new[0].name} is new"
        if reason:
            return _Plan("whole", reason, tuple(file for file, _ in compared.manifest))
        if compared.new:
            return _Plan("appended", f"{len(compared.new)} new file(s)", compared.new)
        return _Plan("unchanged", "", ())

    def _reason(self, table: TableContract) -> str:
        """Why the table has to be landed as a whole although its files may be the same; empty if there is no reason."""
        state = self.states.get(table.name)
        if state is None:
            return "first landing"
        if state.definition != self._definition(table):
            return "the contract, the mapping, the time zone or DuckDB's version changed"
        if state.is_ahead:
            return "the clock stands before the last landing"
        if state.is_due:
            return "a date that lay in the future has come"
        if self.customers_changed and table.name != "customers" and (table.whole or self._concerned(table)):
            return "customers came or went"
        return ""

    def _concerned(self, table: TableContract) -> bool:
        """Whether rows wait in quarantine for a customer known by now, or landed rows belong to one who is gone."""
        waiting = (
            f"landing.quarantine where source = {literal(table.name)} and rule = {literal(KNOWN_CUSTOMER)} "
            f"and value in (select left(customer_id, {statements.VALUE_CHARACTERS}) from landing.customers)"
        )
        orphaned = (
            f"landing.{table.name} where customer_id in "
            "(select customer_id from customers_before except select customer_id from landing.customers)"
        )
        return bool(self._count(waiting) or self._count(orphaned))

    def _definition(self, table: TableContract) -> str:
        return statements.definition(table, self.timezone, self.recognition.sources.get(table.name), self.rates)

    def _remembered(self, table: TableContract) -> dict[str, tuple[str | None, str | None]]:
        """What was told of files that were landed, if it was told by the rules of today."""
        state = self.states.get(table.name)
        if state is None or state.definition != self._definition(table):
            return {}
        return {path: (file.allowed, file.styles) for path, file in self.landed_files.get(table.name, {}).items()}

    def _land(self, table: TableContract, plan: _Plan, report: TableReport) -> bool:
        """Lands what the plan says; False if values showed that files are written otherwise than was thought, and nothing was landed."""
        landed = f"landing.{table.name}"
        groups = self._groups(table, plan)
        whole = plan.how == "whole"
        target, create = (landed, "create or replace table") if whole else ("incoming", "create or replace temp table")
        self.con.execute(f"{create} {statements.create_sql(table, target)}")
        if whole:
            self.con.execute("delete from landing.quarantine where source = ?", [table.name])
        elif self._count(landed) != self.counted.get(table.name):
            self.changed_since.add(table.name)
        if groups:
            if self.register is not None and self.register.entries:
                report.rows_kept_out = self._look_for_forgotten(table, groups)
            self._scan(table, f"insert into {target} {statements.landed_sql(table, groups)}", groups)
            self._collect_problems(table, groups)
            if self._is_written_otherwise(table):
                return False
            if not self.judges_customers:
                self.con.execute("delete from problems where rule = ?", [KNOWN_CUSTOMER])
            report.rows_read = self._count(target) + self._count("problems where kind = 'row'")
        has_rivals = False
        if report.rows_read:
            if not whole:
                self.con.execute(f"insert into {landed} from incoming")
            has_rivals = repeats.find_repeated(self.con, table, None if whole else "incoming")
            if has_rivals:
                report.rows_repeated = self._drop_losers(table, groups)
            self._report_problems(table, report)
            self.problems += broken.judge(self.con, table, groups, self.row_limit, self.column_limits)
        if table.name == "risk_signals":
            self._stamp_undated()
        if table.name == "customers":
            lives.set_former_apart(self.con)
            self.customers_changed = self._customers_changed()
            value_ledger.add_changes(self.con, latest_monday(self.now, self.timezone))
        elif whole:
            replace_digests(self.con, table)
        elif report.rows_read:
            adjust_digests(self.con, table, "incoming", "losers" if has_rivals else None)
        self._remember(table, whole, has_files=bool(groups))
        if groups:
            self.con.execute("".join(f"drop table if exists temp.{name};" for name in _WORKING))
        self._check_untouched(plan)
        return True

    def _is_written_otherwise(self, table: TableContract) -> bool:
        """Whether values that could not be read can be in another style."""
        unread = "problems where value is not null and (rule = 'not missing' or rule like 'readable%')"
        names = [name for (name,) in self.con.execute(f"select distinct file from {unread} order by 1").fetchall()]
        try:
            return bool(names) and self.recognition.look_again(table, names)
        except UnusableError as error:
            self.problems += error.problems
            return False

    def _look_for_forgotten(self, table: TableContract, groups: Mapping[Layout, list[RawFile]]) -> int:
        """Notes the ids on the list that the raw files still hold; returns how many rows they have there."""
        self._scan(
            table,
            "create or replace temp table raw_customers as "
            f"select customer_id, count(*) as raw_rows from ({statements.customers_sql(table, groups)}) group by customer_id",
            groups,
        )
        self._keep_out("select customer_id from raw_customers")
        rows = self.con.execute(
            "select coalesce(sum(raw_rows), 0)::bigint from raw_customers where is_kept_out(customer_id)"
        ).fetchall()[0][0]
        self.con.execute("drop table temp.raw_customers")
        return int(rows)

    def _groups(self, table: TableContract, plan: _Plan) -> dict[Layout, list[RawFile]]:
        """The files by layout, so that an integer in one part and a double in the next are each read as what they are."""
        groups: dict[Layout, list[RawFile]] = {}
        for file in plan.read:
            groups.setdefault(self.recognition.layout(table, file), []).append(file)
        return groups

    def _scan(self, table: TableContract, statement: str, groups: Mapping[Layout, list[RawFile]]) -> None:
        """Runs a statement that reads raw files, and names the file if one cannot be read."""
        try:
            self.con.execute(statement)
        except duckdb.Error as error:
            fault = first_unreadable(table, groups)
            if fault is None:
                raise
            raise _UnreadableError(table.name, fault) from error

    def _collect_problems(self, table: TableContract, groups: Mapping[Layout, list[RawFile]]) -> None:
        self.con.execute(
            "create or replace temp table problems (row_key VARCHAR, customer_id VARCHAR, file VARCHAR, kind VARCHAR, column_name VARCHAR, "
            "value VARCHAR, rule VARCHAR, due TIMESTAMP)"
        )
        self._scan(table, f"insert into problems {statements.problems_sql(table, groups, self.raw)}", groups)

    def _drop_losers(self, table: TableContract, groups: Mapping[Layout, list[RawFile]]) -> int:
        """Of the rows that share a key, keeps the winner; the others are in ``losers``, and those that say something else become problems.

        Returns:
            How many rows only repeated the winner.
        """
        self.con.execute(f"create or replace temp table losers as {statements.losers_sql(table)}")
        if table.name == "customers":
            lives.spare_returns(self.con)
        losers, repeated = self.con.execute("select count(*), count_if(is_repeated) from losers").fetchall()[0]
        if not losers:
            return 0
        self.con.execute(f"delete from landing.{table.name} where rowid in (select id from losers)")
        if losers == repeated:
            return int(repeated)
        files = [file for members in groups.values() for file in members]
        if len(files) == 1:
            holders = f"(select null::VARCHAR as row_key, {literal(files[0].name)} as file)"
            condition = "true"
        else:
            different = "(select * from losers where not is_repeated)"
            holders = f"({statements.loser_files_sql(table, groups, self.raw, different)})"
            condition = "loser.row_key = holder.row_key"
        self.con.execute(
            "insert into problems select loser.row_key, loser.customer_id, holder.file, 'row', "
            f"{literal(', '.join(table.key))}, null, {literal(UNIQUE_KEY)}, null "
            f"from (select {statements.row_key(table)} as row_key, customer_id from losers where not is_repeated) as loser "
            f"left join {holders} as holder on {condition}"
        )
        return int(repeated)

    def _report_problems(self, table: TableContract, report: TableReport) -> None:
        """Counts the problems and moves them to the quarantine."""
        counts = self.con.execute(
            "select kind, column_name, rule, count(*) from problems "
            "group by kind, column_name, rule order by count(*) desc, rule, column_name"
        ).fetchall()
        for kind, column, rule, count in counts:
            if kind == "row":
                report.bad_rows[rule] = report.bad_rows.get(rule, 0) + count
            else:
                report.bad_cells[f"{column}: {rule}"] = count
        report.rows_landed = report.rows_read - sum(report.bad_rows.values()) - report.rows_repeated
        self.con.execute(
            "insert into landing.quarantine "
            "(source, row_key, kind, column_name, value, rule, run_id, file, detected_at, customer_id) "
            "select ?, row_key, kind, column_name, value, rule, ?, file, this_instant(), customer_id from problems",
            [table.name, self.run_id],
        )

    def _stamp_undated(self) -> None:
        """Replaces the undated risk signals by the ledger's history, after adding what is new in them.

        A change within one week replaces that week's values, as the corrected file would have, and what is no longer there is
        withdrawn; older Mondays keep theirs. Nothing is added for somebody of whom a later Monday is known, as when the clock went
        back.
        """
        monday = literal(latest_monday(self.now, self.timezone).isoformat()) + "::DATE"
        self.con.execute(
            f"""
            insert into landing.undated_ledger by name
            with
            newest as (
                from landing.undated_ledger
                qualify row_number() over (partition by customer_id, first_seen_monday order by entry desc) = 1
            ),
            present as (from newest where first_seen_monday = {monday}),
            former as (
                from newest where first_seen_monday < {monday} and not is_withdrawn
                qualify row_number() over (partition by customer_id order by first_seen_monday desc) = 1
            ),
            news as (
                select signal.customer_id, signal.compliance_gap_micros, signal.vendor_risk_flags, signal.known_date
                from landing.risk_signals as signal
                left join former using (customer_id)
                where not signal.is_dated and (
                    former.entry is null
                    or former.compliance_gap_micros is distinct from signal.compliance_gap_micros
                    or former.vendor_risk_flags is distinct from signal.vendor_risk_flags
                )
            ),
            entries as (
                select
                    news.customer_id, news.compliance_gap_micros, news.vendor_risk_flags,
                    -- strictly before the Monday, because a snapshot knows what is dated before it
                    greatest({monday} - 1, news.known_date) as known_date, false as is_withdrawn
                from news
                left join present using (customer_id)
                where present.entry is null
                    or present.is_withdrawn
                    or present.compliance_gap_micros is distinct from news.compliance_gap_micros
                    or present.vendor_risk_flags is distinct from news.vendor_risk_flags
                union all by name
                select customer_id, compliance_gap_micros, vendor_risk_flags, known_date, true as is_withdrawn
                from present
                anti join news using (customer_id)
                -- somebody who is gone may come back, and their history is only hidden meanwhile
                where not is_withdrawn and customer_id in (select customer_id from landing.customers)
            )
            select
                (select coalesce(max(entry), 0) from landing.undated_ledger) + row_number() over (order by customer_id)
                    as entry,
                customer_id, compliance_gap_micros, vendor_risk_flags, {monday} as first_seen_monday, known_date,
                is_withdrawn
            from entries
            where customer_id not in (select customer_id from landing.undated_ledger where first_seen_monday > {monday})
            """
        )
        self.con.execute("delete from landing.risk_signals where not is_dated")
        self.con.execute(
            """
            insert into landing.risk_signals by name
            select customer_id, compliance_gap_micros, vendor_risk_flags, false as is_dated, known_date
            from (
                from landing.undated_ledger
                qualify row_number() over (partition by customer_id, known_date order by entry desc) = 1
            )
            where not is_withdrawn and customer_id in (select customer_id from landing.customers)
            """
        )

    def _customers_changed(self) -> bool:
        differing = "(select customer_id from {} except select customer_id from {})"
        before, after = "customers_before", "landing.customers"
        return bool(self._count(differing.format(before, after)) or self._count(differing.format(after, before)))

    def _remember(self, table: TableContract, whole: bool, has_files: bool) -> None:
        """Stores what the landing depended on besides the files."""
        due: tuple[str | None] | None = (None,)
        if has_files:
            # As text, because 9999-12-31 west of Greenwich ends in a year that Python has not got.
            due = self.con.execute(
                "select min(due)::VARCHAR from (select due from problems union all "
                "select due_at from landing.state where source = ? and not ?)",
                [table.name, whole],
            ).fetchone()
        assert due is not None
        if table.name in self.states:
            self.con.execute("delete from landing.state where source = ?", [table.name])
        self.con.execute(
            "insert into landing.state select ?, ?, this_instant(), ?::TIMESTAMP",
            [table.name, self._definition(table), due[0]],
        )

    def _note_files(self, table: TableContract, compared: _Comparison) -> None:
        remembered = {file.name: self.recognition.remembered(table, file.name) for file, _ in compared.manifest}
        if not compared.noting and remembered == self._remembered(table):
            return
        self.con.execute("delete from landing.files where source = ?", [table.name])
        rows = [
            (file.name, file.size, file.mtime_ns, digest, *remembered[file.name]) for file, digest in compared.manifest
        ]
        if rows:
            self.con.execute(
                "insert into landing.files select ?, unnest(?), unnest(?), unnest(?), unnest(?), unnest(?::VARCHAR[]), "
                "unnest(?::VARCHAR[])",
                [table.name, *(list(values) for values in zip(*rows, strict=True))],
            )

    def _note_counts(self, reports: Mapping[str, TableReport]) -> None:
        """Notes of how many rows it was counted that none breaks a rule and that no key is there twice.

        Of a table that somebody else has added rows to or removed some from nothing is noted until it is landed as a whole.
        """
        landed = [name for name, report in reports.items() if not report.unchanged]
        counts = {name: reports[name].rows_total for name in landed if name not in self.changed_since}
        if landed:
            self.con.execute("delete from landing.counts where source in (select unnest(?::varchar[]))", [landed])
        if counts:
            self.con.execute(
                "insert into landing.counts select unnest(?), unnest(?)", [list(counts), list(counts.values())]
            )

    def _check_untouched(self, plan: _Plan) -> None:
        """What was digested before reading has to be what was read."""
        for file in plan.read:
            status = file.path.stat()
            if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
                raise InputError(
                    f"{file.name}: the file changed while it was being read; run again once it is complete"
                )

    def _find_customers(self, table: TableContract, reports: Mapping[str, TableReport]) -> None:
        """After the customers: were any exported? After the subscriptions: if not, they say who the customers are."""
        if table.name == "customers":
            before = self._life_state()
            derived = before is not None and before.endswith(_DERIVED_CUSTOMERS)
            self.customers_exported = self._count("landing.customers") > 0 and not (
                reports["customers"].unchanged and derived
            )
            exported = str(self.customers_exported).lower()
            self.con.execute(f"create or replace temp macro has_customers() as {exported}")
        elif not self.customers_exported and not (
            reports["customers"].unchanged and reports["subscriptions"].unchanged
        ):
            lives.customers_from_subscriptions(self.con)
            self.customers_changed = self._customers_changed()

    def _life_state(self) -> str | None:
        row = self.con.execute("select definition from landing.state where source = ?", [lives.LIVES.name]).fetchone()
        return None if row is None else str(row[0])

    def _derive_lives(self, reports: Mapping[str, TableReport]) -> None:
        """Makes lives and the history of plans anew where anything that they are made of has changed."""
        state = lives.definition(self.life_gap_days, self.booking_delay_days) + (
            "" if self.customers_exported else _DERIVED_CUSTOMERS
        )
        sources = ("customers", "subscriptions", "plan_changes")
        if all(reports[name].unchanged for name in sources) and self._life_state() == state and not self.forgot:
            return
        lives.derive(self.con, self.life_gap_days, self.booking_delay_days, customers_exported=self.customers_exported)
        self.con.execute("delete from landing.state where source = ?", [lives.LIVES.name])
        self.con.execute(
            "insert into landing.state select ?, ?, this_instant(), null::TIMESTAMP", [lives.LIVES.name, state]
        )

    def _lives_notices(self, by_subscriptions: bool) -> list[str]:
        """What was made of several rows of a customer, and of customers without a subscription."""
        notices = []
        returns = lives.returns(self.con)
        if by_subscriptions:
            outside = lives.without_subscription(self.con)
            if outside:
                notices.append(
                    f"{outside:,} customer(s) have no subscription, or only trials, and count as no customers: where there are "
                    "subscriptions, they alone say who is one. Give a free customer a subscription with a price of 0"
                )
        elif returns.rows:
            notices.append(
                f"{returns.customers:,} customer(s) have several rows in customers that follow each other: they left and came back, "
                f"and each of the {returns.rows:,} rows counts. A gap of up to {self.life_gap_days} days is a pause in one life"
            )
        if returns.lost:
            notices.append(
                f"{returns.lost:,} row(s) of customers overlap another row of the same customer and are in quarantine: the row that "
                "was known first counts, then the one with the earliest signup_date, then the first by content"
            )
        return notices

    def _hidden_customers(self) -> list[str]:
        """A customers export stamped with the time of its own making says that nobody was known before."""
        row = self.con.execute(
            "select count(*), max(known_date) from landing.customers "
            "where signup_date < date_trunc('week', known_date) "
        ).fetchone()
        if row is None or not row[0]:
            return []
        return [
            f"{'customers' if self.customers_exported else 'subscriptions'}.loaded_at hides {row[0]:,} customer(s) from snapshots after their signup, up to {row[1]}: "
            "a customer counts as known only once loaded. Leave loaded_at out of an export that holds all customers "
            "anew each time."
        ]


def missing_tables(rows: Mapping[str, int]) -> dict[str, str]:
    """What is not known because a table has no rows, as a clause by table. Subscriptions tell what plan_changes would.

    Args:
        rows: landed rows by table.
    """
    told_otherwise = {"plan_changes"} if rows["subscriptions"] else set()
    return {
        name: TABLES[name].without_it
        for name, count in rows.items()
        if not count and TABLES[name].without_it and name not in told_otherwise
    }


def _missing(reports: Mapping[str, TableReport]) -> list[str]:
    missing = missing_tables({name: report.rows_total for name, report in reports.items()})
    return [f"no {name}: {clause}" for name, clause in missing.items()]
