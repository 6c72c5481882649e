"""The first line above a list where a model behind it does not look at what customers do yet."""

from __future__ import annotations

from collections.abc import Mapping

from churn_pipeline.core.model_kinds import Kind, is_provisional
from churn_pipeline.core.targets import by_horizon, shorter_than, target_of


def ranked_by(
    kinds: Mapping[str, Kind], next_rungs: Mapping[str, str | None], *, is_money_known: bool = True
) -> str | None:
    """What a list is ranked by as long as a better model is still to come, and what that waits for, in plain words.

    Args:
        kinds: of the models of a Monday, by target; a target without a model is not there.
        next_rungs: by target, a sentence that says what a better kind of model would take; None, or not there, where nobody said.
        is_money_known: whether anybody is known to pay; a list of customers of whom that is not known goes by probability alone.

    Returns:
        One line. None where every horizon of churn has a model of its own that looks at what customers do.
    """
    ranking = target_of("risk")
    churn = [ranking, *(target for target in by_horizon("churn") if target != ranking)]
    target = next((target for target in churn if target.name in kinds and is_provisional(kinds[target.name])), None)
    if target is None:
        return None
    is_base_rate = kinds[target.name] == "base_rate"
    # What a model that is made of another horizon's is made of: the next shorter one.
    shorter = f"who may leave within {shorter_than(target)[-1].horizon_days} days" if not is_base_rate else ""
    if target == ranking:
        money = " and what they pay" if is_money_known else ""
        line = (
            f"This list is ranked by how long customers have been with you{money}, not yet by what they do"
            if is_base_rate
            else f"This list is ranked by {shorter}{money}, not yet by who may leave within {target.horizon_days}"
        )
    else:
        line = (
            f"The order of this list is by what customers do. How likely they leave within {target.horizon_days} days follows from "
            f"{'how long they have been with you, not yet from what they do' if is_base_rate else shorter}"
        )
    rung = (next_rungs.get(target.name) or "").strip().rstrip(".")
    return f"{line}: {rung}." if rung else f"{line}."
