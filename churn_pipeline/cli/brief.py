"""What ``churn brief`` does and prints."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from datetime import date
from typing import Any

from rich.markup import escape

from churn_pipeline.cli.output import name_in_line, terminal
from churn_pipeline.core.settings import Settings
from churn_pipeline.customers.briefs.desk import Desk
from churn_pipeline.customers.briefs.model import Audience, Brief, BriefKind, Part
from churn_pipeline.customers.stores.published import Publication

_KINDS = {
    BriefKind.TACTICAL: "Brief for the account executive",
    BriefKind.NURTURE: "Nurture brief for the success manager",
    BriefKind.NOT_READY: "Not ready yet",
}
_HEADINGS = {
    Part.WHY_NOW: "Why now",
    Part.LEAD_WITH: "Lead with",
    Part.SETTLE_FIRST: "Settle first",
    Part.NEXT_STEP: "Next step",
    Part.EMAIL: "E-mail draft",
}
# As wide as a page of text is read, whatever the terminal is.
_WIDTH = 100


def write(
    settings: Settings, wanted: str, audience: str, snapshot_date: date | None, *, email: bool, template: bool
) -> Brief:
    """The brief of a customer, by id or name, on a published Monday.

    Raises:
        ChurnError: as `Publication`, `PublishedMonday` and `Desk` do.
    """
    with Publication.open(settings, hold=False) as publication:
        monday = publication.at(snapshot_date)
        profile = monday.profile(monday.customer_id(wanted))
        return Desk(settings, monday, template=template).write(profile, Audience(audience), email)


def as_dict(brief: Brief) -> dict[str, Any]:
    """A brief as JSON values."""
    return asdict(brief) | {"written_at": brief.written_at.isoformat(timespec="seconds")}


def print_brief(brief: Brief) -> None:
    """The brief on a page: the watermark first, then what it says, then what is to be known of the text itself."""
    console = terminal()
    name = name_in_line(brief.company_name or brief.customer_id)
    console.print(f"\n[bold]{name}[/bold]  {name_in_line(brief.customer_id)}   Monday {brief.snapshot_date}")
    console.print(f"{_KINDS[brief.kind]}. [bold]{escape(brief.watermark)}[/bold]")
    for part in Part:
        if part in brief.parts:
            console.print(f"\n[bold]{_HEADINGS[part]}[/bold]")
            for paragraph in brief.parts[part].splitlines():
                console.print(textwrap.fill(paragraph, _WIDTH), markup=False)
    writer = "" if brief.model is None else f" Written by {brief.provider} ({brief.model})."
    console.print(f"\n{brief.result}, {brief.fact_confidence:.0%} of what it says is founded.{writer}", markup=False)
    for flag in brief.flags:
        console.print(f"- {flag}", markup=False)
    if brief.note is not None:
        console.print(brief.note, markup=False)
    console.print(
        f"Brief {brief.correlation_id}: enter it as correlation_id where you note the outreach.", markup=False
    )
