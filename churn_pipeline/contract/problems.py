"""What is wrong with the raw data, in a form that tells its owner where to look and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from churn_pipeline.core.errors import InputError


@dataclass(frozen=True)
class Problem:
    """One reason for which a landing is refused, told in one sentence.

    A sentence shows a single value at most, never a line of data and never a value of a personal column.

    Attributes:
        table: the table of the contract; empty where the problem is not one table's.
        what: what is wrong, as a clause. Where a column is named it goes on from that column and its value (``is not
            YYYY-MM-DD``), else it begins with the culprit.
        remedy: what to do about it, as a clause.
        file: path of the file below the raw directory; empty where it is not one file's.
        line: the line of the file, from 1, where there is one.
        column: the column that is to blame.
        value: one of its values, as found.
        count: how many values or rows have the problem; 0 where that means nothing.
    """

    table: str
    what: str
    remedy: str = ""
    file: str = ""
    line: int | None = None
    column: str = ""
    value: str | None = None
    count: int = 0

    def __str__(self) -> str:
        place = self.file or self.table
        if self.line is not None:
            place += f", line {self.line:,}"
        if self.column:
            like = f"; {self.count - 1:,} like it" if self.count > 1 else ""
            value = f" {_quoted(self.value)}" if self.value is not None else ""
            sentence = f"{self.column}{value} ({place}{like}) {self.what}"
        else:
            sentence = f"{place}: {self.what}" if place else self.what
        return f"{sentence}; {self.remedy}" if self.remedy else sentence


def _quoted(value: str) -> str:
    """The value on one line, without what a terminal would obey."""
    return "'" + "".join(letter if letter.isprintable() else " " for letter in value) + "'"


class UnusableError(InputError):
    """The raw data cannot be landed.

    Attributes:
        problems: everything that is wrong, over all tables.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(problems)
        super().__init__(format_problems(self.problems))


def format_problems(problems: Sequence[Problem]) -> str:
    """One problem as its sentence, several as a list of lines."""
    if len(problems) == 1:
        return str(problems[0])
    return "\n".join([f"{len(problems)} problems, nothing was landed:", *(f"- {problem}" for problem in problems)])
