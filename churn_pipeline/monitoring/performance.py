"""What predictions turned out to be worth once the truth was known, and what they are expected to be worth until then.

Truth comes late: predictions for 30 days can be judged after 5 weeks and those for 90 days after 13 (`due`). `realised`
then puts the figures of a Monday beside what was promised at promotion, for every plan tier, for all customers and for
those whom nobody tried to keep. All customers decide: a model that learned from everybody says what happens under the
usual calling, and calls that work are part of that. Those who were left alone are shown beside it and are another book:
calls go to the riskiest, so their AUC is lower (0.81 fell to 0.77 without the 200 highest scores of 2,000), and whoever
leaves early is not called any more, so too many of them left. They decide only about a model that did not learn from
the called either, and are under its promise only where they are also under what their own probabilities lead to expect.

Before that, `expected` estimates the same figures from the calibrated probabilities alone (confidence-based performance
estimation; Garg et al., 2022, and NannyML's CBPE): a calibrated p says how often it is right. It sees that other
customers are there now, and is blind to their leaving for other reasons; `ASSUMPTION` says so and belongs wherever its
figures are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core.targets import Target
from churn_pipeline.modeling.evaluate import FLAG, TOP_PER_WEEK, Estimate, Resamples, estimate, evaluate

ASSUMPTION = (
    "estimated from the probabilities alone: valid only while the relation of features to churn "
    "holds as it did in training"
)
FIGURES = ("auc", "brier", "brier_skill", "ece", "precision_top_200", "precision_at_flag")
# What a Monday is judged by: does the model still rank, and are its probabilities still worth more than the base rate?
# Brier and ECE are shown and not judged: the first follows the base rate, which has seasons, and the second is biased
# upwards the fewer rows there are.
JUDGED = ("auc", "brier_skill")
# One-sided 5 %: with 3 weeks of 5 needed for a proposal, what one week gets wrong does not matter much.
_Z = 1.645
# Resamples behind an interval. 200 put 5 % of noise on its width.
REPLICATES = 200
# Draws held at once: of 8 bytes, with three arrays of that size, half a GB however many customers there are.
_CELLS = 16_000_000
# With fewer, AUC has a standard error of 0.1 and more.
MIN_POSITIVES = 10
MIN_ROWS = 50

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Promise:
    """The figures that a model was promoted with, on test weeks it had never seen.

    Attributes:
        version: of the registered model.
        figures: by the names of `FIGURES`; what was not defined is absent.
    """

    version: str
    figures: Mapping[str, Estimate]

    @classmethod
    def from_ledger(cls, version: str, metrics: Mapping[str, Any]) -> Self:
        """Reads the metrics of a ledger row (`LedgerRow.metrics`); a row without figures, such as a rollback's,
        promises nothing.
        """
        estimates = metrics.get("model", {})
        nan = float("nan")
        return cls(
            version,
            {
                name: Estimate(
                    **{
                        part: nan if estimates[name].get(part) is None else float(estimates[name][part])
                        for part in ("value", "low", "high")
                    }
                )
                for name in FIGURES
                if name in estimates
            },
        )


@dataclass(frozen=True)
class Quality:
    """Figures of the predictions of one Monday, for one group of customers.

    Attributes:
        target: what was predicted.
        predicted_on: the snapshot_date of the predictions.
        version: of the model that made them.
        plan_tier: one, or ``all``.
        customers: ``all``, or ``untouched`` for those with no intervention in the window.
        basis: ``realised``, or ``expected`` (see `ASSUMPTION`).
        rows: customers.
        positives: of them the ones with the event; for ``expected`` the number expected.
        figures: by the names of `FIGURES`, with 95 % intervals; NaN where not defined, as precision at the flag where
            nobody was flagged.
        promised: the same at promotion.
        under: names of figures that are too low to be chance, of ``JUDGED`` and with at least ``MIN_POSITIVES``
            positives: under the promise, and for the untouched also under what their probabilities lead to expect.
    """

    target: str
    predicted_on: date
    version: str
    plan_tier: str
    customers: str
    basis: str
    rows: int
    positives: float
    figures: Mapping[str, Estimate]
    promised: Mapping[str, Estimate]
    under: tuple[str, ...] = ()

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per figure, as a table wants it; NaN is None."""
        nothing = Estimate(float("nan"), float("nan"), float("nan"))
        rows = []
        for name in FIGURES:
            measured, promised = self.figures.get(name, nothing), self.promised.get(name, nothing)
            values = {
                "value": measured.value,
                "low": measured.low,
                "high": measured.high,
                "promised": promised.value,
                "promised_low": promised.low,
                "promised_high": promised.high,
            }
            rows.append(
                {
                    "target": self.target,
                    "predicted_on": self.predicted_on,
                    "version": self.version,
                    "plan_tier": self.plan_tier,
                    "customers": self.customers,
                    "basis": self.basis,
                    "rows": self.rows,
                    "positives": self.positives,
                    "figure": name,
                    "is_under": name in self.under,
                    **{key: None if value != value else value for key, value in values.items()},
                }
            )
        return rows


def untouched(
    customer_id: pd.Series, interventions: pd.DataFrame, predicted_on: date, horizon_days: int
) -> NDArray[np.bool_]:
    """Which customers had no intervention dated in [S, S + horizon), shape (rows,).

    Args:
        customer_id: of the predictions.
        interventions: customer_id and ``at`` (date or time); may be empty.
        predicted_on: S.
        horizon_days: of the target.
    """
    if not len(interventions):
        return np.ones(len(customer_id), dtype=bool)
    at = pd.to_datetime(interventions["at"])
    start = pd.Timestamp(predicted_on)
    inside = (at >= start) & (at < start + timedelta(days=horizon_days))
    return np.asarray(~customer_id.isin(interventions.loc[inside, "customer_id"]))


def realised(
    target: Target, predicted_on: date, predictions: pd.DataFrame, promise: Promise, *, seed: int = 0
) -> list[Quality]:
    """Judges the predictions of one Monday by what happened.

    Args:
        target: what was predicted.
        predicted_on: their snapshot_date; all windows are closed.
        predictions: one row per customer: customer_id, plan_tier, probability, label (0 or 1), untouched (bool).
        promise: of the model that made them.
        seed: of the resampling.

    Returns:
        For all customers and for the untouched, of all tiers together and of each tier with at least ``MIN_ROWS`` rows.
        With everybody untouched both are the same figures. Empty when there are no predictions.
    """
    groups = [("all", predictions), ("untouched", predictions[predictions["untouched"].astype(bool)])]
    return [
        _realised(target, predicted_on, part, promise, tier, customers, seed)
        for customers, whole in groups
        for tier, part in _tiers(whole)
    ]


def expected(
    target: Target, predicted_on: date, predictions: pd.DataFrame, promise: Promise, *, seed: int = 0
) -> list[Quality]:
    """Estimates the figures before the truth is known: labels are drawn from the probabilities, ``REPLICATES`` times,
    and judged.

    The band is the spread of those draws: what chance alone does with so many customers, which is why a tier's is wider
    than the book's. It says nothing about probabilities that are wrong; `ASSUMPTION` goes with it. ECE is left out: it
    is 0 by assumption.

    Args:
        target: what is predicted.
        predicted_on: the snapshot_date.
        predictions: one row per customer: plan_tier, probability.
        promise: of the model.
        seed: of the draws.
    """
    qualities = []
    for tier, part in _tiers(predictions):
        probability = part["probability"].to_numpy(dtype=np.float64)
        figures = _drawn(probability, seed)
        qualities.append(
            Quality(
                target=target.name,
                predicted_on=predicted_on,
                version=promise.version,
                plan_tier=tier,
                customers="all",
                basis="expected",
                rows=len(part),
                positives=float(probability.sum()),
                figures=figures,
                promised=promise.figures,
            )
        )
    return qualities


def _realised(
    target: Target, predicted_on: date, part: pd.DataFrame, promise: Promise, tier: str, customers: str, seed: int
) -> Quality:
    label = part["label"].to_numpy(dtype=np.float64)
    positives = int(label.sum())
    # One class has no AUC and no calibration line.
    if 0 < positives < len(part):
        # In a tier with few events some resamples have none; what is not defined in them is left out of the intervals.
        with np.errstate(invalid="ignore", divide="ignore"):
            evaluation = evaluate(
                label,
                part["probability"].to_numpy(dtype=np.float64),
                np.zeros(len(part)),
                Resamples.draw(part["customer_id"], REPLICATES, seed),
                float(label.mean()),
            )
            figures = {name: evaluation[name] for name in FIGURES}
    else:
        figures = {}
    under: tuple[str, ...] = ()
    if positives >= MIN_POSITIVES:
        under = _under(figures, promise.figures, _error)
        if customers == "untouched":
            drawn = _drawn(part["probability"].to_numpy(dtype=np.float64), seed)
            under = tuple(name for name in under if name in _under(figures, drawn, lambda _: 0.0))
    return Quality(
        target=target.name,
        predicted_on=predicted_on,
        version=promise.version,
        plan_tier=tier,
        customers=customers,
        basis="realised",
        rows=len(part),
        positives=positives,
        figures=figures,
        promised=promise.figures,
        under=under,
    )


def _under(
    figures: Mapping[str, Estimate], wanted: Mapping[str, Estimate], own_error: Callable[[Estimate], float]
) -> tuple[str, ...]:
    """Figures whose distance below the wanted one is more than the errors of both explain.

    Args:
        figures: the realised ones.
        wanted: promised or expected, with intervals.
        own_error: standard error of a realised figure; 0 against an expectation, whose band already is that of the
            realised figure.
    """
    below = []
    for name in JUDGED:
        if name in figures and name in wanted and figures[name].defined and wanted[name].defined:
            error = float(np.hypot(own_error(figures[name]), _error(wanted[name])))
            if wanted[name].value - figures[name].value > _Z * error:
                below.append(name)
    return tuple(below)


def _error(figure: Estimate) -> float:
    """Standard error, from the 95 % interval; 0 where there is none."""
    return (figure.high - figure.low) / (2 * 1.96) if figure.low == figure.low and figure.high == figure.high else 0.0


def _drawn(probability: Floats, seed: int) -> dict[str, Estimate]:
    """Figures over drawn labels; value is the mean of the draws, and the interval their 95 % range."""
    p = np.sort(probability)
    ranks = pd.Series(p).rank().to_numpy()
    flagged = p > FLAG
    rng = np.random.default_rng(seed)
    parts: dict[str, list[Floats]] = {}
    step = max(1, _CELLS // max(1, len(p)))
    for start in range(0, REPLICATES, step):
        draws = rng.random((min(step, REPLICATES - start), len(p))) < p
        positives = draws.sum(axis=1)
        negatives = len(p) - positives
        with np.errstate(invalid="ignore", divide="ignore"):
            base = positives / len(p)
            brier = ((p - draws) ** 2).mean(axis=1)
            figures = {
                # Mann-Whitney: the rank sum of the positives, less its smallest value, over all pairs; tied ranks are averaged.
                "auc": (draws @ ranks - positives * (positives + 1) / 2) / (positives * negatives),
                "brier": brier,
                "brier_skill": 1 - brier / (base * (1 - base)),
                "precision_top_200": draws[:, -TOP_PER_WEEK:].mean(axis=1),
                "precision_at_flag": draws[:, flagged].sum(axis=1) / flagged.sum(),
            }
        for name, values in figures.items():
            parts.setdefault(name, []).append(values)
    drawn = {name: np.concatenate(values) for name, values in parts.items()}
    return {name: estimate(np.append(_mean(values), values)) for name, values in drawn.items()}


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _tiers(predictions: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    if predictions.empty:
        return []
    tiers = [(str(tier), part) for tier, part in predictions.groupby("plan_tier", sort=True, observed=True)]
    return [("all", predictions), *((tier, part) for tier, part in tiers if len(part) >= MIN_ROWS)]
