"""What a model has to beat: the rule of thumb that a customer-success team would use without any model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core.targets import HeuristicBaseline


def rule_score(frame: pd.DataFrame, rule: HeuristicBaseline) -> NDArray[np.float64]:
    """1 where the rule of thumb holds and 0 elsewhere, shape (rows,). Without any of its columns it never holds, which ranks like chance."""
    total = np.zeros(len(frame))
    for column in rule.columns:
        if column in frame.columns:
            total += pd.to_numeric(frame[column]).astype("Float64").fillna(0).to_numpy(dtype=np.float64)
    return (total >= rule.threshold).astype(np.float64)
