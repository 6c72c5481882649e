"""Weekly churn and expansion scoring for B2B customers, correct as of any Monday.

The package is a pure core in rooms (docs/architecture.md) inside thin shells, Dagster's (``orchestration``) and the command's (``cli``),
wired in one place, ``orchestration/definitions.py``.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from churn_pipeline.customers.home import Home as Home

# OpenMP's default is to spin while it waits: with one of two cores busy, training took 36 s instead of 1.2. It has to be
# set before xgboost loads its runtime, which is why it stands here and not beside the training code.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# No library of ours reports usage to anyone.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# A pyproject.toml and a uv.lock of whoever starts a training are no part of a model version.
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
# A tracking server that is gone in the middle is known to be gone after a minute, not after MLflow's seven attempts of two minutes
# each; see also modeling/registry.py.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # `from churn_pipeline import Home`, loaded when it is asked for: commands that start in a tenth of a second import this package too.
    if name == "Home":
        from churn_pipeline.customers.home import Home

        return Home
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
