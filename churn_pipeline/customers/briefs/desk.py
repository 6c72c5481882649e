"""Where briefs of a published Monday are written: what the policy of that Monday says, whom settings name as writer, and the audit."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from churn_pipeline.customers.briefs import audit
from churn_pipeline.customers.briefs.endpoint import Exchange, writer_of
from churn_pipeline.customers.briefs.model import Audience, Brief
from churn_pipeline.customers.briefs.service import Attempt, write_brief
from churn_pipeline.customers.profile import Customer360
from churn_pipeline.customers.stores.briefs import is_approachable, policy_of

if TYPE_CHECKING:
    from churn_pipeline.core.settings import Settings
    from churn_pipeline.customers.stores.published import PublishedMonday


class Desk:
    """Writes the briefs of one published Monday, one after the other, each with its lines in the audit.

    Args:
        settings: the home, and the endpoint if there is one. The budget of requests is that of this desk.
        monday: what is published of the Monday.
        template: ask no endpoint, although there is one.
        seconds: from now on, that all requests to the endpoint together may take; None for no bound.

    Raises:
        InputError: there is an endpoint, and the client for it is not installed.
        RefusedError: the policy that made the Monday is not kept.
    """

    def __init__(
        self,
        settings: Settings,
        monday: PublishedMonday,
        *,
        template: bool = False,
        seconds: float | None = None,
    ) -> None:
        self._settings = settings
        self._monday = monday
        self._exchanges: dict[str, Exchange] = {}
        self._writer = None if template else writer_of(settings, self._keep, seconds=seconds)
        with monday.publication.cursor() as cursor:
            self._policy = policy_of(cursor, monday.snapshot_date)

    def write(self, profile: Customer360, audience: Audience, email: bool = False) -> Brief:
        """The brief of a candidate.

        Args:
            profile: of a customer of the Monday.
            audience: who reads it.
            email: whether an e-mail is to be drafted; a success manager gets none all the same.

        Raises:
            NotCandidateError: there is no brief to write.
            UnknownCustomerError: the customer is forgotten.
            OSError: the audit cannot be written, so nothing was sent.
        """
        customer_id = profile.customer.customer_id
        audit.check(self._settings, customer_id)
        with self._monday.publication.cursor() as cursor:
            approachable = is_approachable(cursor, self._monday.snapshot_date, customer_id)
        return write_brief(
            profile,
            audience,
            email=email,
            writer=self._writer,
            policy=self._policy,
            may_be_approached=approachable,
            clock=self._now,
            # Short enough to be typed into a CRM.
            new_id=lambda: secrets.token_hex(6),
            note=self._note,
        )

    def _keep(self, exchange: Exchange) -> None:
        self._exchanges[exchange.correlation_id] = exchange

    def _note(self, attempt: Attempt) -> None:
        # The endpoint's own attempt comes first, the template's after it has none.
        audit.append(self._settings, attempt, self._exchanges.pop(attempt.correlation_id, None))

    def _now(self) -> datetime:
        return self._settings.clock().astimezone(UTC).replace(tzinfo=None)
