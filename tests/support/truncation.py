"""Raw data as it would have stood at a Monday, made from raw data that goes on for years.

This is the other half of the truncation test, so it is written from DESIGN's words and shares no code with the pipeline.
"""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import duckdb


def truncate(raw: Path, out: Path, monday: date) -> dict[str, int]:
    """Writes ``raw`` as of 00:00 UTC of ``monday`` into ``out`` and returns the rows that were dropped, by table.

    Dropped: every row dated, or loaded, on or after the Monday. Blanked: what became known later.
    """
    out.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect()
    con.execute("set timezone = 'UTC'")
    dropped = {}
    for path in sorted(raw.glob("*.parquet")):
        name = path.stem
        con.execute(f"create or replace view {name} as from read_parquet('{path}')")
    for path in sorted(raw.glob("*.parquet")):
        name = path.stem
        columns = [row[0] for row in con.execute(f"describe {name}").fetchall()]
        kept = [_dated(name, columns, monday)]
        if "loaded_at" in columns:
            kept.append(f"not coalesce(try_cast(loaded_at as timestamp) >= timestamp '{monday}', false)")
        blanks = _blanks(name, columns, monday, con)
        select = ", ".join(
            f'{blanks[column]} as "{column}"' if column in blanks else f'"{column}"' for column in columns
        )
        con.execute(
            f"copy (select {select} from {name} where {' and '.join(kept)}) to '{out / path.name}' (format parquet)"
        )
        before = con.execute(f"select count(*) from {name}").fetchone()[0]
        after = con.execute(f"select count(*) from read_parquet('{out / path.name}')").fetchone()[0]
        dropped[name] = before - after
    return dropped


def without_usage(raw: Path, out: Path, first: date, end: date) -> Path:
    """Writes ``raw`` into ``out`` as it is when the usage feed was dead from ``first`` to before ``end``; returns ``out``."""
    shutil.copytree(raw, out)
    usage = raw / "usage_events.parquet"
    with duckdb.connect() as con:
        columns = [name for name, *_ in con.execute(f"describe from '{usage}'").fetchall()]
        alive = " and ".join(
            f"not coalesce({column} >= timestamp '{first}' and {column} < timestamp '{end}', false)"
            for column in ("timestamp", "loaded_at")
            if column in columns
        )
        con.execute(f"copy (from '{usage}' where {alive}) to '{out / usage.name}' (format parquet)")
    return out


def _before(column: str, monday: date) -> str:
    return f"not coalesce(try_cast({column} as timestamp) >= timestamp '{monday}', false)"


def _dated(name: str, columns: list[str], monday: date) -> str:
    date_column = {
        "customers": "signup_date",
        "subscriptions": "started_at",
        "usage_events": "timestamp",
        "support_tickets": "created_date",
        "gtm_opportunities": "created_date",
        "risk_signals": "recorded_at",
        "plan_changes": "effective_date",
        "contracts": "start_date",
        "interventions": "at",
    }[name]
    return _before(f'"{date_column}"', monday) if date_column in columns else "true"


def _blanks(name: str, columns: list[str], monday: date, con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    def later(column: str) -> str:
        return f"coalesce(try_cast({column} as timestamp) >= timestamp '{monday}', false)"

    if name == "customers":
        blanks = {
            c: f"case when not {later(c)} then {c} end"
            for c in ("churn_date", "censor_date", "upgrade_date")
            if c in columns
        }
        if con.execute("select count(*) from duckdb_views() where view_name = 'plan_changes'").fetchone() == (1,):
            # Only a company that has them pays for the comparison of rows; duplicated rows are no returns.
            returns = con.execute(
                "select count(*) from (select customer_id from customers group by 1 having count(distinct signup_date) > 1)"
            ).fetchone() != (0,)
            same = "plan_changes.customer_id = customers.customer_id"
            # Somebody who came back has a row for each time, and a change of plan belongs to the time in which it falls.
            own = """plan_changes.customer_id = customers.customer_id
                and (effective_date >= customers.signup_date or not exists (
                    from customers as former where former.customer_id = customers.customer_id
                    and former.signup_date < customers.signup_date))
                and not exists (
                    from customers as next where next.customer_id = customers.customer_id
                    and next.signup_date > customers.signup_date and next.signup_date <= effective_date)"""
            for column, after, before in (("plan_tier", "to_tier", "from_tier"), ("mrr", "to_mrr", "from_mrr")):
                blanks[column] = f"""coalesce(
                    (select arg_max({after}, try_cast(effective_date as timestamp)) from plan_changes
                     where {own if returns else same} and not {later("effective_date")}),
                    (select arg_min({before}, try_cast(effective_date as timestamp)) from plan_changes
                     where {own if returns else same} and {later("effective_date")}),
                    {column})"""
        return blanks
    if name == "subscriptions":
        return {
            c: f"case when not {later('ended_at')} then {c} end" for c in ("ended_at", "end_reason") if c in columns
        }
    if name == "support_tickets":
        resolved = "try_cast(created_date as timestamp) + to_microseconds((try_cast(resolution_time as double) * 3.6e9)::bigint)"
        return {
            "resolution_time": f"case when not coalesce({resolved} >= timestamp '{monday}', false) then resolution_time end"
        }
    if name == "gtm_opportunities":
        closed = f"lower(stage) in ('closed_won', 'closed_lost') and not {later('close_date')}"
        return {c: f"case when {closed} then {c} end" for c in ("stage", "close_date", "amount")}
    return {}


def with_a_feed_that_stood_still(raw: Path, folder: Path, monday: date) -> Path:
    """A copy of an export in which there was no usage for the eight days before a Monday; returns its folder."""
    shutil.copytree(raw, folder)
    events = folder / "usage_events.parquet"
    with duckdb.connect() as con:
        con.execute(
            f"create table kept as from '{events}' where not (timestamp >= date '{monday}' - 8 and timestamp < date '{monday}')"
        )
        con.execute(f"copy kept to '{events}' (format parquet)")
    return folder
