"""Why an answer about a customer is refused. What each is over HTTP stands in the API; its exit code in the base."""

from __future__ import annotations

from churn_pipeline.core.errors import ChurnError, InputError, RefusedError


class UnknownCustomerError(InputError):
    """Nobody of that id or name is in what is asked."""


class ChurnedError(InputError):
    """The customer was there and is not active on that Monday: they left, or had not begun."""


class NotCandidateError(RefusedError):
    """There is no expansion brief to write: no model predicts it, or the propensity is too low."""


class WriterError(ChurnError):
    """A language model gave no text that can be used: away, slow, busy, broken, cut off, or over the budget."""
