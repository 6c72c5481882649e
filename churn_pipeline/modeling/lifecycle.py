"""When a model is trained, whether it is used from then on, and which one is the model for a Monday."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date
from typing import Any

import duckdb

from churn_pipeline.contract import fingerprint
from churn_pipeline.errors import RefusedError
from churn_pipeline.features import frames
from churn_pipeline.modeling import ledger
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.targets import TARGETS, Target
from churn_pipeline.settings import Settings
