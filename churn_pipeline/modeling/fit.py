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

from churn_pipeline.errors import RefusedError
from churn_pipeline.modeling.baselines import Logistic, rule_score
from churn_pipeline.modeling.calibrate import Platt, fit_platt
from churn_pipeline.modeling.catalogue import Catalogue, History
from churn_pipeline.modeling.encode import Encoder, Matrix
from churn_pipeline.modeling.evaluate import (
    FLAG,
    RANKING,
    Estimate,
    Evaluation,
    Resamples,
    calibration_table,
    evaluate,
    evaluate_ranking,
    expected_recall,
    flag_recall_ceiling,
)
from churn_pipeline.modeling.guard import revenue_zeroed
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.slices import Slices, Span, refit_slices, staggered, twin_slices
from churn_pipeline.modeling.targets import Target
from churn_pipeline.settings import Settings

if TYPE_CHECKING:
    import xgboost as xgb


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters. Chosen on OULAD and the simulated company for the same answer on both, not for the best on either.

    Attributes:
        eta: step size. 0.05 and the trees below learn what there is; halving it doubles the trees, and with them the time of SHAP.
        max_depth: interactions of up to this many features. SHAP's time grows with depth times leaves: depth 4 takes 3 times as long.
        min_child_weight: sum of p (1 - p) in a leaf; 10 is about 200 rows at a base rate of 5 %. Lower fits single customers.
        subsample: rows per tree, drawn with the seed.
        colsample_bynode: features per split; below 1 lets correlated windows of the same count share the work.
        reg_lambda: L2 penalty on leaves.
        max_bin: split candidates per feature.
        min_trees: what early stopping cannot go below. In a seasonal business the calibration weeks differ from the training weeks, and
            log loss stops falling while the ranking still improves: on OULAD it stopped at 1 to 25 trees before the new year, with an AUC
            of 0.63 to 0.70 where 120 trees reach 0.69 and 250 trees 0.70.
        max_trees: bound of early stopping, and of what explaining a customer may cost.
        patience: rounds without a better calibration slice before it stops.
    """

    eta: float = 0.05
    max_depth: int = 3
    min_child_weight: float = 10.0
    subsample: float = 0.8
    colsample_bynode: float = 0.7
    reg_lambda: float = 5.0
    max_bin: int = 128
    min_trees: int = 150
    max_trees: int = 250
    patience: int = 40


RECIPE = Recipe()


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
    """

    frame: pd.DataFrame
    label: NDArray[np.float64]
    probability: NDArray[np.float64]

    def rows(self, wanted: NDArray[np.bool_]) -> TestSlice:
        return TestSlice(self.frame[wanted], self.label[wanted], self.probability[wanted])


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
    business: Mapping[str, float]
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
    first = pd.Timestamp(frame["snapshot_date"].min()).date() if len(frame) else training_monday
    spans = twin_slices(target, training_monday, first)
    assert spans.test is not None
    train = _training_rows(frame, spans.train, target)
    test = _rows(frame, spans.test)
    _enough(target, train, "training", settings.min_train_churners)
    _enough(target, test, "test", settings.min_test_churners)

    trained = catalogue.trained(histories)
    notices = []
    if untrusted := [name for name in catalogue.names if name not in trained]:
        notices.append(
            f"not trained on {', '.join(untrusted)}: there is no history of it, so a past snapshot would show today's value; set "
            "CHURN_TRUST_STATIC_PLAN if it never changes"
        )
    if len(revenue := trained.requiring()) and (finding := revenue_zeroed(train, target)):
        trained = trained.without(revenue)
        notices.append(finding)

    fitter = _Fitter(target, training_monday, trained, settings, recipe)
    twin_calibration = _rows(frame, spans.calibration)
    twin = fitter.fit(train, twin_calibration, None)
    final = refit_slices(target, training_monday, first)
    refit_train, refit_calibration = _training_rows(frame, final.train, target), _rows(frame, final.calibration)
    model = fitter.fit(refit_train, refit_calibration, twin.n_trees)
    notices.extend(dict.fromkeys((*twin.notices, *model.notices)))
    if not any(column in frame.columns for column in target.rule.columns):
        notices.append(
            f"the baseline '{target.rule.text}' had no data and ranks like chance: {', '.join(target.rule.columns)} not there"
        )

    facts = {
        "train": _facts(spans.train, train),
        "calibration": _facts(spans.calibration, twin_calibration),
        "test": _facts(spans.test, test),
        "refit_train": _facts(final.train, refit_train),
        "refit_calibration": _facts(final.calibration, refit_calibration),
    }
    judged = _judge(target, twin, test, float(twin_calibration["label"].mean()), settings)
    return TrainingResult(
        target=target,
        training_monday=training_monday,
        slices=facts,
        params=fitter.params
        | {"min_trees": recipe.min_trees, "max_trees": recipe.max_trees, "patience": recipe.patience},
        n_trees=twin.n_trees,
        model=fitter.scoring_model(model, final, facts["refit_train"], facts["refit_calibration"]),
        twin=fitter.scoring_model(twin, spans, facts["train"], facts["calibration"]),
        importance=_importance(
            fitter.scoring_model(model, final, facts["refit_train"], facts["refit_calibration"]), test
        ),
        notices=tuple(notices),
        **judged,
    )


@dataclass(frozen=True)
class _Fitted:
    booster: xgb.Booster
    platt: Platt
    encoder: Encoder
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
        # One thread only where sums of floats depend on it: histogram building adds gradients per thread. Trees from one and from
        # two threads were equal in every trial here, but nobody promises it, and the thread count is no part of the recipe.
        recipe = asdict(self.recipe)
        return {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "seed": self.settings.seed,
            **{name: recipe[name] for name in recipe if name not in ("min_trees", "max_trees", "patience")},
        }

    def fit(self, train: pd.DataFrame, calibration: pd.DataFrame, n_trees: int | None) -> _Fitted:
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
        params = self.params | {"nthread": threads}
        if constrained := tuple(_constraint(feature.direction) for feature in catalogue):
            params["monotone_constraints"] = constrained
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
        platt = fit_platt(booster.predict(dcalibration, output_margin=True), calibration_label)
        return _Fitted(booster, platt, encoder, n_trees, logistic, notices)
