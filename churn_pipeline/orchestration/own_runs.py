"""Which of an instance's runs are this home's own.

A Dagster instance may be shared: other teams' code locations, or another home with the same code, keep their runs in the same storage.
Whoever acts on runs asks here first. A run says by its tags which home it works on; Dagster says which code location it was launched from;
and a run that has begun holds a lock in the home itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from churn_pipeline.core.settings import Settings
from churn_pipeline.core.version import installed_version
from churn_pipeline.orchestration.liveness import lock_of

if TYPE_CHECKING:
    import dagster as dg

# What every run says of itself: what computes, on which home, by which version of this package.
ENGINE_TAG, HOME_TAG, VERSION_TAG = "churn/engine", "churn/home", "churn/version"


def run_tags(settings: Settings) -> dict[str, str]:
    """The tags of every run on a home."""
    return {ENGINE_TAG: "duckdb", HOME_TAG: str(settings.home), VERSION_TAG: installed_version()}


def names_this_home(run: dg.DagsterRun, settings: Settings) -> bool:
    """Whether a run says that it works on this home."""
    return run.tags.get(HOME_TAG) == str(settings.home)


def is_own(run: dg.DagsterRun, settings: Settings, location_name: str | None) -> bool:
    """Whether a run may be closed on behalf of this home. In doubt it may not: it is somebody else's.

    Args:
        run: of the instance, which may be shared.
        settings: the home.
        location_name: of the code location that asks; None where the shell asks, which is in none.
    """
    if lock_of(settings, run.run_id).exists():
        return True
    if run.tags.get(HOME_TAG, str(settings.home)) != str(settings.home):
        return False
    origin = run.remote_job_origin
    if origin is not None:
        # The asset graph's runs get their tags with their first step.
        return origin.location_name == location_name
    # A run of the shell that died before it had its lock. In two containers two homes may have the same path; an instance of the home's own
    # is shared with nobody.
    return names_this_home(run, settings) and settings.dagster_config is None
