"""What Dagster loads: ``workspace.yaml``, Compose and workspaces of users name this module. Everything is wired in
:mod:`churn_pipeline.orchestration.definitions`."""

from churn_pipeline.orchestration.definitions import defs

__all__ = ["defs"]
