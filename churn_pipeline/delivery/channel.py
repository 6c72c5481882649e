"""What a channel is: a way in which published Mondays reach people or programs.

A channel is a folder of :mod:`churn_pipeline.delivery` whose module ``channel`` declares one :class:`Channel`, and a line in
:mod:`churn_pipeline.delivery.channels`. Dagster makes an asset of each. Whom to call and what to say is decided before: a channel copies
what is published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from churn_pipeline.core.settings import Settings

type Fact = str | int | Path | FactTable


@dataclass(frozen=True)
class FactTable:
    """A small table that a run shows of itself.

    Attributes:
        columns: headings.
        rows: as many values as headings each.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Order:
    """What a run asks of a channel.

    Attributes:
        settings: the home; its warehouse can be opened.
        mondays: published Mondays of the run, oldest first; empty where it refused all of them.
        run_id: the run that asks.
        progress: called with a sentence as the work goes on.
    """

    settings: Settings
    mondays: Sequence[date]
    run_id: str
    progress: Callable[[str], None]


@dataclass(frozen=True)
class Receipt:
    """What a channel did.

    Attributes:
        mondays: Mondays that were delivered; more than were asked for where it caught up with some.
        facts: what the run shows of it, by title.
        customers: rows of each Monday, where they are counted.
        notices: what a person should know or do, in whole sentences.
    """

    mondays: Sequence[date]
    facts: Mapping[str, Fact]
    customers: Mapping[date, int] | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Channel:
    """One way in which published Mondays reach people or programs.

    Attributes:
        name: also the key of its asset.
        place: where it delivers to, for messages: "PostgreSQL".
        description: for the asset: what lies where afterwards, and what holds when it fails.
        kinds: labels of the asset in the UI.
        priority: of the step among those that are ready, the greater the sooner; below 0, so that publication and monitoring go first.
        deliver: does what an order asks.
        missing: a sentence that says why nothing is delivered, for example a setting that is not there; None where all is set.
        keeps_outside_home: whether customers are kept where the erasure of a home does not look: a server, another folder.
        erase: takes customers out of such a place and returns how many rows there were.
        remains: a sentence about what an erasure cannot reach there, for whoever asked for it.

    Raises:
        ValueError: it keeps customers outside the home and cannot erase them.
    """

    name: str
    place: str
    description: str
    kinds: frozenset[str]
    priority: int
    deliver: Callable[[Order], Receipt]
    missing: Callable[[Settings], str | None] = field(default=lambda _: None)
    keeps_outside_home: bool = False
    erase: Callable[[Settings, Sequence[str]], int] | None = None
    remains: Callable[[Settings], str] | None = None

    def __post_init__(self) -> None:
        if self.keeps_outside_home and self.erase is None:
            raise ValueError(f"channel {self.name} keeps customers in {self.place}, and cannot erase them there")
