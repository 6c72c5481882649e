"""Briefs for many customers, one after the other: what the run of a Monday prepares before anybody asks.

Nobody waits in front of it, and whoever writes to the home next waits behind it, so an endpoint is asked for a bounded time. A customer
whose brief breaks costs nobody else theirs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from churn_pipeline.customers.briefs.model import Audience, Brief, BriefKind
from churn_pipeline.customers.errors import NotCandidateError
from churn_pipeline.customers.profile import Customer360
from churn_pipeline.customers.repositories import Predictions

# Seconds that all briefs of a run together may wait for an endpoint; the run holds the home meanwhile.
MOST_SECONDS = 900.0
# Seconds between two lines that say how far it is.
SAY_EVERY = 5.0

type WriteBrief = Callable[[Customer360, Audience, bool], Brief]


@dataclass(frozen=True)
class Prepared:
    """What came of it.

    Attributes:
        briefs: by customer_id, in the order in which they were asked for; somebody without any is not in it.
        without: customers for whom no brief is to be written, with the reason.
        failed: customers whose briefs broke, with the error; nobody expected one.
        seconds: that it took.
    """

    briefs: Mapping[str, Sequence[Brief]]
    without: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, Exception] = field(default_factory=dict)
    seconds: float = 0.0


def prepare(
    customers: Predictions, customer_ids: Sequence[str], write: WriteBrief, progress: Callable[[str], None]
) -> Prepared:
    """Writes for each customer the brief of the account executive, with an e-mail, and the one of the success manager.

    Where the first says that it is too early, the second would say the same, and is left out.

    Args:
        customers: of the Monday.
        customer_ids: the candidates, the first of the ranking first.
        write: makes a brief, with an e-mail or without.
        progress: called with a sentence as the work goes on.
    """
    begun = told = time.monotonic()
    briefs: dict[str, Sequence[Brief]] = {}
    without: dict[str, str] = {}
    failed: dict[str, Exception] = {}
    for place, customer_id in enumerate(customer_ids, start=1):
        try:
            briefs[customer_id] = _of_customer(customers.profile(customer_id), write)
        except NotCandidateError as error:
            without[customer_id] = str(error)
        # Whatever it is, it is this customer's: the others are written, and then the run says that it broke.
        except Exception as error:
            failed[customer_id] = error
        now = time.monotonic()
        if now - told >= SAY_EVERY or place == len(customer_ids):
            told = now
            progress(f"briefs: {place:,} of {len(customer_ids):,} candidates after {now - begun:.0f} s")
    return Prepared(briefs, without, failed, time.monotonic() - begun)


def _of_customer(profile: Customer360, write: WriteBrief) -> Sequence[Brief]:
    sales = write(profile, Audience.SALES, True)
    if sales.kind is BriefKind.NOT_READY:
        return (sales,)
    return (sales, write(profile, Audience.SUCCESS, False))
