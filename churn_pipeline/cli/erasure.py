"""What ``churn forget`` prints."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from churn_pipeline.cli.output import terminal
from churn_pipeline.privacy.erase import Erasure


def as_dict(erasure: Erasure) -> dict[str, Any]:
    """An erasure as JSON values."""
    return {
        "customers": erasure.customers,
        "touched": [
            {"place": finding.place, "what": finding.what, "count": finding.count} for finding in erasure.touched
        ],
        "raw_rows": erasure.raw_rows,
        "notes": list(erasure.notes),
    }


def print_erasure(erasure: Erasure, *, done: bool) -> None:
    """Every place with how much there was, and what is left for a person to do.

    Args:
        erasure: what there was, by place.
        done: whether it has been erased, or would be.
    """
    console = terminal(highlight=False)
    if erasure.touched:
        table = _table("place", "erased" if done else "would be erased")
        for finding in erasure.touched:
            what = finding.what.removesuffix("s") if finding.count == 1 else finding.what
            table.add_row(escape(finding.place), f"{finding.count:,} {what}")
        console.print(table)
    else:
        console.print("Nothing is left of them in this home." if done else "Nothing is there to be erased.")
    if erasure.raw_rows:
        rows = ", ".join(f"{table} ({count:,})" for table, count in erasure.raw_rows.items())
        console.print(
            f"The raw files still have rows of theirs: {rows}. They are not the pipeline's to change: erase the customer in the system "
            f"that exports them. Until then landing {'keeps' if done else 'would keep'} these rows out.",
            markup=False,
        )
    for note in erasure.notes:
        console.print(f"- {note}", markup=False)


def print_list(rows: list[dict[str, Any]]) -> None:
    """The list of the forgotten: hashes, when, why, by whom and how much."""
    if not rows:
        terminal(highlight=False).print("Nobody has been forgotten.")
        return
    table = _table("hash", "asked", "reason", "erased", "who", "places", "count")
    for row in rows:
        table.add_row(
            row["digest"],
            f"{row['forgotten_at']:%Y-%m-%d %H:%M}",
            escape(row["reason"]),
            f"{row['erased_at']:%Y-%m-%d %H:%M}" if row["erased_at"] else "interrupted: churn forget --again",
            escape(row["who"] or ""),
            f"{len(row['touched']):,}",
            f"{sum(count for _, _, count in row['touched']):,}",
        )
    terminal(highlight=False).print(table)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1))
    for name in columns:
        table.add_column(name, overflow="fold")
    return table
