"""The Dagster instance of a home: its configuration, and what another one lacks.

``churn ui``, ``churn run`` and the stack use an instance that suits a home. ``dagster dev`` and ``dg dev`` use whatever ``DAGSTER_HOME``
names, or one that they throw away afterwards, so the code location says when it is loaded by one that lacks something.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from churn_pipeline.core.settings import Settings

HEAD = "# Written by churn. Take this line out to keep changes of your own.\n"
# Dagster keeps its own state in the home too, tells nobody about it, and starts one run at a time. A run that never started is given
# up after three minutes, or the queue would wait for it; for one that started and died see orchestration/liveness.py.
DAGSTER_YAML = f"""\
{HEAD}telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""
# Each with what its absence means, for who starts Dagster without churn.
_NEEDED: tuple[tuple[tuple[str, ...], Any, str], ...] = (
    (("concurrency", "runs", "max_concurrent_runs"), 1, "runs wait for each other on the home's lock, and give up"),
    (("run_monitoring", "enabled"), True, "a run that never started holds up the queue"),
    (("telemetry", "enabled"), False, "Dagster reports usage to its makers"),
)


def lacking(dagster_home: str | None, settings: Settings) -> str | None:
    """What the instance that loads the definitions of a home lacks, in words for a person; None where nothing is missing.

    Args:
        dagster_home: DAGSTER_HOME, where it is set.
        settings: the home.
    """
    config = Path(dagster_home, "dagster.yaml") if dagster_home else None
    found = _read(config)
    missing = [
        f"{'.'.join(path)}: {str(wanted).lower()} ({why})"
        for path, wanted, why in _NEEDED
        if _at(found, path) != wanted
    ]
    if not missing:
        return None
    where = config if config is not None and config.is_file() else "an instance without a dagster.yaml"
    return (
        f"{where} lacks {'; '.join(missing)}. 'churn ui --home {settings.home}' starts Dagster with all of it, or set "
        f"DAGSTER_HOME={settings.dagster_home} after a first 'churn run'."
    )


def _read(config: Path | None) -> Mapping[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(config.read_text(encoding="utf-8")) if config is not None else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        # Dagster itself says what is wrong with it.
        found = None
    return found if isinstance(found, Mapping) else {}


def _at(found: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
