"""One training: the twin that is judged, and the version that scores.

Both follow one recipe. The twin leaves the newest closed weeks aside as a test and yields every figure; it also decides how many trees
there are. The version that is registered repeats the recipe, with that number of trees, on weeks the twin was not allowed to see.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import Target
from churn_pipeline.features.catalogue import Catalogue, History
from churn_pipeline.features.splits import Slices, Span, refit_slices, staggered, twin_slices
from churn_pipeline.modeling.baselines import Logistic, rule_score
from churn_pipeline.modeling.calibrate import fit_platt, sigmoid
from churn_pipeline.modeling.encode import Encoder
from churn_pipeline.modeling.evaluate import (
    BusinessTargets,
    Estimate,
    Evaluation,
    Resamples,
    business_targets,
    calibration_table,
    evaluate,
    evaluate_ranking,
)
from churn_pipeline.modeling.guard import revenue_zeroed
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
        min_trees: what early stopping cannot go below. In a seasonal business the calibration weeks differ from the training weeks, and
            log loss stops falling while the ranking still improves: on OULAD, at a step size of 0.05, it stopped at 1 to 25 trees before the
            new year, with an AUC of 0.63 to 0.70 where 120 trees reach 0.69 and 250 trees 0.70.
        max_trees: bound of early stopping, and of what explaining a customer may cost.
        patience: rounds without a better calibration slice before it stops.
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


RECIPE = Recipe()
_CONSTRAINTS = {"increasing": 1, "decreasing": -1, None: 0}


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
    """The rows that the twin was judged on, ordered by snapshot_date and customer_id.

    Attributes:
        frame: features and keys as they came.
        label: 0 or 1, shape (rows,).
        probability: the twin's, shape (rows,).
        baselines: scores of ``rule`` (0 or 1) and ``logistic`` (probability), each of shape (rows,).
    """

    frame: pd.DataFrame
    label: NDArray[np.float64]
    probability: NDArray[np.float64]
    baselines: Mapping[str, NDArray[np.float64]]

    def rows(self, wanted: NDArray[np.bool_]) -> TestSlice:
        return TestSlice(
            self.frame[wanted],
            self.label[wanted],
            self.probability[wanted],
            {name: score[wanted] for name, score in self.baselines.items()},
        )


@dataclass(frozen=True)
class TrainingResult:
    """Everything that one training found out.

    Attributes:
        target: what is predicted.
        training_monday: T.
        slices: facts of ``train``, ``calibration``, ``test`` (the twin) and ``refit_train``, ``refit_calibration``.
        metrics: the twin's figures on the test slice.
        baselines: figures of ``rule`` (ranking only), ``logistic`` and ``constant`` (the base rate) on the same rows.
        differences: for each baseline, the twin minus the baseline, paired by resample, for AUC and average precision.
        calibration: reliability table of the twin on the test slice (`evaluate.calibration_table`).
        business: the figures at the flag that the business asked for, with the ceiling (`business_targets`).
        params: what XGBoost was given.
        n_trees: of both fits.
        model: the version to register and to score with.
        twin: the model that was judged.
        test: the rows it was judged on.
        importance: mean absolute contribution of each feature to the registered model on the test rows, log-odds, largest first.
        notices: what a person should know: features taken out, columns that were empty.
    """

    target: Target
    training_monday: date
    slices: Mapping[str, SliceFacts]
    metrics: Mapping[str, Estimate]
    baselines: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Mapping[str, Estimate]]
    calibration: list[dict[str, float]]
    business: BusinessTargets
    params: Mapping[str, Any]
    n_trees: int
    model: ScoringModel
    twin: ScoringModel
    test: TestSlice
    importance: Mapping[str, float]
    notices: tuple[str, ...]


def fit(
    target: Target,
    frame: pd.DataFrame,
    training_monday: date,
    catalogue: Catalogue,
    settings: Settings,
    histories: Collection[History],
    recipe: Recipe = RECIPE,
) -> TrainingResult:
    """Trains, calibrates and evaluates the model of one training Monday.

    Args:
        target: what is predicted.
        frame: snapshots whose labels are closed, with snapshot_date, customer_id, label (0 or 1), the catalogue's features, and mrr and
            plan_tier for the guard. Rows of the training slices may already be thinned out by `slices.stagger_offsets`; those of the
            calibration and test slices must be whole. A feature that is not a column is treated as empty.
        training_monday: T. Rows whose labels were not closed at T lie in no slice.
        catalogue: all features of the mart.
        settings: for the minimum counts, the seed, the threads and the number of resamples.
        histories: whether past tiers and revenue are known (or trusted); features that need another one are not trained on.
        recipe: hyper-parameters.

    Raises:
        RefusedError: no model, and why: too little time, too few positive customers, or a calibration slope that is not positive.
        InputError: a feature's values are not what the catalogue declares.
    """
    made = _fit_pair(target, frame, training_monday, catalogue, settings, histories, recipe)
    twin, registered, test = made.twin, made.registered, made.rows["test"]
    notices = list(made.notices)
    if not any(column in frame.columns for column in target.rule.columns):
        notices.append(
            f"the baseline '{target.rule.text}' ranks like chance: no column {' or '.join(target.rule.columns)}"
        )

    assert twin.logistic is not None
    judged = TestSlice(
        test,
        test["label"].to_numpy(dtype=np.float64),
        twin.model.probability(test),
        {
            "rule": rule_score(test, target.rule),
            "logistic": sigmoid(twin.logistic.log_odds(twin.model.encoder.matrix(test))),
        },
    )
    metrics, baselines, differences = _compare(judged, float(made.rows["calibration"]["label"].mean()), settings)
    return TrainingResult(
        target=target,
        training_monday=training_monday,
        slices={name: _facts(made.spans[name], rows) for name, rows in made.rows.items()},
        metrics=metrics,
        baselines=baselines,
        differences=differences,
        calibration=calibration_table(judged.label, judged.probability),
        business=business_targets(metrics, judged.probability),
        params=made.params
        | {"min_trees": recipe.min_trees, "max_trees": recipe.max_trees, "patience": recipe.patience},
        n_trees=twin.n_trees,
        model=registered.model,
        twin=twin.model,
        test=judged,
        importance=_importance(registered.model, test),
        notices=tuple(notices),
    )


def fit_registered(
    target: Target,
    frame: pd.DataFrame,
    training_monday: date,
    catalogue: Catalogue,
    settings: Settings,
    histories: Collection[History],
    recipe: Recipe = RECIPE,
) -> ScoringModel:
    """The model that `fit` would register, to the bit, without judging it. Arguments and errors are those of `fit`."""
    return _fit_pair(target, frame, training_monday, catalogue, settings, histories, recipe).registered.model


@dataclass(frozen=True)
class _Both:
    """The twin and the registered version, with the slices they were made from, by name."""

    twin: _Fitted
    registered: _Fitted
    spans: Mapping[str, Span]
    rows: Mapping[str, pd.DataFrame]
    params: dict[str, Any]
    notices: tuple[str, ...]


def _fit_pair(
    target: Target,
    frame: pd.DataFrame,
    training_monday: date,
    catalogue: Catalogue,
    settings: Settings,
    histories: Collection[History],
    recipe: Recipe,
) -> _Both:
    first = pd.Timestamp(frame["snapshot_date"].min()).date() if len(frame) else training_monday
    twin_spans, refit_spans = (slices(target, training_monday, first) for slices in (twin_slices, refit_slices))
    assert twin_spans.test is not None
    spans = {
        "train": twin_spans.train,
        "calibration": twin_spans.calibration,
        "test": twin_spans.test,
        "refit_train": refit_spans.train,
        "refit_calibration": refit_spans.calibration,
    }
    rows = {
        name: _training_rows(frame, span, target) if name.endswith("train") else _rows(frame, span)
        for name, span in spans.items()
    }
    _enough(target, rows["train"], "training", settings.min_train_churners)
    _enough(target, rows["test"], "test", settings.min_test_churners)

    trained = catalogue.trained(histories)
    notices = []
    if untrusted := [name for name in catalogue.names if name not in trained]:
        notices.append(
            f"not trained on {', '.join(untrusted)}: there is no history of it, so a past snapshot would show today's value; set "
            "CHURN_TRUST_STATIC_PLAN if it never changes"
        )
    if len(revenue := trained.requiring()) and (finding := revenue_zeroed(rows["train"], target)):
        trained = trained.without(revenue)
        notices.append(finding)

    fitter = _Fitter(target, training_monday, trained, settings, recipe)
    twin = fitter.fit(rows["train"], rows["calibration"], twin_spans, None)
    registered = fitter.fit(rows["refit_train"], rows["refit_calibration"], refit_spans, twin.n_trees)
    notices.extend(dict.fromkeys((*twin.notices, *registered.notices)))
    return _Both(twin, registered, spans, rows, fitter.params, tuple(notices))


@dataclass(frozen=True)
class _Fitted:
    model: ScoringModel
    n_trees: int
    logistic: Logistic | None
    notices: tuple[str, ...]


@dataclass(frozen=True)
class _Fitter:
    """The recipe, applied to whatever slices it is given."""

    target: Target
    training_monday: date
    catalogue: Catalogue
    settings: Settings
    recipe: Recipe

    @property
    def params(self) -> dict[str, Any]:
        recipe = asdict(self.recipe)
        return {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "seed": self.settings.seed,
            **{name: recipe[name] for name in recipe if name not in ("min_trees", "max_trees", "patience")},
        }

    def fit(self, train: pd.DataFrame, calibration: pd.DataFrame, slices: Slices, n_trees: int | None) -> _Fitted:
        """Fits trees and calibration; with ``n_trees`` None, early stopping decides their number and logistic regression is fitted too."""
        import xgboost as xgb

        empty = [n for n in self.catalogue.names if n not in train.columns or train[n].isna().all()]
        catalogue = self.catalogue.without(empty)
        if not len(catalogue):
            raise RefusedError(f"no model: {self.target.name} has no feature with a value in the training slice")
        notices = (f"not trained on {', '.join(empty)}: empty in the whole training slice",) if empty else ()
        encoder = Encoder.learn(train, catalogue)
        matrix = encoder.matrix(train)
        label = train["label"].to_numpy(dtype=np.float64)
        calibration_label = calibration["label"].to_numpy(dtype=np.float64)
        threads = self.settings.threads
        dtrain = encoder.dmatrix(matrix, label, threads)
        dcalibration = encoder.dmatrix(encoder.matrix(calibration), calibration_label, threads)
        params = self.params | {
            "nthread": threads,
            "monotone_constraints": tuple(_CONSTRAINTS[feature.direction] for feature in catalogue),
        }
        if n_trees is None:
            booster = xgb.train(
                params | {"eval_metric": "logloss"},
                dtrain,
                self.recipe.max_trees,
                evals=[(dcalibration, "calibration")],
                callbacks=[_stopping(self.recipe)],
                verbose_eval=False,
            )
            n_trees = max(booster.best_iteration + 1, self.recipe.min_trees)
            # A booster cut down keeps what the longer run noted about itself; the bytes must only depend on the trees.
            booster = booster[:n_trees]
            booster.set_attr(best_iteration=None, best_score=None)
            logistic = Logistic.fit(encoder, matrix, label)
        else:
            booster = xgb.train(params, dtrain, n_trees, verbose_eval=False)
            logistic = None
        model = ScoringModel(
            target=self.target,
            training_monday=self.training_monday,
            booster=booster,
            platt=fit_platt(booster.predict(dcalibration, output_margin=True), calibration_label),
            encoder=encoder,
            metadata={
                "train": str(slices.train),
                "calibration": str(slices.calibration),
                "test": str(slices.test) if slices.test else None,
                "trees": n_trees,
                "xgboost": xgb.__version__,
            },
            threads=threads,
        )
        return _Fitted(model, n_trees, logistic, notices)


def _compare(
    test: TestSlice, known_rate: float, settings: Settings
) -> tuple[dict[str, Estimate], dict[str, dict[str, Estimate]], dict[str, dict[str, Estimate]]]:
    """Figures of the twin, figures of each baseline, and the twin minus each baseline, all on the same resamples."""
    week = test.frame["snapshot_date"].to_numpy()
    resamples = Resamples.draw(test.frame["customer_id"], settings.bootstrap_replicates, settings.seed)

    def forecast(probability: NDArray[np.float64]) -> Evaluation:
        return evaluate(test.label, probability, week, resamples, known_rate)

    model = forecast(test.probability)
    baselines = {
        "rule": evaluate_ranking(test.label, test.baselines["rule"], week, resamples),
        "logistic": forecast(test.baselines["logistic"]),
        "constant": forecast(np.full(len(test.label), known_rate)),
    }
    differences = {
        name: {metric: model.minus(baseline, metric) for metric in ("auc", "average_precision")}
        for name, baseline in baselines.items()
        if name != "constant"
    }
    return model.estimates(), {name: baseline.estimates() for name, baseline in baselines.items()}, differences


def _stopping(recipe: Recipe) -> xgb.callback.EarlyStopping:
    import xgboost as xgb

    class Patient(xgb.callback.EarlyStopping):
        """Early stopping that does not begin before the recipe's floor, so that no booster has to be trained twice."""

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return bool(super().after_iteration(model, epoch, evals_log)) and epoch + 1 >= recipe.min_trees

    return Patient(rounds=recipe.patience)


def _importance(model: ScoringModel, test: pd.DataFrame) -> dict[str, float]:
    # Every k-th row: means of absolute contributions settle long before 4,000 rows, and TreeSHAP is the slow part.
    contributions, _ = model.contributions(test.iloc[:: max(1, len(test) // 4000)])
    mean = np.abs(contributions).mean(axis=0)
    return {model.catalogue.names[position]: float(mean[position]) for position in np.argsort(-mean, kind="stable")}


def _rows(frame: pd.DataFrame, span: Span) -> pd.DataFrame:
    """The rows of a span in the one order that training depends on: row subsampling draws by position."""
    return frame[span.rows(frame)].sort_values(["snapshot_date", "customer_id"], kind="stable", ignore_index=True)


def _training_rows(frame: pd.DataFrame, span: Span, target: Target) -> pd.DataFrame:
    rows = _rows(frame, span)
    return rows[staggered(rows, target.stagger_weeks)].reset_index(drop=True)


def _positive_customers(rows: pd.DataFrame) -> int:
    return int(rows.loc[rows["label"] == 1, "customer_id"].nunique())


def _enough(target: Target, rows: pd.DataFrame, slice_name: str, needed: int) -> None:
    if (there := _positive_customers(rows)) < needed:
        noun = "churned" if target.event == "churn" else "upgraded"
        raise RefusedError(
            f"no model: {target.name} has {there:,} distinct {noun} customers in the {slice_name} slice, {needed:,} are needed"
        )


def _facts(span: Span, rows: pd.DataFrame) -> SliceFacts:
    return SliceFacts(
        first=span.first,
        last=span.last,
        rows=len(rows),
        customers=int(rows["customer_id"].nunique()),
        positives=int(rows["label"].sum()),
        positive_customers=_positive_customers(rows),
    )
