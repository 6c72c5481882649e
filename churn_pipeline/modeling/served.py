"""What MLflow runs where a version is served: rows of its feature mart in, calibrated probabilities and contributions out.

A version carries a copy of this file and of all code that it imports (`churn_pipeline.modeling.package`), so it answers as on the day it
was trained, whether or not churn_pipeline is installed. Nothing in this project imports it: the pipeline reads a version's trees and JSON,
and runs none of its code.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class Served(PythonModel):
    """Answers with one row for each row that it is given, in the same order and under the same index.

    ``probability`` is calibrated, and is this model's own: the table of predictions raises the one of the longer horizon to that of the
    shorter one where it is lower, which takes two models. ``bias`` plus all columns ``contribution_...`` is its log-odds.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Reads the model's files, and refuses one that is not what was saved."""
        # Here and not at the top: MLflow runs this file while it writes a version, when the rest does not lie beside it yet.
        from churn_pipeline.modeling.model import ScoringModel

        self._model = ScoringModel.load(Path(context.artifacts["model"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Scores rows of the mart. Columns that the model does not look at are ignored, in any order.

        A null, a category that training never saw, and a column that is not there are missing values, as in the table of predictions;
        the log says which.

        Args:
            context: of MLflow, not looked at.
            model_input: one row a customer.
            params: there are none.

        Raises:
            MlflowException: there is no column that the model looks at, or a value is no number where one is needed.
        """
        from churn_pipeline.core.errors import InputError

        catalogue = self._model.catalogue
        if not any(name in model_input.columns for name in catalogue.names):
            raise MlflowException.invalid_parameter_value(
                f"none of the {len(catalogue)} columns of {catalogue.mart} that {self._model.target.name} looks at is there; the first "
                f"are {', '.join(catalogue.names[:5])}"
            )
        try:
            explained = self._model.explain(model_input)
        except InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        for notice in explained.notices:
            logging.getLogger(__name__).warning(notice)
        return pd.DataFrame(
            {
                "probability": explained.probability,
                "bias": explained.bias,
                **{
                    f"contribution_{name}": explained.contributions[:, position]
                    for position, name in enumerate(catalogue.names)
                },
            },
            index=model_input.index,
        )


set_model(Served())
