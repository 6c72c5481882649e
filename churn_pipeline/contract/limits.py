"""How much of a table or a column may be unusable before its source counts as broken.

A bad value here and there is a fact of life: it is blanked or its row is set aside, and both are counted. A column in which many are bad
is another matter: its format, its unit or its words have changed, and what is left of it says something wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from churn_pipeline.contract.declaration import Column


@dataclass(frozen=True)
class Limit:
    """A number of unusable values is tolerated up to ``count``, and beyond it up to ``share`` (0..1) of those that were given."""

    share: float
    count: int

    def exceeded(self, unusable: int, given: int) -> bool:
        return unusable > self.count and unusable > self.share * given


@dataclass(frozen=True)
class ColumnLimits:
    """What a column may hold of unusable values.

    Attributes:
        usual: of any column.
        strict: of a column whose errors move customers or revenue: dates of customers and of events, money of customers.
        least_given: a single file is judged from this many given values on; the table always is.
        half_from: from this many unusable values on, half of those given is too many, however few these are.
    """

    usual: Limit = Limit(0.05, 20)
    strict: Limit = Limit(0.005, 5)
    least_given: int = 20
    half_from: int = 2

    def limit(self, column: Column) -> Limit:
        return self.strict if column.strict else self.usual

    def is_broken(self, column: Column, unusable: int, given: int) -> bool:
        """Whether a column cannot be trusted of whose ``given`` values ``unusable`` ones cannot be used."""
        if unusable >= self.half_from and 2 * unusable >= given:
            return True
        return self.limit(column).exceeded(unusable, given)

    def least_unusable(self, column: Column) -> int:
        """Fewer unusable values than this never break a file, whatever it holds."""
        half = max(self.half_from, (self.least_given + 1) // 2)
        return min(half, self.limit(column).count + 1)
