"""The guard against revenue that was zeroed when the customer left.

Many billing systems set the monthly revenue to 0 at churn and keep no history of it. Exported today, every past snapshot of a departed
customer then says "mrr 0 on a paid plan", and a model that sees it has read the answer.
"""

from __future__ import annotations

import math

import pandas as pd

from churn_pipeline.core.targets import Target

# What "markedly" means: both must hold.
# Five points: pilots and credit notes put an honest 0 on a few percent of paid customers, and a difference below five points
# moves an AUC by less than 0.025 even if it is all leak. Lower, and ordinary pilots cost the model its revenue; higher, and a
# system that zeroes a tenth of its departures goes unseen.
MIN_DIFFERENCE = 0.05
# One chance in a thousand per training: some fifty trainings a year over three targets must not raise it by chance.
MAX_P_VALUE = 0.001


def revenue_zeroed(frame: pd.DataFrame, target: Target) -> str | None:
    """Looks for mrr 0 on a paid tier that goes with the outcome.

    Each customer counts once, by their newest snapshot on a paid tier, because a customer's snapshots repeat each other and a test on
    rows would find significance in anything. Compared are customers with a label of 1 anywhere in the slice and all others. For churn the
    suspicion is that zeros are more common among the positive; for expansion that they are rarer, since whoever left does not upgrade.

    Args:
        frame: the training slice, with customer_id, snapshot_date, label, and where known plan_tier and mrr.
        target: what is predicted.

    Returns:
        The finding in one sentence, or None. One-sided two-proportion z-test with pooled variance.
    """
    if not {"plan_tier", "mrr"} <= set(frame.columns):
        return None
    paid = frame[frame["plan_tier"].notna() & (frame["plan_tier"].astype(object) != "free") & frame["mrr"].notna()]
    if paid.empty:
        return None
    customers = paid.sort_values("snapshot_date", kind="stable").groupby("customer_id", observed=True)
    zero = customers["mrr"].last().astype(float) == 0
    positive = customers["label"].max() == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if not n1 or not n0:
        return None
    share1, share0, pooled = float(zero[positive].mean()), float(zero[~positive].mean()), float(zero.mean())
    difference = (share1 - share0) if target.event == "churn" else (share0 - share1)
    variance = pooled * (1 - pooled) * (1 / n1 + 1 / n0)
    if difference < MIN_DIFFERENCE:
        return None
    p_value = 0.5 * math.erfc(difference / math.sqrt(2 * variance)) if variance > 0 else 0.0
    if p_value > MAX_P_VALUE:
        return None
    noun = "churned" if target.event == "churn" else "upgraded"
    return (
        f"mrr is 0 on a paid tier for {share1:.1%} of {n1:,} {noun} customers and {share0:.1%} of {n0:,} others: it looks zeroed when "
        "the customer left, so revenue and plan tier are not trained on"
    )
