"""Values that are right by construction. Numbers are floats and words are strings, so that they compare, sort and print as such."""

from __future__ import annotations

import math
from numbers import Real
from typing import ClassVar, Self

from churn_pipeline.contract.declaration import GTM_OPPORTUNITIES, TIERS
from churn_pipeline.core.errors import InputError


class _Number(float):
    """A finite number within bounds, both of which belong to it.

    Raises:
        InputError: it lies outside; the message names the value and the rule.
    """

    name: ClassVar[str]
    least: ClassVar[float] = 0.0
    most: ClassVar[float] = 1.0

    __slots__ = ()

    def __new__(cls, value: float) -> Self:
        # A text that reads as a number is none, and neither is yes or no. Numbers of NumPy are numbers.
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
        if not (math.isfinite(number) and cls.least <= number <= cls.most):
            bounds = f"from {cls.least:g} to {cls.most:g}" if math.isfinite(cls.most) else f"of {cls.least:g} or more"
            raise InputError(f"{cls.name} is a number {bounds}, not {value!r}")
        return super().__new__(cls, number)


class ChurnProbability(_Number):
    """Calibrated probability that a customer leaves within a horizon, 0 to 1."""

    name = "a churn probability"

    __slots__ = ()


class ExpansionPropensity(_Number):
    """Calibrated probability that a customer moves to a higher plan within a horizon, 0 to 1."""

    name = "an expansion propensity"

    __slots__ = ()


class RiskScore(_Number):
    """Composite of usage decay, compliance gaps and vendor flags, 0 to 1. No probability."""

    name = "a risk score"

    __slots__ = ()


class FeatureAdoptionScore(_Number):
    """How much of a feature was used, 0 to 1, as the product measured it."""

    name = "a feature adoption score"

    __slots__ = ()


class Mrr(_Number):
    """Monthly recurring revenue, USD, 0 or more."""

    name = "mrr"
    most = math.inf

    __slots__ = ()


class _Word(str):
    """A text that is not empty, without blanks around it.

    Raises:
        InputError: it is none of the words, or empty; the message names the value and the rule.
    """

    name: ClassVar[str]
    words: ClassVar[tuple[str, ...]] = ()

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        word = super().__new__(cls, value.strip() if isinstance(value, str) else "")
        if not word:
            raise InputError(f"{cls.name} is a text that is not empty, not {value!r}")
        if cls.words and word not in cls.words:
            raise InputError(f"{cls.name} is one of {', '.join(cls.words)}, not {value!r}")
        return word


class PlanTier(_Word):
    """A plan, free to custom, in the contract's words."""

    name = "a plan tier"
    words = TIERS

    __slots__ = ()


class Industry(_Word):
    """What a customer does; free text of the source."""

    name = "an industry"

    __slots__ = ()


class EventType(_Word):
    """What happened in the product; free text, of which the policy's seed ``event_types`` says the meaning."""

    name = "an event type"

    __slots__ = ()


class SalesStage(_Word):
    """Where a sales opportunity stands, in the contract's words."""

    name = "a sales stage"
    words = next(column.categories for column in GTM_OPPORTUNITIES.raw if column.name == "stage")

    __slots__ = ()

    @property
    def is_closed(self) -> bool:
        """Whether it was won or lost."""
        return self.startswith("closed_")


class RiskTier(_Word):
    """A risk tier by its name. Which there are, and from which probability on, is policy: :mod:`churn_pipeline.policy.tiers`."""

    name = "a risk tier"

    __slots__ = ()
