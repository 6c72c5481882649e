"""What ``churn init`` prints about the file that it wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from churn_pipeline.sources.initial import Written


def summary_of(written: Written) -> str:
    """A line for each table, what was left aside, and what to do next."""
    lines = []
    width = max(len(table.export.pattern) for table in written.proposal.tables)
    for table in written.proposal.tables:
        counts = [f"{table.found} columns"]
        if table.doubtful:
            counts.append(f"{table.doubtful} to look at")
        if table.wanted:
            counts.append(f"not found: {', '.join(guess.column.name for guess in table.wanted)}")
        source = f" ({table.preset})" if table.preset else ""
        lines.append(f"{table.export.pattern:<{width}}  is {table.table.name}{source}: {'; '.join(counts)}")
    if written.proposal.left_aside:
        lines.append(f"no table: {', '.join(export.pattern for export in written.proposal.left_aside)}")
    lines += written.notices
    lines += ["", f"Wrote {written.path}. Read it, its remarks say what is a guess; then: churn check"]
    return "\n".join(lines)
