"""What ``churn check`` prints of raw data that it looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from churn_pipeline.core.formatting import counted, usd

if TYPE_CHECKING:
    from churn_pipeline.quality.intake import Intake, TableIntake


def print_intake(intake: Intake) -> None:
    """What would come in, table by table; what would be refused is told as an error and not here."""
    from churn_pipeline.cli.output import terminal
    from churn_pipeline.quality.intake import percent

    console = terminal()
    for notice in intake.notices:
        console.print(f"Note: {escape(notice)}")
    present = [table for table in intake.tables if table.present]
    listing = Table(box=SIMPLE, pad_edge=False, padding=(0, 1))
    for name, justify in (
        ("table", "left"),
        ("rows", "right"),
        ("from", "left"),
        ("to", "left"),
        ("customers with a row", "right"),
        ("put aside", "right"),
        ("of unknown customers", "right"),
    ):
        listing.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for table in present:
        listing.add_row(
            table.name,
            f"{table.rows:,}",
            str(table.first or ""),
            str(table.last or ""),
            percent(table.customers),
            f"{sum(table.quarantined.values()):,}",
            f"{table.unmatched:,}",
        )
    console.print(listing)
    for table in present:
        for sentence in _remarks(table):
            console.print(escape(sentence))
    if intake.book is not None:
        book = intake.book
        console.print(
            f"\nOn {book.snapshot_date}: {book.active:,} active of {book.customers:,} customers, {usd(book.mrr)} a month; "
            f"{book.churned:,} left, {book.departures_last_year:,} of them in the last year."
        )
    for model in intake.models:
        console.print(f"Models of {escape(model.title)}: {escape(model.words)}.")


def _remarks(table: TableIntake) -> list[str]:
    """What of a table is worth a second look: columns that are empty or partly unusable, rows that are put aside or repeated."""
    remarks = []
    for column in table.columns:
        if column.unusable:
            remarks.append(f"{table.name}: {counted(column.unusable, 'value')} of {column.name} cannot be used")
        elif table.rows and not column.filled and column.is_missed:
            remarks.append(f"{table.name}: {column.name} is empty")
    if table.repeated:
        remarks.append(f"{table.name}: {counted(table.repeated, 'row')} only repeat another one and count once")
    return remarks
