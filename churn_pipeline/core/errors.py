"""The errors a person may see, each with the exit code that a script may rely on.

Anything else that escapes is a defect of this project and ends with exit code 1.
"""

from __future__ import annotations


class ChurnError(Exception):
    """Base of every expected error. Its message is written for the person who has to act on it.

    Attributes:
        exit_code: what the ``churn`` command returns: 2 for bad input or usage, 3 for a refusal, 1 otherwise.
    """

    exit_code = 1


class InputError(ChurnError):
    """The input cannot be used: contract, freshness, too many invalid rows, a date that is no Monday."""

    exit_code = 2


class RefusedError(ChurnError):
    """The input is fine and the answer is no: no model for the week, or a gate that was not passed."""

    exit_code = 3


class HomeError(ChurnError):
    """The home cannot be where it is: a program below would take its path for something else, or it is no folder that can be used."""


class LockedError(ChurnError):
    """Another process holds the home directory and did not let go within the bounded wait."""


class RegistryError(ChurnError):
    """MLflow cannot be reached, cannot be written to, or does not hold what the ledger names."""


class UnbuiltError(ChurnError):
    """The feature marts do not hold what a training learns from; the next run builds it."""


class PostgresError(ChurnError):
    """PostgreSQL for dashboards cannot be reached, refuses, or failed on the way; what it held before is still there."""


class StoreError(ChurnError):
    """The object store that is published to is away, refuses, or failed on the way; what its manifest names is still there."""


class SourceError(ChurnError):
    """A database or an object store that raw tables come from is away or failed on the way; what was fetched before is still there."""
