"""Prints briefs whole, for whoever works on their words: ``python -m tests.support.briefs HOME [N]``.

They are the template writer's of the newest published Monday: the first N candidates who may be approached and are ready, one for each reader.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from churn_pipeline.core.settings import Settings
from churn_pipeline.customers.briefs.model import Audience, Brief, BriefKind
from churn_pipeline.customers.briefs.service import NONE, BriefPolicy, write_brief
from churn_pipeline.customers.errors import NotCandidateError
from churn_pipeline.customers.profile import Customer360
from churn_pipeline.customers.stores.briefs import is_approachable, policy_of
from churn_pipeline.customers.stores.published import Publication


def candidates(settings: Settings) -> Iterator[tuple[Customer360, BriefPolicy, bool]]:
    """Everybody who is ready to grow, or nearly, on the newest published Monday, in the order of the list of candidates."""
    with Publication.open(settings) as publication, publication.cursor() as con:
        monday = publication.at()
        policy = policy_of(con, monday.snapshot_date)
        ids = con.execute(
            "select customer_id from predictions where snapshot_date = ? and target_tier is not null and expansion_readiness <> ? "
            "order by expansion_rank nulls last, customer_id",
            [monday.snapshot_date, NONE],
        ).fetchall()
        for (customer_id,) in ids:
            yield monday.profile(customer_id), policy, is_approachable(con, monday.snapshot_date, customer_id)


def brief_of(
    profile: Customer360, policy: BriefPolicy, approachable: bool, audience: Audience, *, email: bool = True
) -> Brief | None:
    """The template writer's brief; None for who is no candidate."""
    try:
        return write_brief(
            profile,
            audience,
            email=email,
            policy=policy,
            may_be_approached=approachable,
            clock=lambda: datetime(2026, 1, 1),
            new_id=lambda: "reading",
        )
    except NotCandidateError:
        return None


def main(home: str, count: str = "10") -> None:
    settings = Settings(home=Path(home))
    left = int(count)
    for candidate in candidates(settings):
        for audience in Audience if left else ():
            brief = brief_of(*candidate, audience)
            if brief is None or brief.kind is BriefKind.NOT_READY:
                break
            print(
                f"\n{brief.company_name or brief.customer_id}, {brief.kind}: {brief.result}, {brief.fact_confidence:.2f}"
            )
            for part, text in brief.parts.items():
                print(f"  {part}: {text}")
            print(f"  {brief.watermark}")
        else:
            left -= left > 0


if __name__ == "__main__":
    main(*sys.argv[1:])
