"""The lower rungs: models for a company of which little is known yet.

A company is scored from its first Monday on. Until its own departures support a model that ranks customers by what they do
(:mod:`churn_pipeline.modeling.fit`), the longer horizon borrows the order of the shorter one, and without that either is a base rate.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date

import duckdb
import numpy as np
import pandas as pd

from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import Target
from churn_pipeline.features.catalogue import Catalogue, History
from churn_pipeline.features.splits import Slices, refit_slices, twin_slices
from churn_pipeline.modeling.calibrate import Platt, level_shift, sigmoid
from churn_pipeline.modeling.choose import Choice
from churn_pipeline.modeling.encode import Encoder
from churn_pipeline.modeling.fit import (
    Judgement,
    RecipeFacts,
    TrainingResult,
    block_rows,
    facts_of,
    importance,
    judge,
    judged_rows,
    log_odds_of,
    positive_customers_of,
    rows_of,
    training_rows,
)
from churn_pipeline.modeling.linear import Linear, Prior
from churn_pipeline.modeling.model import ScoringModel

# What a base rate may depend on: for how long somebody has been a customer and, where its past is known, on which plan.
BASE_FEATURES = ("tenure_days", "plan_tier")
# Few departures must not make much of either: the penalty is worth about as many departures as are needed for the next rung.
BASE_RIDGE = 20.0


@dataclass(frozen=True)
class Belief:
    """What is believed of an event before anything is known of a company.

    Attributes:
        share_90d: of customers whom it happens to within 90 days.
        customers: how many customers the belief is worth.
    """

    share_90d: float
    customers: float

    def prior(self, target: Target) -> Prior:
        """For the target's horizon, with the same chance on every day."""
        return Prior(1 - (1 - self.share_90d) ** (target.horizon_days / 90), self.customers)


def read_belief(con: duckdb.DuckDBPyConnection, event: str) -> Belief:
    """The belief about an event, from the seed ``model_priors`` as dbt loaded it.

    Raises:
        InputError: the seed says nothing of the event, or something that is no share.
    """
    rows = con.execute("select share_90d, customers from seeds.model_priors where event = ?", [event]).fetchall()
    if len(rows) == 1 and None not in rows[0]:
        belief = Belief(*rows[0])
        if 0 < belief.share_90d < 1 and 0 < belief.customers < math.inf:
            return belief
    raise InputError(
        f"model_priors.csv has to say of the event '{event}' a share_90d between 0 and 1 and how many customers it is worth, more than 0"
    )


def fit_base_rate(
    target: Target,
    frame: pd.DataFrame,
    training_monday: date,
    catalogue: Catalogue,
    settings: Settings,
    histories: Collection[History],
    belief: Belief,
    next_rung: str,
    *,
    code: str = "",
    share: float = 1.0,
) -> TrainingResult:
    """How many customers leave, by how long they have been customers, and by plan where past plans are known.

    Ridge regression of the log-odds, with a belief as pseudo-rows. There is always one: without any closed label it is the belief. It
    is judged where there are test weeks of both classes.

    Args:
        target: what is predicted.
        frame: as for `fit.fit`; may have no rows.
        training_monday: T.
        catalogue: all features of the mart.
        settings: for the seed and the threads.
        histories: whether past tiers are known.
        belief: before anything is known.
        next_rung: what it would take to have more than a base rate.
        code: hash of the code, for the recipe.
        share: as for `fit.fit`.
    """
    base = catalogue.trained(histories)
    base = base.without([name for name in base.names if name not in BASE_FEATURES])
    prior = belief.prior(target)
    first = pd.Timestamp(frame["snapshot_date"].min()).date() if len(frame) else training_monday

    def fitted(rows: pd.DataFrame, spans: Slices | None) -> ScoringModel:
        encoder = Encoder.learn(rows, base)
        label = rows["label"].to_numpy(dtype=np.float64)
        return ScoringModel(
            target=target,
            training_monday=training_monday,
            booster=None,
            linear=Linear.fit(encoder, encoder.matrix(rows), label, ridge=BASE_RIDGE, prior=prior),
            kind="base_rate",
            # A maximum of the likelihood has the mean of the labels, and the belief is part of it.
            platt=Platt(1.0, 0.0),
            encoder=encoder,
            metadata={"train": str(spans.train) if spans else None},
            threads=settings.threads,
        )

    spans = _slices_or_none(target, training_monday, first, twin=False)
    rows = training_rows(frame, spans.train, target) if spans else frame[:0]
    model = fitted(rows, spans)
    slices = {"refit_train": facts_of(spans.train, rows)} if spans and len(rows) else {}
    judged = None
    if twin := _slices_or_none(target, training_monday, first, twin=True):
        train, test = training_rows(frame, twin.train, target), rows_of(frame, twin.test)
        judged = _judged(fitted(train, twin), frame, train, test, twin, settings, share)
        if judged:
            slices = {"train": facts_of(twin.train, train), "test": facts_of(twin.test, test), **slices}
    return TrainingResult(
        target=target,
        training_monday=training_monday,
        model=model,
        slices=slices,
        judged=judged,
        recipe=RecipeFacts(
            "base_rate", tuple(model.catalogue.names), {"ridge": BASE_RIDGE, "belief": belief.share_90d}, code
        ),
        importance=importance(model, rows),
        next_rung=next_rung,
        notices=(_how_sure(target, rows, prior),),
        share=share,
    )


def fit_of_shorter(
    target: Target,
    frame: pd.DataFrame,
    training_monday: date,
    shorter: TrainingResult,
    belief: Belief,
    next_rung: str,
    *,
    code: str = "",
) -> TrainingResult:
    """The order of the shorter horizon at the level of the longer one.

    Log-odds of the shorter horizon's model plus a constant: the one that gives the share of closed labels, drawn towards the one of an
    equal chance on every day in so far as few customers left.

    Args:
        target: the longer horizon.
        frame: snapshots with closed labels of the longer horizon, as for `fit.fit`; may have no rows.
        training_monday: T.
        shorter: the training of the shorter horizon as of the same Monday.
        belief: how many customers it is worth decides how much is drawn.
        next_rung: what it would take to have a model of its own.
        code: hash of the code, for the recipe.
    """
    model = shorter.model
    known = shorter.judged.test.frame if shorter.judged else frame
    z = log_odds_of(model, known)
    times = target.horizon_days / shorter.target.horizon_days
    constant = level_shift(z, float((1 - (1 - sigmoid(z)) ** times).mean())) if len(z) else math.log(times)
    first = pd.Timestamp(frame["snapshot_date"].min()).date() if len(frame) else training_monday
    spans = _slices_or_none(target, training_monday, first, twin=False)
    rows = training_rows(frame, spans.train, target) if spans else frame[:0]
    if len(rows) and 0 < rows["label"].mean() < 1:
        seen = level_shift(log_odds_of(model, rows), float(rows["label"].mean()))
        departures = positive_customers_of(rows)
        # Never below the shorter horizon, whose window is part of the longer one's.
        constant = max(0.0, (departures * seen + belief.customers * constant) / (departures + belief.customers))
    return TrainingResult(
        target=target,
        training_monday=training_monday,
        model=replace(
            model,
            target=target,
            kind="of_30d",
            platt=Platt(model.platt.slope, model.platt.intercept + constant),
            metadata={**model.metadata, "of": shorter.target.name, "constant": constant},
        ),
        slices={"refit_train": facts_of(spans.train, rows)} if spans and len(rows) else {},
        judged=None,
        recipe=RecipeFacts("of_30d", tuple(model.catalogue.names), {"belief": belief.share_90d}, code),
        importance=shorter.importance,
        next_rung=next_rung,
        notices=(
            f"its order is that of {shorter.target.name}, its level {math.exp(constant):.1f} times the odds: its own labels are too few yet",
        ),
        share=shorter.share,
    )


def _judged(
    model: ScoringModel,
    frame: pd.DataFrame,
    train: pd.DataFrame,
    test: pd.DataFrame,
    spans: Slices,
    settings: Settings,
    share: float,
) -> Judgement | None:
    blocks = pd.concat([block_rows(frame, span) for span in spans.blocks], ignore_index=True)
    if not len(test) or not len(train) or not 0 < test["label"].mean() < 1:
        return None
    rows = judged_rows(blocks, spans)
    if not len(rows):
        return None
    losses = rows.losses(log_odds_of(model, blocks))
    return judge(
        {"base_rate": model},
        Choice("base_rate", {"base_rate": float(losses.mean())}, {}),
        test,
        float(train["label"].mean()),
        settings,
        share=share,
        against_constant=rows.difference(losses, rows.losses(np.zeros(len(blocks)))),
        against_former=None,
        blocks=spans.blocks,
    )


def _slices_or_none(target: Target, training_monday: date, first: date, *, twin: bool) -> Slices | None:
    try:
        return (twin_slices if twin else refit_slices)(target, training_monday, first)
    except RefusedError:
        return None


def _how_sure(target: Target, rows: pd.DataFrame, prior: Prior) -> str:
    """The rate with its 90 % Wilson interval over customers, the belief counted as customers."""
    left = positive_customers_of(rows)
    # One window a customer: further windows of the same customer say next to nothing more.
    windows = int(rows["customer_id"].nunique())
    count = windows + prior.rows
    observed = float(rows["label"].mean()) if len(rows) else prior.rate
    share = (windows * observed + prior.rows * prior.rate) / count
    z = 1.645
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    noun = "departures" if target.event == "churn" else "upgrades"
    return (
        f"a base rate of {share:.1%} within {target.horizon_days} days (90 % interval {max(0.0, centre - half):.1%} to "
        f"{min(1.0, centre + half):.1%}), from {left:,} {noun} and the belief of {prior.rate:.1%} that it begins with"
    )
