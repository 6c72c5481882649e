"""Forgetting a customer: the list first, then every place, the warehouse last; and what was touched.

The order makes a kill harmless. From the first step on no landing takes the customer in again. The warehouse knows names, by which
text elsewhere is searched, so it is the last to lose them, and what was done is noted in the very file that replaces it.
Until then the same command does all of it again.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from churn_pipeline.contract import TABLES, fingerprints, suppression, value_ledger
from churn_pipeline.contract.dialects import Scratch
from churn_pipeline.contract.digests import facts_sql
from churn_pipeline.contract.files import discover, layout
from churn_pipeline.contract.lives import LIVES
from churn_pipeline.contract.statements import customers_sql
from churn_pipeline.contract.suppression import Register
from churn_pipeline.core.errors import ChurnError, InputError
from churn_pipeline.core.home import home_lock
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.sql import literal
from churn_pipeline.core.warehouse import connect, has_table
from churn_pipeline.customers.briefs import audit
from churn_pipeline.delivery.announce import outbox_of
from churn_pipeline.delivery.briefs import store
from churn_pipeline.delivery.channel import Channel
from churn_pipeline.delivery.channels import CHANNELS
from churn_pipeline.delivery.slack.outbox import SLACK
from churn_pipeline.features.plan import USAGE_DAYS
from churn_pipeline.privacy import databases, files, places
from churn_pipeline.privacy.matching import Traces, shared
from churn_pipeline.sources import sources_of
from churn_pipeline.sources.copies import scan

_ERASURES = """
create schema if not exists ledger;
create table if not exists ledger.erasures (
    digest varchar, erased_at timestamp, who varchar, reason varchar, customers_at_once bigint, touched json
)
"""
# What is found by a customer's id itself, and not by how it stands in a text.
_EXACT = ("rows", "lines", "briefs")
_OUTSIDE = tuple(channel for channel in CHANNELS if channel.keeps_outside_home)

type Say = Callable[[str], None]


@dataclass(frozen=True)
class Touched:
    """Something about the customers in one place.

    Attributes:
        place: a table or a file below the home.
        what: rows, messages, pages, files or mentions.
        count: how many.
    """

    place: str
    what: str
    count: int


@dataclass(frozen=True)
class Erasure:
    """What an erasure did, or would do.

    Attributes:
        customers: how many were erased.
        touched: every place, with how much there was.
        raw_rows: rows that the raw files still hold, by table; they are not the pipeline's to change.
        notes: what is left for a person to do.
    """

    customers: int
    touched: tuple[Touched, ...]
    raw_rows: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def preview(settings: Settings, customer_id: str) -> Erasure:
    """What is known about a customer, and where. Nothing is changed, not even a lock.

    Raises:
        InputError: nothing is, and they are not on the list of the forgotten.
    """
    customer_id = _checked(customer_id)
    traces = _traces(settings, [customer_id])
    touched = _known(settings, traces)
    notes = _notes(settings, traces)
    notes += [
        f"{channel.place} is asked when the customer is erased, and was not looked into"
        for channel in _OUTSIDE
        if channel.missing(settings) is None
    ]
    rows, unread = _raw_rows(settings, [customer_id])
    return Erasure(1, tuple(touched), rows, (*notes, *unread))


def forget(
    settings: Settings, customer_id: str, *, reason: str, who: str, say: Say | None = None, waiting: Say | None = None
) -> Erasure:
    """Erases a customer from the home and keeps them out of it; says what was touched.

    Args:
        settings: the home.
        customer_id: as in the raw data.
        reason: why, for the list; may not name the customer.
        who: on whose behalf, for the ledger.
        say: called with a sentence as each step begins.
        waiting: called with a sentence when the home is in use.

    Raises:
        InputError: nothing is known about such a customer, or the reason names them.
        LockedError: the home, or a file in it, is in use.
        ChurnError: something was still found afterwards; the message says where.
    """
    customer_id = _checked(customer_id)
    with home_lock(settings, "churn forget", waiting):
        traces = _traces(settings, [customer_id])
        _known(settings, traces)
        if traces.in_page(reason):
            raise InputError("--reason names the customer; the reason is kept, so it may name nobody")
        return _erase(settings, traces, reason, who, say or (lambda _: None))


def again(settings: Settings, *, who: str, say: Say | None = None, waiting: Say | None = None) -> Erasure:
    """Erases everybody on the list who is back, as after a backup was restored, or whose erasure was interrupted."""
    with home_lock(settings, "churn forget --again", waiting):
        known = _whole_list(settings)
        ids = _listed_ids(settings, known)
        traces = _traces(settings, ids)
        if not ids:
            return Erasure(0, ())
        return _erase(settings, traces, "", who, say or (lambda _: None))


def listed(settings: Settings) -> list[dict[str, Any]]:
    """Who is on the list, as hashes: when, why, and what was erased; ``erased_at`` is None where an erasure was interrupted."""
    known = suppression.load(settings)
    entries = {} if known is None else dict(known.entries)
    done: dict[str, tuple[Any, ...]] = {}
    if settings.warehouse.exists():
        with databases.reading(settings.warehouse) as con:
            entries = {entry.digest: entry for entry in suppression.remembered(con)} | entries
            if has_table(con, "ledger", "erasures"):
                rows = con.execute(
                    "select digest, erased_at, who, touched from ledger.erasures order by erased_at"
                ).fetchall()
                done = {row[0]: row[1:] for row in rows}
    erasures = []
    for entry in sorted(entries.values(), key=lambda entry: (entry.forgotten_at, entry.digest)):
        erased_at, who, touched = done.get(entry.digest, (None, None, "[]"))
        erasures.append(
            {
                "digest": entry.digest,
                "forgotten_at": entry.forgotten_at,
                "reason": entry.reason,
                "erased_at": erased_at,
                "who": who,
                "touched": json.loads(touched),
            }
        )
    return erasures


def raw_rows(settings: Settings, customer_ids: Collection[str]) -> dict[str, int]:
    """Rows of customers in the raw files, by table; empty where there are no raw files. What is fetched from elsewhere is not among them,
    its copies are cleaned.

    Raises:
        InputError: the files, or what sources.yml says of them, cannot be used.
    """
    if not settings.raw_dir.is_dir() or not any(settings.raw_dir.iterdir()):
        return {}
    sources = sources_of(settings)
    counts = {}
    with Scratch() as scratch, duckdb.connect() as con:
        con.execute("set temp_directory = ''")
        for name, parts in discover(settings.raw_dir, sources.tables, without=sources.remote).files.items():
            groups: dict[Any, list[Any]] = {}
            for part in parts:
                groups.setdefault(layout(con, TABLES[name], part, sources.tables.get(name), scratch), []).append(part)
            sql = f"select count(*) from ({customers_sql(TABLES[name], groups)}) where customer_id = any(?)"
            if count := con.execute(sql, [list(customer_ids)]).fetchall()[0][0]:
                counts[name] = int(count)
    return counts


def _raw_rows(settings: Settings, customer_ids: Collection[str]) -> tuple[dict[str, int], list[str]]:
    """The same, and a note where they cannot be looked into: that is no reason not to erase."""
    try:
        return raw_rows(settings, customer_ids), []
    except InputError as error:
        first, *_ = str(error).splitlines()
        return {}, [
            f"the raw files could not be looked into, so see for yourself whether they have the customer: {first}"
        ]


def _known(settings: Settings, traces: Traces) -> list[Touched]:
    """What there is about the one customer.

    Raises:
        InputError: nothing is, and they are not on the list of the forgotten.
    """
    touched = _look(settings, traces)
    if not traces.telling and all(finding.what not in _EXACT for finding in touched):
        # A word in a sentence is no customer.
        touched = []
    known = suppression.load(settings)
    (customer_id,) = traces.customer_ids
    if not touched and (known is None or known.digest(customer_id) not in known.entries):
        raise InputError(
            f"nothing in {settings.home} is about a customer {_shown(customer_id)}; ids are compared letter by letter, and "
            "'churn customer ID' shows who is published"
        )
    return touched


def _erase(settings: Settings, traces: Traces, reason: str, who: str, say: Say) -> Erasure:
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    say("the list of the forgotten")
    _sweep(settings)
    known = suppression.begin(settings)
    with connect(settings) as con:
        suppression.check(con, known)
        known = suppression.add(settings, known, con, traces.customer_ids, reason, now)
        con.execute("checkpoint")
    notes = _notes(settings, traces)
    touched = []
    group = ""
    for place, what, step in _steps(settings, traces, write=True):
        if (now_in := "/".join(place.split("/")[:2])) != group:
            say(group := now_in)
        if count := step():
            touched.append(Touched(place, what, count))
    for path in places.database_files(settings):
        place = _relative(settings, path)
        say(place)
        if databases.look(path, traces) or files.holds(path, traces):
            touched += [Touched(f"{place}: {name}", "rows", n) for name, n in databases.rewrite(path, traces).items()]
    say(_relative(settings, settings.warehouse))
    touched += _erase_warehouse(settings, traces, known, who, now, touched)
    _make_reports_again(settings)
    # 'churn publish' takes no lock: beside this erasure it may have brought back what was still published.
    for channel in _OUTSIDE:
        if brought_back := _outside(settings, traces, channel):
            touched.append(Touched(channel.place, "rows brought back meanwhile", brought_back))
    if remaining := _look(settings, traces):
        where = ", ".join(f"{finding.place} ({finding.count:,} {finding.what})" for finding in remaining)
        raise ChurnError(
            f"still found after the erasure: {where}; something may have written meanwhile, so run the command again, and delete by hand what "
            "is of an unknown kind"
        )
    rows, unread = _raw_rows(settings, traces.customer_ids)
    return Erasure(len(traces.customer_ids), tuple(touched), rows, (*notes, *unread))


def _look(settings: Settings, traces: Traces) -> list[Touched]:
    """What there is, without changing anything."""
    findings = []
    for place, what, step in _steps(settings, traces, write=False):
        if count := step():
            findings.append(Touched(place, what, count))
    for path in (*places.database_files(settings), settings.warehouse):
        if path.exists():
            place = _relative(settings, path)
            findings += [Touched(f"{place}: {name}", "rows", n) for name, n in databases.look(path, traces).items()]
    if traces.telling:
        findings += [
            Touched(_relative(settings, path), "file of an unknown kind", 1)
            for path in places.unknown_files(settings)
            if files.holds(path, traces)
        ]
    return findings


def _steps(settings: Settings, traces: Traces, *, write: bool) -> Iterator[tuple[str, str, Callable[[], int]]]:
    """Every place but DuckDB files, as place, what is counted there and how it is looked at or cleaned.

    What channels keep outside the home comes first: where one cannot be reached nothing else has been touched. Judgements come
    before the pages made of them.
    """
    for channel in _OUTSIDE if write else ():
        yield channel.place, "rows", lambda channel=channel: _outside(settings, traces, channel)  # type: ignore[misc]
    for path in places.outbox_files(settings):
        yield _relative(settings, path), "messages", lambda path=path: _message(settings, path, traces, write)  # type: ignore[misc]
    for path in places.brief_audit(settings):
        yield _relative(settings, path), "lines", lambda path=path: _audit(settings, path, traces, write)  # type: ignore[misc]
    for monday in store.mondays(settings):
        place = _relative(settings, store.folder_of(settings, monday))
        yield place, "briefs", lambda day=monday: store.forget(settings, day, traces.customer_ids, change=write)  # type: ignore[misc]
    for path in places.judgement_files(settings):
        yield _relative(settings, path), "files", lambda path=path: files.json_file(path, traces, write)  # type: ignore[misc]
    docs = places.data_docs(settings)
    if docs.is_dir():
        yield _relative(settings, docs), "pages", lambda: _data_docs(settings, docs, traces, write)
    for copy in places.fetched_copies(settings):
        what = "rows" if copy.note.customer else "files"
        yield _relative(settings, copy.folder), what, lambda copy=copy: files.fetched_copy(copy, traces, write)  # type: ignore[misc]
    for path in places.other_files(settings):
        place, what, handle = _relative(settings, path), "mentions", places.handler(path)
        if handle is not None:
            what = {".parquet": "rows", ".csv": "rows", ".html": "pages", ".db": "values"}.get(path.suffix, "mentions")
            yield place, what, lambda path=path, handle=handle: handle(path, traces, write)  # type: ignore[misc]


def _message(settings: Settings, path: Path, traces: Traces, write: bool) -> int:
    if not write:
        return files.message(path, traces, write)[0] if path.exists() else 0
    with outbox_of(settings).held():
        # Sent and swept meanwhile.
        return files.message(path, traces, write)[0] if path.exists() else 0


def _audit(settings: Settings, path: Path, traces: Traces, write: bool) -> int:
    if not write:
        return files.json_lines(path, traces, write)
    with audit.held(settings):
        return files.json_lines(path, traces, write)


def _data_docs(settings: Settings, docs: Path, traces: Traces, write: bool) -> int:
    """Pages of the Data Docs that name a customer; all of them are made again from the judgements, which no longer do."""
    named = sum(traces.in_text(page.read_text(encoding="utf-8")) for page in docs.rglob("*.html"))
    if named and write:
        from churn_pipeline.quality import site

        site.build(settings.quality, docs)
    return named


def _make_reports_again(settings: Settings) -> None:
    """Weekly reports, and their call lists, of published Mondays that have none: those that named a customer were removed, now or by an
    erasure that was interrupted."""
    from churn_pipeline.delivery.report.write import page_of, write_reports

    if not (settings.published / "report").is_dir() or not settings.published_database.is_file():
        return
    with databases.reading(settings.published_database) as con:
        days = [day for (day,) in con.execute("select distinct snapshot_date from predictions order by 1").fetchall()]
    if missing := [day for day in days if not page_of(settings, day).is_file()]:
        with connect(settings) as con:
            write_reports(con, settings, missing)


def _outside(settings: Settings, traces: Traces, channel: Channel) -> int:
    """Rows taken out of the place of a channel that keeps customers outside the home."""
    assert channel.erase is not None
    return channel.erase(settings, sorted(traces.customer_ids))


def _erase_warehouse(
    settings: Settings, traces: Traces, known: Register, who: str, now: datetime, touched: Sequence[Touched]
) -> list[Touched]:
    """The warehouse anew, with what was done in its ledger; nothing when there is nothing to do and it has been noted before."""
    path, place = settings.warehouse, _relative(settings, settings.warehouse)
    in_warehouse = [Touched(f"{place}: {name}", "rows", n) for name, n in databases.look(path, traces).items()]
    digests = [known.digest(customer_id) for customer_id in sorted(traces.customer_ids)]
    with databases.reading(path) as con:
        noted = has_table(con, "ledger", "erasures") and len(
            con.execute("select distinct digest from ledger.erasures where digest = any(?)", [digests]).fetchall()
        ) == len(digests)
    if noted and not in_warehouse and not touched and not files.holds(path, traces):
        return []
    # A place never names anybody, a file called like a customer does.
    lines = json_text(
        [[traces.erase(finding.place), finding.what, finding.count] for finding in (*touched, *in_warehouse)],
        ascii_only=False,
    )

    def finish(con: duckdb.DuckDBPyConnection, old: str) -> None:
        _keep_fingerprints(con, old, traces)
        con.execute(_ERASURES)
        for digest in digests:
            reason = known.entries[digest].reason
            con.execute(
                "insert into ledger.erasures values (?, ?, ?, ?, ?, ?)", [digest, now, who, reason, len(digests), lines]
            )

    databases.rewrite(path, traces, finish)
    return in_warehouse


def _keep_fingerprints(con: duckdb.DuckDBPyConnection, old: str, traces: Traces) -> None:
    """Takes the customers' facts out of the day digests, and moves what was built from the old ones to the new ones.

    What was current stays current and is neither built nor judged again: rows of other customers are left as they were known. The few
    features that compare with peers are averages in which the customer was counted; built anew for another reason they come out without
    them. What was stale stays stale.
    """
    if not has_table(con, "landing", "fact_digests"):
        return
    new = con.execute("select current_database()").fetchall()[0][0]
    con.execute(
        "create or replace temp table digests_gone (source varchar, fact_date date, fact_rows bigint, digest hugeint)"
    )
    for table in (*TABLES.values(), LIVES):
        # A home from before lives lands everything anew at its next run.
        if not has_table(con, "landing", table.name) or not has_table(con, "landing", LIVES.name):
            continue
        con.execute(
            f"create or replace temp table rows_gone as select * from {old}.landing.{table.name} "
            "where list_contains(getvariable('erased_ids'), customer_id)"
        )
        # A customer's first facts depend on their plan changes, which only the old file has.
        con.execute(f"use {old}")
        con.execute(
            f"insert into temp.digests_gone select {literal(table.name)}, * from ({facts_sql(table, 'temp.rows_gone')})"
        )
        con.execute(f'use "{new}"')
    if has_table(con, "landing", value_ledger.SOURCE):
        con.execute(
            f"create or replace temp table rows_gone as select * from {old}.landing.{value_ledger.SOURCE} "
            "where list_contains(getvariable('erased_ids'), customer_id)"
        )
        con.execute(
            f"insert into temp.digests_gone select {literal(value_ledger.SOURCE)}, * from ({value_ledger.facts_sql('temp.rows_gone')})"
        )
    con.execute("delete from landing.fact_digests")
    con.execute(
        f"""
        insert into landing.fact_digests
        select source, fact_date, sum(fact_rows)::bigint, sum(digest)::hugeint
        from (
            select source, fact_date, fact_rows, digest from {old}.landing.fact_digests
            union all
            select source, fact_date, -fact_rows, -digest from temp.digests_gone
        )
        group by source, fact_date
        having sum(fact_rows) > 0
        """
    )
    if not has_table(con, "control", "built"):
        return
    built = con.execute(f"select model, key_date, fingerprint from {old}.control.built").fetchall()
    days = sorted({day for model, day, _ in built if model != USAGE_DAYS})
    con.execute(f"use {old}")
    before, usage_before = fingerprints(con, days), _usage(con)
    con.execute(f'use "{new}"')
    after, usage_after = fingerprints(con, days), _usage(con)
    moved = []
    for model, day, fingerprint in built:
        if model == USAGE_DAYS:
            was = usage_before.get(day)
            if was is not None and fingerprint.startswith(was):
                then = usage_after.get(day)
                # Empty is how a day that vanished is noted.
                fingerprint = then + fingerprint.removeprefix(was) if then is not None else ""
        else:
            code, _, value = fingerprint.rpartition(":")
            if value == before[day]:
                fingerprint = f"{code}:{after[day]}"
        moved.append((model, day, fingerprint))
    con.execute("delete from control.built")
    if moved:
        con.execute(
            "insert into control.built select unnest(?::varchar[]), unnest(?::date[]), unnest(?::varchar[])",
            [list(values) for values in zip(*moved, strict=True)],
        )
    con.execute("drop table temp.digests_gone")
    con.execute("drop table temp.rows_gone")


def _usage(con: duckdb.DuckDBPyConnection) -> dict[Any, str]:
    """The beginning of the fingerprint of each usage day, as features.plan writes it."""
    return dict(
        con.execute(
            "select fact_date, digest::varchar || ':' || fact_rows || ':' from landing.fact_digests where source = 'usage_events'"
        ).fetchall()
    )


def _traces(settings: Settings, customer_ids: Collection[str]) -> Traces:
    own: set[str] = set()
    others: set[str] = set()
    for path in (settings.warehouse, *places.database_files(settings)):
        if path.exists():
            theirs, everybody = databases.names(path, customer_ids)
            own |= theirs
            others |= everybody
    return Traces(customer_ids, own - shared(own, others))


def _whole_list(settings: Settings) -> Register:
    known = suppression.load(settings)
    with connect(settings) as con:
        suppression.check(con, known)
        return suppression.add(
            settings, suppression.begin(settings), con, (), "", datetime.now(UTC).replace(tzinfo=None)
        )


def _listed_ids(settings: Settings, known: Register) -> list[str]:
    """The ids of everybody on the list who is in a table of the home."""
    customer_ids: set[str] = set()
    digests = list(known.entries)
    hashed = known.digest_sql("customer_id")
    for path in (settings.warehouse, *places.database_files(settings)):
        for _, table in list(databases.customers(path)):
            with databases.reading(path) as con:
                customer_ids |= _on_list(con, table, hashed, digests)
    for copy in places.fetched_copies(settings):
        if copy.note.customer and copy.parts:
            with copy.engine() as con:
                ids = f"(select {copy.note.customer} as customer_id from {scan(copy.parts)})"
                customer_ids |= _on_list(con, ids, hashed, digests)
    noted = {entry.get("customer_id") for entry in audit.entries(settings)}
    noted |= {customer_id for monday in store.mondays(settings) for customer_id in store.customers_of(settings, monday)}
    customer_ids |= {name for name in noted if isinstance(name, str) and known.digest(name) in known.entries}
    with duckdb.connect() as con:
        for path in sorted(settings.published.rglob("*.parquet")):
            source = f"read_parquet({literal(str(path))}, hive_partitioning = false)"
            if any(name == "customer_id" for name, *_ in con.execute(f"describe select * from {source}").fetchall()):
                customer_ids |= _on_list(con, source, hashed, digests)
    return sorted(customer_ids)


def _on_list(con: duckdb.DuckDBPyConnection, relation: str, hashed: str, digests: list[str]) -> set[str]:
    rows = con.execute(
        f"select customer_id from (select distinct customer_id from {relation} where customer_id is not null) where {hashed} = any(?)",
        [digests],
    ).fetchall()
    return {customer_id for (customer_id,) in rows}


def _notes(settings: Settings, traces: Traces) -> list[str]:
    """What a person has to do besides, told before anything is gone."""
    notes = []
    sent = set()
    remembers = False
    for path in sorted(settings.outbox.glob("*.json")) if settings.outbox.is_dir() else ():
        count, message = files.message(path, traces, False)
        remembers |= message.get("state") == "sent" and message.get("service", SLACK) == SLACK
        if count and message.get("state") in ("sent", "sending"):
            sent.add(
                (
                    message.get("snapshot_date"),
                    message.get("channel") or "the webhook's channel",
                    message.get("ts") or "?",
                )
            )
    notes += [
        f"Slack has the message of {day} in {channel} (ts {ts}): delete it there"
        for day, channel, ts in sorted(sent, key=str)
    ]
    if remembers:
        notes.append(
            f"messages that Slack got more than {settings.outbox_keep_weeks} weeks ago are not remembered here: search Slack for the id and the name"
        )
    for path in places.other_files(settings):
        if (
            path.suffix in (".html", ".htm")
            and not path.is_relative_to(settings.published / "report")
            and files.page(path, traces, False)
        ):
            notes.append(f"{_relative(settings, path)} names the customer and is removed; {_how_back(path)}")
    for copy in places.fetched_copies(settings):
        if files.fetched_copy(copy, traces, False):
            what = (
                "their rows are not fetched again"
                if copy.note.customer
                else "the copy is removed, and the next run fetches it again with whatever is there"
            )
            notes.append(f"{copy.note.origin} has the customer in {copy.table}: take them out there; {what}")
    notes += [
        f"{_relative(settings, path)} is of a kind that churn cannot look into: delete it, unless you know that nobody is in it"
        for path in places.unknown_files(settings)
    ]
    notes += [
        channel.remains(settings)
        for channel in _OUTSIDE
        if channel.remains is not None and channel.missing(settings) is None
    ]
    if not traces.telling:
        notes.append(
            "the id is too short to be told from other words and numbers in Dagster's own records, which were not searched"
        )
    return notes


def _how_back(path: Path) -> str:
    days = re.findall(r"\d{4}-\d\d-\d\d", str(path.relative_to(path.parents[1])))
    if path.name.startswith("replay_") and len(days) == 2:
        return f"'churn replay-report --from {days[0]} --to {days[1]}' makes it again without them"
    return (
        f"'churn run --week {days[-1]}' makes it again without them"
        if days
        else "the next run makes it again without them"
    )


def _sweep(settings: Settings) -> None:
    """Removes what killed processes left half-written. The home's lock is held, so no living one owns any of it."""
    for folder in (settings.data, settings.published, settings.quality, settings.briefs, suppression.folder(settings)):
        pattern = ".*.tmp*"
        leftovers = folder.rglob(pattern) if folder == settings.published else folder.glob(pattern)
        for leftover in list(leftovers):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    # Where DuckDB spills what memory does not hold.
    for spilled in (settings.warehouse.with_name(settings.warehouse.name + ".tmp"),):
        shutil.rmtree(spilled, ignore_errors=True)


def _checked(customer_id: str) -> str:
    # Landing cuts off surrounding blanks too.
    trimmed = customer_id.strip(" ")
    if not trimmed:
        raise InputError("the customer_id is empty")
    return trimmed


def _shown(customer_id: str) -> str:
    """An id on a terminal: nothing in it moves the cursor or begins a line."""
    return repr(customer_id if len(customer_id) <= 80 else customer_id[:80] + "…")


def _relative(settings: Settings, path: Path) -> str:
    return path.relative_to(settings.home).as_posix()
