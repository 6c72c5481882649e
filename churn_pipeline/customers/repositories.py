"""Where entities and predictions come from. Everything is as known at 00:00 of one Monday, the repository's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from churn_pipeline.customers.entities import Customer, Opportunity, RiskSignals, UsageEvent
from churn_pipeline.customers.predictions import ChurnPrediction, ExpansionPrediction
from churn_pipeline.customers.profile import Customer360


class Customers(Protocol):
    """Customers as known at a Monday."""

    @property
    def snapshot_date(self) -> date:
        """The Monday: known is what is dated strictly before it."""
        ...

    def by_id(self, customer_id: str) -> Customer | None:
        """The customer, active or not; None where nobody has that id or had not signed up."""
        ...

    def active(self) -> Iterator[Customer]:
        """Everybody who is active on the Monday, ordered by customer_id."""
        ...

    def sample(self, n: int, seed: int) -> Sequence[Customer]:
        """``n`` active customers, or all where there are fewer; the same seed and Monday give the same ones, in the same order.

        A larger sample begins with the smaller one, and whoever is in it on one Monday is in it on others, as long as they are active and
        few enough come before them.

        Raises:
            InputError: ``n`` is negative.
        """
        ...


class Usage(Protocol):
    """What customers did in the product, as known at a Monday."""

    @property
    def is_known(self) -> bool:
        """Whether anything was known of anybody's usage; without it, no events are no silence."""
        ...

    def events(self, customer_id: str, since: datetime) -> Sequence[UsageEvent]:
        """Events from ``since`` (UTC, with a zone or without) to the Monday, the oldest first."""
        ...

    def count(self, customer_id: str, days: int, until_days_ago: int = 0) -> int:
        """How many events in the ``days`` days that end ``until_days_ago`` days before the Monday.

        Raises:
            InputError: either is negative.
        """
        ...


class Signals(Protocol):
    """Compliance gaps and vendor flags, as known at a Monday."""

    def of(self, customer_id: str) -> RiskSignals:
        """The newest of each part; a part of which nothing is known counts 0 and is named in ``missing``."""
        ...


class Opportunities(Protocol):
    """Sales opportunities, as known at a Monday."""

    def of(self, customer_id: str) -> Sequence[Opportunity]:
        """Those of which it is known since when they exist, the newest first; stage and amount only once they were closed."""
        ...


@dataclass(frozen=True)
class AsOf:
    """Everything that is known at 00:00 of one Monday.

    Attributes:
        snapshot_date: the Monday.
    """

    snapshot_date: date
    customers: Customers
    usage: Usage
    signals: Signals
    opportunities: Opportunities


class Predictions(Protocol):
    """What is published of a Monday."""

    @property
    def snapshot_date(self) -> date: ...

    def customer_id(self, wanted: str) -> str:
        """The id that is meant by an id, a company's name, or how it begins, without regard to accents and case.

        Raises:
            UnknownCustomerError: nobody is, or several are; the message names up to five of them.
        """
        ...

    def churn(self, customer_id: str) -> ChurnPrediction:
        """What is predicted of a customer's staying.

        Raises:
            UnknownCustomerError: no published Monday holds the customer.
            ChurnedError: the customer was not active on the Monday; the message says on which Mondays they were.
        """
        ...

    def expansion(self, customer_id: str) -> ExpansionPrediction | None:
        """What is predicted of a customer's growth; None where no model predicts it or they are on the highest plan. Raises as `churn`."""
        ...

    def profile(self, customer_id: str) -> Customer360:
        """The whole profile. Raises as `churn`."""
        ...
