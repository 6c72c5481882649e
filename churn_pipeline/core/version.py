"""Which version of this package runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version that is installed; ``unknown`` where the package is run from a folder on Python's path."""
    try:
        return version("churn-pipeline")
    except PackageNotFoundError:
        return "unknown"
