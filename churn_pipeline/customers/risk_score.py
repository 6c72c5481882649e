"""The risk score: how much usage fell, how large the compliance gap is, how many vendors raised a flag. No probability.

The policy makes it of every row of ``predictions`` (``models/policy/prediction_candidates.sql``). The same is here for whoever asks what it
would be of other signals; weights and caps are those of the policy that is asked about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Self

from churn_pipeline.core.errors import InputError
from churn_pipeline.customers.entities import COMPLIANCE_GAP, VENDOR_FLAGS, RiskSignals
from churn_pipeline.customers.values import RiskScore

USAGE_DECAY = "usage_decay"
# What ``risk_score_basis`` says where nothing is known.
NO_BASIS = "none"
# The week before the Monday is compared with the three weeks before it.
RECENT_DAYS = 7
PRIOR_DAYS = 21


@dataclass(frozen=True)
class RiskWeights:
    """What the policy says of the risk score.

    Attributes:
        usage_decay: weight, 0 to 1.
        compliance_gap: weight, 0 to 1.
        vendor_flags: weight, 0 to 1.
        vendor_flags_cap: flags at which that part is full, above 0.

    Raises:
        InputError: a number lies outside its range, or the weights make more than 1.
    """

    usage_decay: float
    compliance_gap: float
    vendor_flags: float
    vendor_flags_cap: float

    def __post_init__(self) -> None:
        weights = astuple(self)[:3]
        for weight in weights:
            if not 0 <= weight <= 1:
                raise InputError(f"a weight of the risk score is a number from 0 to 1, not {weight!r}")
        if sum(weights) > 1 and not math.isclose(sum(weights), 1):
            raise InputError(f"the weights of the risk score make 1 at most, not {sum(weights):g}")
        if not (self.vendor_flags_cap > 0 and math.isfinite(self.vendor_flags_cap)):
            raise InputError(f"the cap of vendor flags is a number above 0, not {self.vendor_flags_cap!r}")

    @classmethod
    def of(cls, parameters: Mapping[str, float]) -> Self:
        """The weights among the parameters of a policy.

        Args:
            parameters: as :mod:`churn_pipeline.policy.parameters` reads them.

        Raises:
            InputError: one is missing, or cannot be used.
        """
        names = ("usage_decay_weight", "compliance_gap_weight", "vendor_flags_weight", "vendor_flags_cap")
        if missing := [name for name in names if name not in parameters]:
            raise InputError(f"a risk score needs the policy's {', '.join(names)}; not known: {', '.join(missing)}")
        return cls(*(parameters[name] for name in names))


@dataclass(frozen=True)
class ComposedRisk:
    """A risk score and what it is made of.

    Attributes:
        score: 0 to 1.
        usage_decay: 0 to 1; None where nothing is known of usage.
        basis: the parts that were known, ``A + B``, as ``risk_score_basis`` has them; ``none`` without one.
        missing: the parts that were not known and count 0.
    """

    score: RiskScore
    usage_decay: float | None
    basis: str
    missing: tuple[str, ...]


def usage_decay(events_last_7d: int, events_prior_21d: int) -> float:
    """How much of the usual use is gone: 1 - min(1, 3 x events of the last 7 days / events of the 21 days before those).

    Without events in those 21 days it is 1 where there are none in the last 7 either, else 0.

    Args:
        events_last_7d: in the 7 days before the Monday.
        events_prior_21d: in the 21 days before those.

    Raises:
        InputError: a count is negative.
    """
    for count in (events_last_7d, events_prior_21d):
        if count < 0:
            raise InputError(f"events are a count of 0 or more, not {count!r}")
    if events_prior_21d == 0:
        return 1.0 if events_last_7d == 0 else 0.0
    return 1 - min(1.0, PRIOR_DAYS // RECENT_DAYS * events_last_7d / events_prior_21d)


def compose(signals: RiskSignals, decay: float | None, weights: RiskWeights) -> ComposedRisk:
    """The risk score of given signals.

    The parts are added in the order in which the policy adds them, so that the score has the same bits.

    Args:
        signals: compliance gap and vendor flags; what is missing counts 0.
        decay: of :func:`usage_decay`, 0 to 1; None where nothing is known of usage, which counts 0.
        weights: of the policy.

    Raises:
        InputError: ``decay`` lies outside its range.
    """
    if decay is not None and not 0 <= decay <= 1:
        raise InputError(f"a usage decay is a number from 0 to 1, not {decay!r}")
    score = (
        weights.usage_decay * (decay or 0.0)
        + weights.compliance_gap * signals.compliance_gap_score
        + weights.vendor_flags * min(signals.vendor_risk_flags / weights.vendor_flags_cap, 1.0)
    )
    missing = (*((USAGE_DECAY,) if decay is None else ()), *signals.missing)
    present = [part for part in (USAGE_DECAY, COMPLIANCE_GAP, VENDOR_FLAGS) if part not in missing]
    # Weights that make 1 may add up to the next number above it.
    return ComposedRisk(RiskScore(min(score, 1.0)), decay, " + ".join(present) or NO_BASIS, missing)
