"""What can be asked of the simulator, and the calendar and random streams that follow from it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np

from churn_pipeline.core.calendar import WEEK, is_monday
from churn_pipeline.core.errors import InputError
from churn_pipeline.simulate import parameters as p

EPOCH = date(1970, 1, 1)
SHOCK_KINDS = ("usage", "tier", "feed", "score")
# The kinds of company there are; the first one unless asked otherwise.
FAMILIES = ("health", "terms")


@dataclass(frozen=True)
class Shock:
    """A disturbance of the data (not of any hazard) from a Monday on.

    Attributes:
        kind: ``usage`` halves and more the machine-made events of most customers; ``tier`` moves many customers one
            paid tier down; ``feed`` loses two event types and a share of the rest; ``score`` rescales
            feature_adoption_score.
        weeks_before_end: the Monday it begins, counted back from ``until``; at least 1.
    """

    kind: str
    weeks_before_end: int

    def __post_init__(self) -> None:
        if self.kind not in SHOCK_KINDS:
            raise InputError(f"unknown shock '{self.kind}'; known are {', '.join(SHOCK_KINDS)}")
        if self.weeks_before_end < 1:
            raise InputError(f"a shock begins at least 1 week before the end, not {self.weeks_before_end}")


def parse_shock(text: str) -> Shock:
    """Reads ``KIND@WEEKS_BEFORE_END``, such as ``usage@6``.

    Raises:
        InputError: the text has another shape, the kind is unknown, or the weeks are no whole number of at least 1.
    """
    kind, at, weeks = text.partition("@")
    if not at or not (weeks.isascii() and weeks.isdigit()):
        raise InputError(
            f"'{text}' is no shock; write KIND@WEEKS_BEFORE_END such as usage@6, KIND one of {', '.join(SHOCK_KINDS)}"
        )
    return Shock(kind, int(weeks))


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """One company to simulate. Equal values give equal tables.

    Attributes:
        until: a Monday; every fact is dated strictly before it, and it is the Monday to be scored.
        customers: rows of the customers table, that is everybody who ever signed up and was there when the data begin,
            or later.
        weeks: Mondays with an oracle before ``until``; the oracle has ``weeks + 1`` of them. Facts begin
            ``RUN_IN_WEEKS`` earlier, so that the windows of the first of these Mondays are full.
        seed: the whole of the randomness.
        dirty: soil the tables the way real exports are; the oracle stays that of the clean company.
        shocks: disturbances of the data.
        call_share: calls that the team plans each week, as a share of the book; with 0 nobody is ever called and there
            is no table of interventions.
        family: the kind of company, one of ``FAMILIES``: what drives departures, what is sold, what is exported.
        use: how much its customers use the product, as a factor on the usual; less makes fewer events, and nothing else.
    """

    until: date
    customers: int = 10_000
    weeks: int = 104
    seed: int = 7
    dirty: bool = False
    shocks: tuple[Shock, ...] = ()
    call_share: float = p.CALL_SHARE
    family: str = FAMILIES[0]
    use: float = 1.0

    def __post_init__(self) -> None:
        if not is_monday(self.until):
            raise InputError(f"a simulation ends on a Monday; {self.until} is a {self.until:%A}")
        if not 1 <= self.customers <= p.MAX_CUSTOMERS:
            raise InputError(f"customers must lie between 1 and {p.MAX_CUSTOMERS:,}, not {self.customers:,}")
        if not 1 <= self.weeks <= p.MAX_WEEKS:
            raise InputError(f"weeks must lie between 1 and {p.MAX_WEEKS}, not {self.weeks}")
        if self.seed < 0:
            raise InputError(f"a seed is a whole number of at least 0, not {self.seed}")
        if not 0 <= self.call_share <= p.MAX_CALL_SHARE:
            raise InputError(
                f"calls of a week are a share of the book between 0 and {p.MAX_CALL_SHARE}, not {self.call_share}"
            )
        if self.family not in FAMILIES:
            raise InputError(f"unknown family of companies '{self.family}'; known are {', '.join(FAMILIES)}")
        if not p.MIN_USE <= self.use <= p.MAX_USE:
            raise InputError(f"use is a factor between {p.MIN_USE} and {p.MAX_USE:g}, not {self.use:g}")
        for shock in self.shocks:
            if shock.weeks_before_end > self.weeks:
                raise InputError(
                    f"shock {shock.kind}@{shock.weeks_before_end} begins before the first of {self.weeks} weeks"
                )

    def generator(self, channel: str) -> np.random.Generator:
        """The random stream of one channel; no channel's draws shift another's, and no two families share one."""
        name = channel if self.family == FAMILIES[0] else f"{self.family}: {channel}"
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(zlib.crc32(name.encode()),)))

    @cached_property
    def total_weeks(self) -> int:
        """Weeks with facts. Week ``w`` covers ``[first_day + 7 w, first_day + 7 w + 7)``."""
        return p.RUN_IN_WEEKS + self.weeks

    @cached_property
    def first_day(self) -> int:
        """First day with facts, in days since 1970-01-01."""
        return self.last_day - 7 * self.total_weeks

    @cached_property
    def last_day(self) -> int:
        """``until``, in days since 1970-01-01: the first day without facts."""
        return (self.until - EPOCH).days

    def monday(self, week: int) -> date:
        return self.until + (week - self.total_weeks) * WEEK

    def shock_week(self, kind: str) -> int | None:
        """The week in which the earliest shock of this kind begins, if there is one."""
        return min((self.total_weeks - s.weeks_before_end for s in self.shocks if s.kind == kind), default=None)


def progress_marks(total: int, parts: int = 5) -> Iterable[int]:
    """The steps at which a long loop reports, about ``parts`` of them."""
    return range(0, total, max(1, total // parts))
