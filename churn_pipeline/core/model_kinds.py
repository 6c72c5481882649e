"""The kinds of models there are, from the simplest on.

Which kind a target gets is decided at each training by what the company's data support. All of them give calibrated probabilities
and exact contributions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["base_rate", "of_30d", "logistic", "trees", "mean"]
# What trees are made and read on.
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class KindWords:
    """How a kind is called.

    Attributes:
        label: in a table.
        meaning: completes "the model is ...".
    """

    label: str
    meaning: str


KINDS: dict[Kind, KindWords] = {
    "base_rate": KindWords(
        "base rate",
        "a base rate: it knows how many customers leave, by how long they have been customers, and nothing of what they do",
    ),
    "of_30d": KindWords(
        "from the shorter horizon",
        "that of the shorter horizon, moved to the level of the longer one, because the longer one has too few closed labels yet",
    ),
    "logistic": KindWords("logistic regression", "a logistic regression"),
    "trees": KindWords("boosted trees", "boosted trees"),
    "mean": KindWords("mean of both", "the mean of boosted trees and a logistic regression"),
}
# What a version is that was stored before versions said so.
FIRST_KIND: Kind = "trees"
# What is judged against each other at a training, the simpler one first.
JUDGED: tuple[Kind, ...] = ("logistic", "trees", "mean")

assert set(KINDS) == set(get_args(Kind))


def label_of(kind: str | None) -> str | None:
    """How a kind that a row names is called; one that this version does not know is called by its name.

    Args:
        kind: of a row of ``predictions`` or of the ledger; None where it was written before kinds were kept.
    """
    return next((words.label for name, words in KINDS.items() if name == kind), kind)


def is_provisional(kind: Kind) -> bool:
    """Whether the list has to say that better models are still to come: there is no ranking by behaviour of this horizon's own."""
    return kind in ("base_rate", "of_30d")
