"""A proposal as the text of a sources.yml, its doubts as remarks beside the lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from churn_pipeline.contract.declaration import KIND_SENTENCES, Kind
from churn_pipeline.contract.source import ColumnSource
from churn_pipeline.core.json_text import json_text
from churn_pipeline.sources.propose import SURE, Guess, Proposal, TableProposal
from churn_pipeline.sources.read import NOWHERE

_HEAD = """\
# Where the raw tables come from, and which of their columns is which: a proposal of churn init. docs/sources.md explains every key.
# A remark marks a guess: a number from 0 to 1 says how sure it is. A line that begins with # is not in force: it says what is still wanted.
# Look at each, take the remarks out, then see what would come in: churn check
"""
_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$()./*+-]*( [A-Za-z0-9_$()./*+-]+)*")
# What YAML would read as something else, or a reader of YAML might.
_TAKEN = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "~"})


def sources_text(proposal: Proposal, prefix: str = "") -> str:
    """The text of a sources.yml.

    Args:
        prefix: where the folder lies, seen from the raw directory; written before the name of every file.
    """
    lines = [_HEAD]
    for table in proposal.tables:
        lines += [*_table(table, prefix), ""]
    if proposal.left_aside:
        lines.append("# No table is made of:")
        lines += [f"#   {_remark(export.pattern)}" for export in proposal.left_aside]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def scalar(text: str) -> str:
    """A word as YAML reads it back, in quotes where it has to be."""
    if _PLAIN.fullmatch(text) and text.lower() not in _TAKEN:
        return text
    return json_text(text)


def _table(proposal: TableProposal, prefix: str) -> Iterator[str]:
    yield f"{proposal.table.name}:"
    if proposal.preset:
        yield f"  # Recognised as an export of {proposal.preset}: {_remark(proposal.document)}"
    remarks = [f"also possible: {', '.join(proposal.also)}"] if proposal.also else []
    if not remarks and proposal.confidence < SURE:
        remarks = ["by its columns"]
    yield f"  files: {scalar(prefix + proposal.export.pattern)}" + _beside(remarks, proposal.confidence)
    if proposal.nulls:
        yield f"  nulls: [{', '.join(scalar(word) for word in proposal.nulls)}]"
    lines = [line for guess in proposal.guesses for line in _column(guess)]
    if lines:
        yield "  columns:" if any(not line.lstrip().startswith("#") for line in lines) else "  # columns:"
        yield from lines


def _column(guess: Guess) -> Iterator[str]:
    column, source = guess.column, guess.source
    if source is None:
        yield from _wanted(guess)
        return
    remarks = list(guess.doubts)
    if guess.also:
        remarks.insert(0, f"also possible: {', '.join(guess.also)}")
    beside = _beside(remarks, guess.confidence)
    if source.words or guess.unknown:
        yield f"    {column.name}:{beside}"
        yield f"      {_origin(source)}"
        if source.words or guess.unknown:
            yield "      words:" if source.words else "      # words:"
        for word, known in source.words.items():
            yield f"        {scalar(word)}: {known}" + ("  # a guess" if word in guess.guessed else "")
        for word in guess.unknown:
            yield f"        # {_remark(scalar(word))}:  # one of {', '.join(column.categories)}"
        return
    if source == NOWHERE:
        yield f"    {column.name}: null{beside}"
    elif source.column and not source.unit and not source.format:
        if source.column.lower() != column.name or beside:
            yield f"    {column.name}: {scalar(source.column)}{beside}"
    else:
        more = [f"{key}: {scalar(value)}" for key, value in (("unit", source.unit), ("format", source.format)) if value]
        yield f"    {column.name}: {{{', '.join([_origin(source), *more])}}}{beside}"


def _origin(source: ColumnSource) -> str:
    if source.expression:
        return f"expression: {scalar(source.expression)}"
    return f"column: {scalar(source.column)}" if source.column else f"constant: {scalar(source.constant or '')}"


def _wanted(guess: Guess) -> Iterator[str]:
    """A line for a column that nothing was found for. Where nothing depends on it, null is a fair beginning."""
    column = guess.column
    if column.kind in (Kind.TEXT, Kind.SHARE) and not column.needed:
        yield f"    {column.name}: null  # nothing was found; {column.meaning}"
        return
    kind = ", ".join(column.categories) if column.categories else KIND_SENTENCES[column.kind]
    yield f"    # {column.name}:  # wanted: {column.meaning} ({kind.replace('`', '')}); null if there is none"


def _beside(remarks: list[str], confidence: float) -> str:
    if confidence >= SURE:
        return f"  # {_remark('; '.join(remarks))}" if remarks else ""
    return f"  # {confidence:.1f}: {_remark('; '.join(remarks or ['by its name']))}"


def _remark(text: str) -> str:
    """On one line, and without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
