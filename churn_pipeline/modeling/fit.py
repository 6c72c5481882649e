"""One training: the twin that is judged, and the version that scores.

Both follow one recipe. The twin leaves the newest closed weeks aside as a test and yields every figure; it also decides which kind of
model serves and how many trees there are. The version that is registered repeats the recipe on all closed weeks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.model_kinds import JUDGED, Kind
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import Target
from churn_pipeline.features.catalogue import Catalogue, History
from churn_pipeline.features.splits import (
    BLOCK_WEEKS,
    CALIBRATION_WEEKS,
    Slices,
    Span,
    refit_slices,
    staggered,
    twin_slices,
)
from churn_pipeline.modeling.baselines import rule_score
from churn_pipeline.modeling.calibrate import FOLDS, Platt, at_ratio, calibrate, fold_of, recent_ratio
from churn_pipeline.modeling.choose import Choice, Difference, JudgedRows, choose
from churn_pipeline.modeling.encode import Encoder, Matrix
from churn_pipeline.modeling.evaluate import (
    TOP_PER_WEEK,
    BusinessTargets,
    Estimate,
    Evaluation,
    Resamples,
    business_targets,
    calibration_table,
    evaluate,
    evaluate_ranking,
)
from churn_pipeline.modeling.linear import Linear, strongest
from churn_pipeline.modeling.model import ScoringModel

if TYPE_CHECKING:
    import xgboost as xgb


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters. Chosen on OULAD and the simulated company for the same answer on both, not for the best on either.

    Attributes:
        eta: step size. What a model owes to its seed is what a lower step size buys off: over six seeds and three Mondays of OULAD the
            standard deviation of the average precision was 0.0012 to 0.0021 at 0.03 and 0.0020 to 0.0052 at 0.05, and its mean 0.092,
            0.124 and 0.148 beside 0.091, 0.117 and 0.149. The trees below go with it, and with them the time of SHAP.
        max_depth: interactions of up to this many features. SHAP's time grows with depth times leaves: depth 4 takes 3 times as long.
        min_child_weight: sum of p (1 - p) in a leaf; 10 is about 200 rows at a base rate of 5 %. Lower fits single customers.
        subsample: rows per tree, drawn with the seed.
        colsample_bynode: features per split; below 1 lets correlated windows of the same count share the work.
        reg_lambda: L2 penalty on leaves.
        max_bin: split candidates per feature.
        min_trees: what early stopping cannot go below: on OULAD, at a step size of 0.05, 120 trees have an AUC of 0.69 and 250 trees 0.70.
        max_trees: bound of early stopping, and of what explaining a customer may cost.
        patience: rounds without a better log loss of customers that were not learned from before it stops.
        ridge: L2 penalty of logistic regression on standardised columns.
        departures_a_feature: of the small logistic regression: one feature for so many positive customers (Peduzzi et al., 1996).
    """

    eta: float = 0.03
    max_depth: int = 3
    min_child_weight: float = 10.0
    subsample: float = 0.8
    colsample_bynode: float = 0.7
    reg_lambda: float = 5.0
    max_bin: int = 128
    min_trees: int = 250
    max_trees: int = 420
    patience: int = 40
    ridge: float = 1.0
    departures_a_feature: int = 10


RECIPE = Recipe()
_CONSTRAINTS = {"increasing": 1, "decreasing": -1, None: 0}
# Training rows from which on a booster may get more than one thread: at 5,000 one takes two thirds of the time of two, at 35,000 as long.
_ROWS_FOR_THREADS = 20_000
# A quarter more or less than the year's level is more than what departures of a steady book of a thousand customers vary by.
_STEADY = (0.8, 1.25)
# From how many distinct positive customers in the twin's training weeks on a small logistic regression is fitted, and how many the test
# weeks need for its figures to say anything.
SMALL_TRAIN, SMALL_TEST = 20, 5


@dataclass(frozen=True)
class RecipeFacts:
    """What a training was made by: enough to make it again on other weeks.

    Attributes:
        kind: that served.
        features: that were trained on, in their order.
        params: hyper-parameters.
        code: hash of the code that trains and of the SQL of the features.
    """

    kind: Kind
    features: tuple[str, ...]
    params: Mapping[str, Any]
    code: str

    @property
    def hash(self) -> str:
        """SHA-256 over features, parameters and code, hexadecimal; the kind is what came of them."""
        return sha256(
            json_text([list(self.features), dict(self.params), self.code], sort_keys=True).encode()
        ).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "features": list(self.features),
            "params": dict(self.params),
            "code": self.code,
            "hash": self.hash,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RecipeFacts:
        return cls(values["kind"], tuple(values["features"]), dict(values["params"]), values["code"])

    def differs(self, other: RecipeFacts) -> bool:
        """Whether it has other features or parameters. Other code alone cannot be run again, so there is nothing to compare."""
        return (self.features, dict(self.params)) != (other.features, dict(other.params))


@dataclass(frozen=True)
class SliceFacts:
    """What a slice held: its Mondays, and how many rows, customers, positive rows and distinct positive customers."""

    first: date
    last: date
    rows: int
    customers: int
    positives: int
    positive_customers: int


@dataclass(frozen=True)
class TestSlice:
    """The rows of the newest test block, ordered by snapshot_date and customer_id.

    Attributes:
        frame: features and keys as they came.
        label: 0 or 1, shape (rows,).
        probability: the twin's, shape (rows,).
        baselines: scores of ``rule`` (0 or 1) and of the kinds that do not serve (probabilities), each of shape (rows,).
    """

    frame: pd.DataFrame
    label: NDArray[np.float64]
    probability: NDArray[np.float64]
    baselines: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Judgement:
    """What the test weeks said.

    Attributes:
        twin: the model that was judged.
        test: the rows of the newest block; all figures are about them.
        metrics: the twin's figures.
        baselines: figures of ``rule`` (ranking only), ``constant`` (the base rate) and the kinds that do not serve, on the same rows.
        differences: for each baseline but the constant, the twin minus the baseline, paired by resample, for AUC and average precision.
        calibration: reliability table (`evaluate.calibration_table`).
        business: the figures at the flag that the business asked for, with the ceiling (`business_targets`).
        choice: how the kind was chosen, on all blocks.
        against_constant: log loss of the twin minus that of the constant, on all blocks.
        against_former: log loss of the twin minus that of the former recipe, refitted on the same rows; None where it is the same recipe, or
            there is none.
        blocks: all test blocks.
    """

    twin: ScoringModel
    test: TestSlice
    metrics: Mapping[str, Estimate]
    baselines: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Mapping[str, Estimate]]
    calibration: list[dict[str, float]]
    business: BusinessTargets
    choice: Choice
    against_constant: Difference
    against_former: Difference | None
    blocks: tuple[Span, ...]


@dataclass(frozen=True)
class TrainingResult:
    """Everything that one training found out.

    Attributes:
        target: what is predicted.
        training_monday: T.
        model: the version to register and to score with.
        slices: facts of the slices there are, of ``train``, ``test`` (the twin) and ``refit_train``.
        judged: what the test weeks said; None where there were none to judge by.
        recipe: what it was made by.
        importance: mean absolute contribution of each feature to the registered model, log-odds, largest first.
        next_rung: what it would take to reach a better kind of model; None where there is none.
        notices: what a person should know: features taken out, columns that were empty, seasons not seen.
        share: of all customers, those that it looked at; below 1 in a large book.
    """

    target: Target
    training_monday: date
    model: ScoringModel
    slices: Mapping[str, SliceFacts]
    judged: Judgement | None
    recipe: RecipeFacts
    importance: Mapping[str, float]
    next_rung: str | None
    notices: tuple[str, ...]
    share: float = 1.0

    @property
    def kind(self) -> Kind:
        return self.model.kind

    @property
    def n_trees(self) -> int:
        """0 without trees."""
        return self.model.booster.num_boosted_rounds() if self.model.booster is not None else 0


def fit(
    target: Target,
    frame: pd.DataFrame,
    training_monday: date,
    catalogue: Catalogue,
    settings: Settings,
    histories: Collection[History],
    *,
    recipe: Recipe = RECIPE,
    recent: Mapping[date, pd.DataFrame] | None = None,
    code: str = "",
    former: RecipeFacts | None = None,
    share: float = 1.0,
) -> TrainingResult:
    """Trains, chooses, calibrates and evaluates the model of one training Monday.

    With ``min_train_churners`` and ``min_test_churners`` positive customers, logistic regression, trees and their mean are judged; with
    ``SMALL_TRAIN`` and ``SMALL_TEST``, a logistic regression of a few strong features is fitted.

    Args:
        target: what is predicted.
        frame: snapshots whose labels are closed, with snapshot_date, customer_id, label (0 or 1), the catalogue's features.
            Training rows may already be thinned out by `slices.stagger_offsets`, those of older blocks
            to one in ``BLOCK_WEEKS``; those of the newest block must be whole. A feature that is not a column is treated as empty.
        training_monday: T. Rows whose labels were not closed at T lie in no slice.
        catalogue: the features of the mart, without those that the guard took out.
        settings: for the minimum counts, the seed, the threads and the number of resamples.
        histories: whether past tiers and revenue are known (or trusted); features that need another one are not trained on.
        recipe: hyper-parameters.
        recent: by Monday what had happened until then in windows that were still open (`frames.recent_frame`): of T, and of the Monday
            with which the twin's test blocks begin. Without them the level is that of the closed weeks alone.
        code: hash of the code, for the recipe.
        former: the recipe that served so far; where it differs it is refitted on the twin's slices and compared.
        share: of all customers, those whose rows these are (`frames.sample_of`).

    Raises:
        RefusedError: no such model, and why: too little time, too few positive customers, or nothing that ranks customers it did not
            see better than backwards.
        InputError: a feature's values are not what the catalogue declares.
    """
    first = pd.Timestamp(frame["snapshot_date"].min()).date() if len(frame) else training_monday
    twin_spans, refit_spans = (slices(target, training_monday, first) for slices in (twin_slices, refit_slices))
    train, refit = (training_rows(frame, spans.train, target) for spans in (twin_spans, refit_spans))
    test = rows_of(frame, twin_spans.test)
    blocks = pd.concat([block_rows(frame, span) for span in twin_spans.blocks], ignore_index=True)
    kinds, next_rung = _supported(target, train, blocks, settings)

    trained = catalogue.trained(histories)
    notices = []
    if untrusted := [name for name in catalogue.names if name not in trained]:
        notices.append(
            f"not trained on {', '.join(untrusted)}: there is no history of it, so a past snapshot would show today's value; set "
            "CHURN_TRUST_STATIC_PLAN if it never changes"
        )
    if not any(column in frame.columns for column in target.rule.columns):
        notices.append(
            f"the baseline '{target.rule.text}' ranks like chance: no column {' or '.join(target.rule.columns)}"
        )
    if unseen := _unseen_season(refit_spans.train, training_monday, target):
        notices.append(unseen)

    trainer = _Trainer(target, training_monday, trained, settings, recipe, recent or {}, few=kinds == ("logistic",))
    twins = trainer.fit(train, twin_spans, kinds, None)
    rows = judged_rows(blocks, twin_spans)
    if not len(rows):
        raise RefusedError(f"no model: {target.name} has test blocks of one class only, so that nothing can be judged")
    losses = {kind: rows.losses(log_odds_of(model, blocks)) for kind, model in twins.models.items()}
    choice = choose(rows, losses)
    registered = trainer.fit(refit, refit_spans, (choice.kind,), twins.n_trees)
    model = registered.models[choice.kind]
    # Which few features a small model takes is what came of the recipe, and differs from one training to the next.
    learned_from = trainer.catalogue if trainer.few else model.catalogue
    facts = RecipeFacts(choice.kind, tuple(learned_from.names), trainer.params, code)
    constant = rows.losses(np.zeros(len(blocks)))
    if moved := _moved_level(model):
        notices.append(moved)
    return TrainingResult(
        target=target,
        training_monday=training_monday,
        model=model,
        slices={
            "train": facts_of(twin_spans.train, train),
            "test": facts_of(twin_spans.test, test),
            "refit_train": facts_of(refit_spans.train, refit),
        },
        judged=judge(
            twins.models,
            choice,
            test,
            float(train.loc[twin_spans.calibration.rows(train), "label"].mean()),
            settings,
            share=share,
            against_constant=rows.difference(losses[choice.kind], constant),
            against_former=_against(trainer, former, facts, train, twin_spans, blocks, rows, losses[choice.kind]),
            blocks=twin_spans.blocks,
        ),
        recipe=facts,
        importance=importance(model, test),
        next_rung=next_rung,
        notices=tuple(dict.fromkeys((*notices, *twins.notices, *registered.notices))),
        share=share,
    )


def needed_customers(settings: Settings) -> tuple[tuple[int, int], tuple[int, int]]:
    """How many distinct positive customers the training and the test weeks need: for a small logistic regression, and for all kinds."""
    full = (settings.min_train_churners, settings.min_test_churners)
    # A home may ask for less than is usual, and then a small model is no rung of its own.
    return (min(SMALL_TRAIN, full[0]), min(SMALL_TEST, full[1])), full


def fit_kinds(
    result: TrainingResult,
    frame: pd.DataFrame,
    catalogue: Catalogue,
    settings: Settings,
    recent: Mapping[date, pd.DataFrame] | None = None,
) -> Mapping[Kind, ScoringModel]:
    """Every kind that a training chose between, as it would have been registered; on a lower rung the one that there is.

    Args:
        result: of the training.
        frame: that it was made from.
        catalogue: all features of the mart.
        settings: as for the training.
        recent: as for the training.
    """
    if result.kind not in JUDGED or result.next_rung is not None:
        return {result.kind: result.model}
    first = pd.Timestamp(frame["snapshot_date"].min()).date()
    spans = refit_slices(result.target, result.training_monday, first)
    others = [name for name in catalogue.names if name not in result.recipe.features]
    trainer = _Trainer(result.target, result.training_monday, catalogue.without(others), settings, RECIPE, recent or {})
    return trainer.fit(training_rows(frame, spans.train, result.target), spans, JUDGED, result.n_trees or None).models


def importance(model: ScoringModel, rows: pd.DataFrame) -> dict[str, float]:
    """Mean absolute contribution by feature, log-odds, largest first; {} without rows."""
    if not len(rows):
        return {}
    # Every k-th row: means of absolute contributions settle long before 4,000 rows, and TreeSHAP is the slow part.
    contributions, _ = model.contributions(rows.iloc[:: max(1, len(rows) // 4000)])
    mean = np.abs(contributions).mean(axis=0)
    return {model.catalogue.names[position]: float(mean[position]) for position in np.argsort(-mean, kind="stable")}


def _supported(
    target: Target, train: pd.DataFrame, blocks: pd.DataFrame, settings: Settings
) -> tuple[tuple[Kind, ...], str | None]:
    """The kinds that there are customers enough for, and what it would take to have more of them."""
    there = (positive_customers_of(train), positive_customers_of(blocks))
    noun = "departures" if target.event == "churn" else "upgrades"

    def missing(needed: tuple[int, int]) -> str:
        return (
            f"{needed[0]:,} {noun} in the training weeks (there are {there[0]:,}) and {needed[1]:,} in the test weeks "
            f"(there are {there[1]:,})"
        )

    small, full = needed_customers(settings)
    if there[0] >= full[0] and there[1] >= full[1]:
        return JUDGED, None
    if there[0] >= small[0] and there[1] >= small[1]:
        return ("logistic",), f"boosted trees need {missing(full)}"
    raise RefusedError(f"no model: {target.name} needs {missing(small)}")


def _moved_level(model: ScoringModel) -> str | None:
    """What to say where the level of the last weeks is not that of the year."""
    ratio, (low, high) = model.metadata["recent_ratio"], _STEADY
    if low <= ratio <= high:
        return None
    noun = "departures" if model.target.event == "churn" else "upgrades"
    return (
        f"of late there were {ratio:.2f} times as many {noun} as the level of the closed year gives, and the probabilities follow: look "
        "whether the book has changed, or whether some of them are booked late"
    )


def _unseen_season(train: Span, training_monday: date, target: Target) -> str | None:
    """What to say where the weeks ahead lie in a part of the year that no closed week saw."""
    weeks = (train.last - train.first) // WEEK + 1 + target.horizon_weeks
    if weeks >= CALIBRATION_WEEKS:
        return None
    return (
        f"its weeks reach from {train.first} to {train.last}, less than a year: the season from {training_monday} on was never seen, so "
        "the level of its probabilities may be off, and their order less so"
    )


@dataclass(frozen=True)
class _HeldOut:
    """The rows that calibration looks at: of the closed year, then those whose windows are still open.

    Attributes:
        matrix: features, shape (rows, features).
        label: 0 or 1, shape (rows,); of an open window so far.
        fold: of their customers, shape (rows,).
        closed: how many of them are of the closed year.
    """

    matrix: Matrix
    label: NDArray[np.float64]
    fold: NDArray[np.intp]
    closed: int


@dataclass(frozen=True)
class _Happened:
    """What happened in the windows of those rows, each of shape (rows,); see `recent_ratio`."""

    label: NDArray[np.float64]
    seen: NDArray[np.float64]
    age_weeks: NDArray[np.float64]

    @classmethod
    def of(cls, target: Target, as_of: date, closed: pd.DataFrame, recent: pd.DataFrame) -> _Happened:
        """Of closed rows the whole window was seen, of recent ones ``seen_days``."""
        days = np.concatenate(
            [
                np.full(len(closed), float(target.horizon_days)),
                recent["seen_days"].to_numpy(dtype=np.float64) if len(recent) else np.zeros(0),
            ]
        )
        snapshots = pd.to_datetime(pd.concat([closed["snapshot_date"], recent["snapshot_date"]]))
        age = (pd.Timestamp(as_of) - snapshots).dt.days.to_numpy(dtype=np.float64) - days / 2
        label = np.concatenate([closed["label"].to_numpy(dtype=np.float64), recent["label"].to_numpy(dtype=np.float64)])
        return cls(label, days / target.horizon_days, age / 7)

    def ratio(self, probability: NDArray[np.float64]) -> float:
        return recent_ratio(probability, self.label, self.seen, self.age_weeks)


@dataclass(frozen=True)
class _Fitted:
    models: Mapping[Kind, ScoringModel]
    n_trees: int | None
    notices: tuple[str, ...]


@dataclass(frozen=True)
class _Made:
    """What was learned from some rows.

    Attributes:
        unseen: by part of a model its log-odds of the rows held out, of which no customer was seen; shape (rows held out,).
        booster: the trees of all rows; None without.
        linear: the linear sum of all rows, with the encoder of its features; None without.
        n_trees: None without trees.
    """

    unseen: Mapping[str, NDArray[np.float64]]
    booster: xgb.Booster | None
    linear: tuple[Encoder, Linear] | None
    n_trees: int | None


@dataclass(frozen=True)
class _Trainer:
    """The recipe, applied to whatever slices it is given.

    Attributes:
        few: whether logistic regression takes a few strong features only.
    """

    target: Target
    training_monday: date
    catalogue: Catalogue
    settings: Settings
    recipe: Recipe
    recent: Mapping[date, pd.DataFrame]
    few: bool = False

    @property
    def params(self) -> dict[str, Any]:
        return asdict(self.recipe) | {"seed": self.settings.seed, "few": self.few}

    @property
    def booster_params(self) -> dict[str, Any]:
        recipe = asdict(self.recipe)
        ours = ("min_trees", "max_trees", "patience", "ridge", "departures_a_feature")
        return {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "seed": self.settings.seed,
            **{name: recipe[name] for name in recipe if name not in ours},
        }

    def fit(self, train: pd.DataFrame, spans: Slices, kinds: Sequence[Kind], n_trees: int | None) -> _Fitted:
        """Fits and calibrates some kinds on the same rows; with ``n_trees`` None, early stopping decides the number of trees.

        Raises:
            RefusedError: none of them ranks customers that it did not see.
        """
        empty = [n for n in self.catalogue.names if n not in train.columns or train[n].isna().all()]
        catalogue = self.catalogue.without(empty)
        if not len(catalogue):
            raise RefusedError(f"no model: {self.target.name} has no feature with a value in the training slice")
        notices = (f"not trained on {', '.join(empty)}: empty in the whole training slice",) if empty else ()
        encoder = Encoder.learn(train, catalogue)
        matrix, label = encoder.matrix(train), train["label"].to_numpy(dtype=np.float64)
        as_of = spans.train.last + self.target.closing_weeks * WEEK
        recent = self.recent.get(as_of, train[:0])
        rows = len(train)
        customers, names = pd.factorize(pd.concat([train["customer_id"], recent["customer_id"]]))
        fold = fold_of(map(str, names))[customers]
        window = spans.calibration.rows(train)
        held_out = _HeldOut(
            np.vstack([matrix[window], encoder.matrix(recent)]),
            np.concatenate([label[window], recent["label"].to_numpy(dtype=np.float64)]),
            np.concatenate([fold[:rows][window], fold[rows:]]),
            closed=int(window.sum()),
        )
        customers, fold = customers[:rows], fold[:rows]
        happened = _Happened.of(self.target, as_of, train[window], recent)

        parts = {part for kind in kinds for part in _PARTS[kind]}
        made = self._made(encoder, matrix, label, customers, fold, held_out, n_trees, parts)
        unseen, booster, fitted, n_trees = made.unseen, made.booster, made.linear, made.n_trees

        models: dict[Kind, ScoringModel] = {}
        problems: list[RefusedError] = []
        positive = len(np.unique(customers[window & (label == 1)]))
        for kind in kinds:
            margin = np.mean([unseen[part] for part in ("trees", "linear") if part in _PARTS[kind]], axis=0)
            try:
                yearly = calibrate(margin[: held_out.closed], label[window], positive)
            except RefusedError as problem:
                problems.append(problem)
                continue
            ratio = happened.ratio(yearly.probability(margin))
            platt = at_ratio(yearly, margin[: held_out.closed], ratio)
            with_trees, with_linear = "trees" in _PARTS[kind], "linear" in _PARTS[kind]
            chosen = fitted[0] if fitted is not None and with_linear and not with_trees else encoder
            models[kind] = self._model(
                kind,
                booster if with_trees else None,
                fitted[1] if fitted is not None and with_linear else None,
                platt,
                chosen,
                spans,
                ratio,
            )
        if not models:
            raise problems[0]
        return _Fitted(models, n_trees, notices)

    def _model(
        self,
        kind: Kind,
        booster: xgb.Booster | None,
        linear: Linear | None,
        platt: Platt,
        encoder: Encoder,
        spans: Slices,
        ratio: float,
    ) -> ScoringModel:
        facts: dict[str, Any] = {
            "train": str(spans.train),
            "calibration": str(spans.calibration),
            "recent_ratio": round(ratio, 3),
            "test": str(spans.judged) if spans.blocks else None,
        }
        if booster is not None:
            import xgboost as xgb

            facts |= {"trees": booster.num_boosted_rounds(), "xgboost": xgb.__version__}
        return ScoringModel(
            target=self.target,
            training_monday=self.training_monday,
            booster=booster,
            linear=linear,
            kind=kind,
            platt=platt,
            encoder=encoder,
            metadata=facts,
            threads=self.settings.threads,
            device=self.settings.device if booster is not None else "cpu",
        )

    def _made(
        self,
        encoder: Encoder,
        matrix: Matrix,
        label: NDArray[np.float64],
        customers: NDArray[np.intp],
        fold: NDArray[np.intp],
        held_out: _HeldOut,
        n_trees: int | None,
        parts: Collection[str],
    ) -> _Made:
        """Trees and linear sums: those of each fold, for the rows held out, and those of all rows. Side by side, one booster a thread.

        On a few ten thousand rows two boosters on a thread each take little more than half the time of one after the other on two threads
        each, and every model is the same on any number of threads.
        """
        from threadpoolctl import threadpool_limits

        trees, linear = "trees" in parts, "linear" in parts
        workers = 1 if self.settings.device != "cpu" else min(self.settings.threads, FOLDS + 1)
        threads = self._threads(len(label), workers)
        params = self._tree_params(encoder, threads)
        rounds: Future[int] = Future()
        if n_trees is not None:
            rounds.set_result(n_trees)
        # BLAS sums in another order on another number of threads, and the limit is one for the whole process: a linear sum that is ready
        # would lift it for one that is not.
        with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
            try:
                # In this order: with one worker the number of trees is known before the last booster begins, which waits for it.
                folds = [
                    pool.submit(self._boost_fold, params, encoder, matrix, label, fold, held_out, number, rounds)
                    for number in range(FOLDS if trees else 0)
                ]
                whole = pool.submit(self._boost, params, encoder, matrix, label, rounds) if trees else None
                linear_folds = [
                    pool.submit(self._linear_fold, encoder, matrix, label, customers, fold, held_out, number)
                    for number in range(FOLDS if linear else 0)
                ]
                sums = pool.submit(self._linear, encoder, matrix, label, customers) if linear else None
                unseen: dict[str, NDArray[np.float64]] = {}
                if trees:
                    boosters = [each.result() for each in folds]
                    if n_trees is None:
                        best = [booster.best_iteration + 1 for booster in boosters]
                        n_trees = max(round(sum(best) / len(best)), self.recipe.min_trees)
                        rounds.set_result(n_trees)
                    unseen["trees"] = np.zeros(len(held_out.fold))
                    for number, booster in enumerate(boosters):
                        rows = held_out.fold == number
                        data = encoder.dmatrix(held_out.matrix[rows], threads=self.settings.threads)
                        up_to = (0, min(n_trees, booster.num_boosted_rounds()))
                        unseen["trees"][rows] = booster.predict(data, output_margin=True, iteration_range=up_to)
                if linear:
                    unseen["linear"] = np.zeros(len(held_out.fold))
                    for number, each in enumerate(linear_folds):
                        unseen["linear"][held_out.fold == number] = each.result()
                return _Made(
                    unseen,
                    whole.result() if whole is not None else None,
                    sums.result() if sums is not None else None,
                    n_trees if trees else None,
                )
            except BaseException as error:
                # What waits for the number of trees would wait for ever, and what has not begun need not begin.
                if not rounds.done():
                    rounds.set_exception(error)
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _boost_fold(
        self,
        params: Mapping[str, Any],
        encoder: Encoder,
        matrix: Matrix,
        label: NDArray[np.float64],
        fold: NDArray[np.intp],
        held_out: _HeldOut,
        number: int,
        rounds: Future[int],
    ) -> xgb.Booster:
        """Trees that did not see the customers of one fold; where the number of trees is not known yet, until those are foreseen no better."""
        import xgboost as xgb

        rest = fold != number
        dtrain = encoder.dmatrix(matrix[rest], label[rest], params["nthread"])
        if rounds.done():
            return xgb.train(dict(params), dtrain, rounds.result(), verbose_eval=False)
        judged = held_out.fold == number
        # Windows that are still open have no label that a loss could be taken of.
        judged[held_out.closed :] = False
        unseen = encoder.dmatrix(held_out.matrix[judged], held_out.label[judged], params["nthread"])
        return xgb.train(
            {**params, "eval_metric": "logloss"},
            dtrain,
            self.recipe.max_trees,
            evals=[(unseen, "unseen")],
            callbacks=[_stopping(self.recipe)],
            verbose_eval=False,
        )

    def _boost(
        self,
        params: Mapping[str, Any],
        encoder: Encoder,
        matrix: Matrix,
        label: NDArray[np.float64],
        rounds: Future[int],
    ) -> xgb.Booster:
        """Trees of all rows. Where their number is not known yet it begins with those that there are at least."""
        import xgboost as xgb

        dtrain = encoder.dmatrix(matrix, label, params["nthread"])
        if rounds.done():
            return xgb.train(dict(params), dtrain, rounds.result(), verbose_eval=False)
        return xgb.train(
            dict(params),
            dtrain,
            self.recipe.max_trees,
            callbacks=[_as_many_as(rounds, self.recipe.min_trees)],
            verbose_eval=False,
        )

    def _threads(self, rows: int, boosters: int) -> int:
        """Of one booster beside others. The trees are the same on any number; on few rows a second one only waits for the first."""
        return max(1, self.settings.threads // boosters) if rows >= _ROWS_FOR_THREADS else 1

    def _tree_params(self, encoder: Encoder, threads: int) -> dict[str, Any]:
        return self.booster_params | {
            "nthread": threads,
            "device": self.settings.device,
            "monotone_constraints": tuple(_CONSTRAINTS[feature.direction] for feature in encoder.catalogue),
        }

    def _linear_fold(
        self,
        encoder: Encoder,
        matrix: Matrix,
        label: NDArray[np.float64],
        customers: NDArray[np.intp],
        fold: NDArray[np.intp],
        held_out: _HeldOut,
        number: int,
    ) -> NDArray[np.float64]:
        """Log-odds of the rows held out of one fold, by a logistic regression that did not see their customers."""
        rest = fold != number
        small, linear = self._linear(encoder, matrix[rest], label[rest], customers[rest])
        return linear.log_odds(small, _columns(encoder, small, held_out.matrix[held_out.fold == number]))

    def _linear(
        self, encoder: Encoder, matrix: Matrix, label: NDArray[np.float64], customers: NDArray[np.intp]
    ) -> tuple[Encoder, Linear]:
        """A logistic regression, with the encoder of the features that it has."""
        small = encoder
        if self.few:
            positive = len(np.unique(customers[label == 1]))
            names = strongest(encoder, matrix, label, max(1, positive // self.recipe.departures_a_feature))
            # Without any that tells something, one is as good as another: its weight is next to nothing.
            small = _only(encoder, names or encoder.catalogue.names[:1])
        return small, Linear.fit(small, _columns(encoder, small, matrix), label, ridge=self.recipe.ridge)


_PARTS: dict[Kind, tuple[str, ...]] = {"logistic": ("linear",), "trees": ("trees",), "mean": ("trees", "linear")}


def _only(encoder: Encoder, names: Collection[str]) -> Encoder:
    catalogue = encoder.catalogue.without([name for name in encoder.catalogue.names if name not in names])
    return Encoder(catalogue, {name: values for name, values in encoder.categories.items() if name in names})


def _columns(encoder: Encoder, small: Encoder, matrix: Matrix) -> Matrix:
    """The columns that the small encoder has, of a matrix that the other one encoded."""
    position = {name: place for place, name in enumerate(encoder.catalogue.names)}
    return matrix[:, [position[name] for name in small.catalogue.names]]


def log_odds_of(model: ScoringModel, frame: pd.DataFrame) -> NDArray[np.float64]:
    return model.platt.log_odds(model.raw(frame))


def judged_rows(blocks: pd.DataFrame, spans: Slices) -> JudgedRows:
    days = pd.to_datetime(blocks["snapshot_date"])
    starts = pd.to_datetime(pd.Series([span.first for span in spans.blocks]))
    number = np.searchsorted(starts.to_numpy(), days.to_numpy(), side="right") - 1
    return JudgedRows.of(blocks["label"], number, pd.factorize(blocks["customer_id"])[0])


def _against(
    trainer: _Trainer,
    former: RecipeFacts | None,
    facts: RecipeFacts,
    train: pd.DataFrame,
    spans: Slices,
    blocks: pd.DataFrame,
    rows: JudgedRows,
    losses: NDArray[np.float64],
) -> Difference | None:
    """The challenger's log loss minus that of the former recipe, both fitted on the twin's slices."""
    if former is None or former.kind not in _PARTS or not facts.differs(former):
        return None
    known = [name for name in trainer.catalogue.names if name in former.features]
    if not known:
        return None
    names = set(Recipe.__dataclass_fields__)
    again = replace(
        trainer,
        catalogue=trainer.catalogue.without([name for name in trainer.catalogue.names if name not in known]),
        recipe=Recipe(**{name: value for name, value in former.params.items() if name in names}),
        few=bool(former.params.get("few", False)),
    )
    try:
        theirs = again.fit(train, spans, (former.kind,), None).models[former.kind]
    except RefusedError:
        return None
    return rows.difference(losses, rows.losses(log_odds_of(theirs, blocks)))


def judge(
    twins: Mapping[Kind, ScoringModel],
    choice: Choice,
    test: pd.DataFrame,
    known_rate: float,
    settings: Settings,
    *,
    share: float = 1.0,
    against_constant: Difference,
    against_former: Difference | None,
    blocks: tuple[Span, ...],
) -> Judgement:
    """Figures of the twin, of each baseline, and the twin minus each baseline, all on the same resamples.

    Of a sample of the customers the list is as much shorter, so that its figures are estimates of those of the whole book.
    """
    twin = twins[choice.kind]
    judged = TestSlice(
        test,
        test["label"].to_numpy(dtype=np.float64),
        twin.probability(test),
        {
            "rule": rule_score(test, twin.target.rule),
            **{kind: model.probability(test) for kind, model in twins.items() if kind != choice.kind},
        },
    )
    week = test["snapshot_date"].to_numpy()
    resamples = Resamples.draw(test["customer_id"], settings.bootstrap_replicates, settings.seed)

    def forecast(probability: NDArray[np.float64]) -> Evaluation:
        return evaluate(judged.label, probability, week, resamples, known_rate, TOP_PER_WEEK * share)

    model = forecast(judged.probability)
    baselines = {
        name: evaluate_ranking(judged.label, score, week, resamples, TOP_PER_WEEK * share)
        if name == "rule"
        else forecast(score)
        for name, score in judged.baselines.items()
    }
    baselines["constant"] = forecast(np.full(len(test), known_rate))
    metrics = model.estimates()
    return Judgement(
        twin=twin,
        test=judged,
        metrics=metrics,
        baselines={name: baseline.estimates() for name, baseline in baselines.items()},
        differences={
            name: {metric: model.minus(baseline, metric) for metric in ("auc", "average_precision")}
            for name, baseline in baselines.items()
            if name != "constant"
        },
        calibration=calibration_table(judged.label, judged.probability),
        business=business_targets(metrics, judged.probability),
        choice=choice,
        against_constant=against_constant,
        against_former=against_former,
        blocks=blocks,
    )


def _stopping(recipe: Recipe) -> xgb.callback.EarlyStopping:
    import xgboost as xgb

    class Patient(xgb.callback.EarlyStopping):
        """Early stopping that does not begin before the recipe's floor, so that no booster has to be trained twice."""

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return bool(super().after_iteration(model, epoch, evals_log)) and epoch + 1 >= recipe.min_trees

    return Patient(rounds=recipe.patience)


def _as_many_as(rounds: Future[int], at_least: int) -> xgb.callback.TrainingCallback:
    """Stops at a number of trees that is found out meanwhile, and is not below ``at_least``."""
    import xgboost as xgb

    class AsMany(xgb.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return epoch + 1 >= at_least and epoch + 1 >= rounds.result()

    return AsMany()


def rows_of(frame: pd.DataFrame, span: Span) -> pd.DataFrame:
    """The rows of a span in the one order that training depends on: row subsampling draws by position."""
    return frame[span.rows(frame)].sort_values(["snapshot_date", "customer_id"], kind="stable", ignore_index=True)


def training_rows(frame: pd.DataFrame, span: Span, target: Target) -> pd.DataFrame:
    rows = rows_of(frame, span)
    return rows[staggered(rows, target.stagger_weeks)].reset_index(drop=True)


def block_rows(frame: pd.DataFrame, span: Span) -> pd.DataFrame:
    """One row a customer: the snapshots of a block repeat each other, and rows alike are no more evidence."""
    rows = rows_of(frame, span)
    return rows[staggered(rows, BLOCK_WEEKS)].reset_index(drop=True)


def positive_customers_of(rows: pd.DataFrame) -> int:
    return int(rows.loc[rows["label"] == 1, "customer_id"].nunique())


def facts_of(span: Span, rows: pd.DataFrame) -> SliceFacts:
    return SliceFacts(
        first=span.first,
        last=span.last,
        rows=len(rows),
        customers=int(rows["customer_id"].nunique()),
        positives=int(rows["label"].sum()),
        positive_customers=positive_customers_of(rows),
    )
