"""The page of a Monday's briefs: one HTML file with everything in it and nothing to load, in the style of the weekly report.

Texts come from customers, from whoever sells and from language models. They are escaped, and the one script that the page may run, which
copies an e-mail, is named by its hash in the Content-Security-Policy.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.formatting import usd
from churn_pipeline.core.templating import source_hash, source_text, templates
from churn_pipeline.delivery.briefs.store import anchor

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDERS = (Path(__file__).parent / "templates", Path(__file__).parents[1] / "report" / "templates")

# How the values of a brief are called on the page.
AUDIENCES = {"ae": "For the account executive", "csm": "For the success manager"}
KINDS = {"tactical": "Tactical brief", "nurture": "Nurture brief", "not_ready": "Not ready yet"}
PARTS = {
    "why_now": "Why now",
    "lead_with": "Lead with",
    "settle_first": "Settle first",
    "next_step": "Next step",
    "email": "E-mail draft",
}
RESULTS = {
    "PASSED": ("none", "Passed the guardrails"),
    "FLAGGED": ("watch", "Flagged: read with care"),
    "REJECTED": ("act", "Rejected: not shown"),
}


def render(document: dict[str, Any]) -> str:
    """The page of a document, as :mod:`churn_pipeline.delivery.briefs.store` describes it and reads it."""
    environment = _environment()
    script = source_text(environment, "briefs.js.j2")
    return environment.get_template("briefs.html.j2").render(
        document=document,
        style=source_text(environment, "report.css.j2") + "\n" + source_text(environment, "briefs.css.j2"),
        script=script,
        script_hash=source_hash(script.encode()),
        anchor=anchor,
        audiences=AUDIENCES,
        kinds=KINDS,
        parts=PARTS,
        results=RESULTS,
    )


@cache
def _environment() -> Environment:
    environment = templates(*_FOLDERS)
    environment.filters |= {
        "usd": usd,
        "percent": lambda share: "unknown" if share is None else f"{share:.0%}",
        "in_words": lambda word: word.replace("_", " ").capitalize(),
    }
    return environment
