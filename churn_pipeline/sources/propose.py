"""Guessing which export is which table and which column is which: by names, shapes of values, and overlaps of ids.

A guess carries how sure it is and what else it could be. Nothing here decides: the proposal is written into a file, with its doubts, and a
person reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

from churn_pipeline.contract import expressions
from churn_pipeline.contract.declaration import LOADED_AT, TABLES, Column, Kind, TableContract
from churn_pipeline.contract.files import OTHER_NULLS
from churn_pipeline.contract.source import ColumnSource
from churn_pipeline.core.errors import InputError
from churn_pipeline.sources import names, shapes
from churn_pipeline.sources.look import Export, Folder
from churn_pipeline.sources.read import NOWHERE, read_preset
from churn_pipeline.sources.read import Export as KnownExport

PRESETS = Path(__file__).with_name("presets")
# Below this a column is not proposed, and a file is no table.
LEAST_COLUMN, LEAST_TABLE = 0.35, 0.5
# From here on a guess is written without a word, unless another column comes close to it.
SURE, CLOSE = 0.85, 0.12
# The share of ids that have to be customers' before a column may be the customer by that alone; and under which it hardly is.
MANY_SHARED, FEW_SHARED = 0.5, 0.1
# A category has few words; a free text has many.
MAX_WORDS = 40
_LOOKED_AT = 100
# Part of a preset's columns that a file has to have where the person named the preset.
_NAMED_SHARE = 0.6


@dataclass(frozen=True)
class Guess:
    """What a contract column is probably made of.

    Attributes:
        column: the contract column.
        source: None where nothing was found.
        confidence: 0 to 1.
        also: other columns of the file that it could be.
        doubts: sentences for the person who reads the proposal.
        guessed: words of the file whose meaning was guessed.
        unknown: words of the file whose meaning nobody knows.
    """

    column: Column
    source: ColumnSource | None = None
    confidence: float = 0.0
    also: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    guessed: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableProposal:
    """What a table is probably made of.

    Attributes:
        confidence: 0 to 1.
        guesses: one for each column of the contract that was found or is wanted.
        preset: the known export it was recognised as; empty where it was none.
        document: where that product says what its columns are.
        also: other exports that it could be made of.
    """

    table: TableContract
    export: Export
    confidence: float
    guesses: tuple[Guess, ...]
    preset: str = ""
    document: str = ""
    nulls: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def found(self) -> int:
        return sum(guess.source is not None for guess in self.guesses)

    @property
    def wanted(self) -> tuple[Guess, ...]:
        """Required columns for which nothing was found."""
        return tuple(guess for guess in self.guesses if guess.source is None)

    @property
    def doubtful(self) -> int:
        return sum(
            bool(guess.also or guess.doubts or guess.guessed or guess.unknown) or guess.confidence < SURE
            for guess in self.guesses
            if guess.source is not None
        )


@dataclass(frozen=True)
class Proposal:
    """What a folder's sources.yml could be, and the files that no table is made of."""

    tables: tuple[TableProposal, ...]
    left_aside: tuple[Export, ...]


@cache
def presets() -> Mapping[str, tuple[KnownExport, ...]]:
    """Every preset that comes with the package, by name."""
    return MappingProxyType({path.stem: read_preset(path) for path in sorted(PRESETS.glob("*.yml"))})


def propose(folder: Folder, preset: str = "") -> Proposal:
    """Guesses what the exports of a folder are.

    Args:
        folder: what lies there.
        preset: the product that they come from; empty: whatever is recognised.

    Raises:
        InputError: there is no such preset.
    """
    if preset and preset not in presets():
        raise InputError(f"there is no preset '{preset}'; there are {', '.join(presets())}")
    guesser = _Guesser(folder, preset)
    chosen = _chosen(guesser.candidates(None))
    customers = next((proposal for proposal in chosen if proposal.table.name == "customers"), None)
    if customers is not None:
        # Once the customers are known, their ids tell more than names do.
        customers = guesser.with_shared_id(customers)
        chosen = _chosen([customers, *guesser.candidates(customers)])
    if any(proposal.table.name == "subscriptions" for proposal in chosen):
        chosen = [_without_ends(proposal) if proposal.table.name == "customers" else proposal for proposal in chosen]
    order = list(TABLES)
    chosen.sort(key=lambda proposal: order.index(proposal.table.name))
    taken = {proposal.export.pattern for proposal in chosen}
    left_aside = tuple(export for export in folder.exports if export.pattern not in taken)
    return Proposal(tuple(chosen), left_aside)


def _without_ends(customers: TableProposal) -> TableProposal:
    """Customers beside subscriptions, which say what was not found of plan, price and end."""
    said = Guess(LOADED_AT, NOWHERE, 1.0, doubts=("the subscriptions say it",))
    return replace(
        customers,
        guesses=tuple(
            replace(said, column=guess.column)
            if guess.source is None and guess.column.name in ("plan_tier", "mrr", "churn_date")
            else guess
            for guess in customers.guesses
        ),
    )


def _chosen(candidates: Sequence[TableProposal]) -> list[TableProposal]:
    """Of all pairs of export and table the surest, each export and each table once."""
    chosen: dict[str, TableProposal] = {}
    taken: dict[str, str] = {}
    for candidate in sorted(candidates, key=lambda proposal: (-proposal.confidence, proposal.export.pattern)):
        if candidate.confidence < LEAST_TABLE or candidate.export.pattern in taken:
            continue
        name = candidate.table.name
        if name in chosen:
            continue
        chosen[name] = candidate
        taken[candidate.export.pattern] = name
    for candidate in candidates:
        name, pattern = candidate.table.name, candidate.export.pattern
        if candidate.confidence >= LEAST_TABLE and pattern not in taken and name in chosen:
            former = chosen[name]
            chosen[name] = replace(former, also=tuple(dict.fromkeys((*former.also, pattern))))
    return list(chosen.values())


@dataclass
class _Guesser:
    folder: Folder
    preset: str
    fits: dict[tuple[str, str, str, tuple[str, ...]], float] = field(default_factory=dict)

    def candidates(self, customers: TableProposal | None) -> list[TableProposal]:
        """Every pair of export and table that is possible at all; without customers' own where they are known."""
        candidates = []
        for export in self.folder.exports:
            if not export.rows or (customers is not None and export.pattern == customers.export.pattern):
                continue
            known = self._recognised(export)
            if known is not None:
                if customers is None or known.source.table != "customers":
                    candidates.append(self._by_preset(export, known, customers))
                continue
            for table in TABLES.values():
                if customers is not None and table.name == "customers":
                    continue
                candidate = self._by_names(export, table, customers)
                if candidate is not None:
                    candidates.append(candidate)
        return candidates

    def with_shared_id(self, customers: TableProposal) -> TableProposal:
        """The customers with, of their unique columns, the one whose values the other exports share most."""
        others = [
            export for export in self.folder.exports if export.pattern != customers.export.pattern and export.rows
        ]
        guess = next(guess for guess in customers.guesses if guess.column.name == "customer_id")
        if guess.source is None or not guess.source.column or not others:
            return customers

        def shared(column: str) -> float:
            best = 0.0
            for other in others:
                for theirs in other.columns:
                    if names.likeness(theirs, "", "customer_id") or theirs == column:
                        best = max(best, self.folder.overlap(other, theirs, customers.export, column))
            return best

        unique = [
            column
            for column in customers.export.columns
            if shapes.is_unique(self.folder.distinct(customers.export, column))
            and self.folder.given(customers.export, column) > 0.98
            and shapes.fit(guess.column, self._some(customers.export, column)) > 0.95
        ]
        own = shared(guess.source.column)
        best = max(unique, key=shared, default=guess.source.column)
        if own >= MANY_SHARED:
            sure = replace(guess, confidence=max(guess.confidence, 0.95), also=())
            return replace(customers, guesses=tuple(sure if other is guess else other for other in customers.guesses))
        if shared(best) < MANY_SHARED:
            return customers
        better = replace(
            guess,
            source=ColumnSource(column=best),
            also=(guess.source.column,),
            doubts=(f"{shared(best):.0%} of the ids of another file are in this column",),
        )
        rest = tuple(
            better if other is guess else replace(other, source=None) if _is_of(other, best) else other
            for other in customers.guesses
        )
        return replace(customers, guesses=tuple(other for other in rest if other.source or other.column.required))

    # By preset.

    def _recognised(self, export: Export) -> KnownExport | None:
        header = {column.strip().lower() for column in export.columns}
        best: tuple[float, KnownExport] | None = None
        for name, known_exports in presets().items():
            if self.preset and name != self.preset:
                continue
            for known in known_exports:
                there = sum(bool(_present(column, known, header)) for column in known.recognised_by)
                share = there / len(known.recognised_by)
                if (share == 1 or (self.preset and share >= _NAMED_SHARE)) and (
                    best is None or (share, there) > (best[0], len(best[1].recognised_by))
                ):
                    best = share, known
        return best[1] if best else None

    def _by_preset(self, export: Export, known: KnownExport, customers: TableProposal | None) -> TableProposal:
        table = TABLES[known.source.table]
        header = {column.strip().lower(): column for column in export.columns}
        guesses: dict[str, Guess] = {}
        for column in table.columns:
            declared = known.source.columns.get(column.name)
            source = _there(declared, known.also_called.get(column.name, ()), header) if declared else None
            if source is None:
                continue
            doubt = known.doubts.get(column.name)
            guess = Guess(column, source, 0.95, doubts=(doubt,) if doubt else ())
            guesses[column.name] = self._with_words(export, guess)
        used = {guess.source.column.lower() for guess in guesses.values() if guess.source}
        self._fill(export, table, guesses, used, customers)
        if customers is not None and "customer_id" in guesses:
            guesses["customer_id"] = self._checked_id(export, guesses["customer_id"], customers)
        return TableProposal(
            table,
            export,
            0.97,
            _completed(table, guesses),
            known.preset,
            known.document,
            known.source.nulls,
        )

    def _checked_id(self, export: Export, guess: Guess, customers: TableProposal) -> Guess:
        """The preset's column, or the one that holds customers where that one does not."""
        customer_id = _customer_id(customers)
        if not customer_id or guess.source is None or not guess.source.column:
            return guess

        def overlap(column: str) -> float:
            return self.folder.overlap(export, column, customers.export, customer_id)

        own = overlap(guess.source.column)
        if own >= MANY_SHARED:
            return replace(guess, doubts=())
        best = max(export.columns, key=overlap)
        if overlap(best) >= MANY_SHARED:
            return replace(
                guess,
                source=ColumnSource(column=best),
                also=(guess.source.column,),
                doubts=(f"{overlap(best):.0%} of its values are customers of {customers.export.pattern}",),
            )
        return replace(
            guess,
            confidence=min(guess.confidence, 0.5),
            doubts=(*guess.doubts, f"only {own:.0%} of its values are customers of {customers.export.pattern}"),
        )

    # By names, shapes and ids.

    def _by_names(self, export: Export, table: TableContract, customers: TableProposal | None) -> TableProposal | None:
        guesses: dict[str, Guess] = {}
        self._fill(export, table, guesses, set(), customers)
        named = names.table_likeness(export.pattern, table.name)
        if table.name == "usage_events" and "event_id" not in guesses:
            own_id = _made_id(guesses)
            if own_id is not None:
                guesses["event_id"] = own_id
        if any(column.needed and column.name not in guesses for column in table.columns):
            return None
        weights = {column.name: 3.0 if column.needed else 1.5 for column in table.columns if column.required}
        score = sum(weight * guesses[name].confidence for name, weight in weights.items() if name in guesses)
        confidence = 0.75 * score / sum(weights.values()) + 0.3 * named
        # An optional table that shares names with everything has to have its own.
        if not named and table.name != "customers":
            confidence -= 0.1
        if table.name == "customers":
            unique = self.folder.distinct(export, _column(guesses["customer_id"]))
            if not shapes.is_unique(unique):
                confidence *= 0.5 if unique < 0.9 else 0.9
        return TableProposal(table, export, min(confidence, 0.99), _completed(table, guesses))

    def _fill(
        self,
        export: Export,
        table: TableContract,
        guesses: dict[str, Guess],
        used: Collection[str],
        customers: TableProposal | None,
    ) -> None:
        """Adds guesses for the columns that have none, the surest pair first, each column of the file once."""
        scores: dict[tuple[str, str], float] = {}
        for column in table.columns:
            if column.name not in guesses:
                for name in export.columns:
                    if name.lower() not in used:
                        scores[column.name, name] = self._score(export, table, column, name, customers)
        taken = set(used)
        for (column_name, name), score in sorted(scores.items(), key=lambda item: -item[1]):
            if score < LEAST_COLUMN:
                break
            if column_name in guesses or name.lower() in taken:
                continue
            taken.add(name.lower())
            column = next(column for column in table.columns if column.name == column_name)
            rivals = sorted(
                (
                    (other_score, other)
                    for (rival, other), other_score in scores.items()
                    if rival == column_name and other != name
                ),
                reverse=True,
            )
            also = tuple(other for other_score, other in rivals if other_score >= max(score - CLOSE, LEAST_COLUMN))[:3]
            guess = Guess(column, self._source(export, column, name), min(score, 0.99), also)
            guesses[column_name] = self._with_words(export, self._with_doubts(export, table, guess))

    def _score(
        self, export: Export, table: TableContract, column: Column, name: str, customers: TableProposal | None
    ) -> float:
        named = names.likeness(name, table.name, column.name)
        if column is LOADED_AT and named < 1:
            return 0.0
        if column.name == "customer_id" and customers is not None:
            customer_id = _customer_id(customers)
            shared = self.folder.overlap(export, name, customers.export, customer_id) if customer_id else 0.0
            if shared >= MANY_SHARED:
                return min(0.99, 0.5 + 0.3 * shared + 0.2 * named)
            named *= 0.5 if shared < FEW_SHARED else 0.8
        if not named:
            return self._by_words(export, column, name)
        return named * (0.35 + 0.65 * self._fit(export, column, name))

    def _by_words(self, export: Export, column: Column, name: str) -> float:
        """A category is known by its words alone, where nearly all of them are words of the contract."""
        if column.kind is not Kind.CATEGORY:
            return 0.0
        values = self._some(export, name)
        if not 2 <= len(values) <= 12:
            return 0.0
        own = sum(value.strip().lower() in column.categories for value in values)
        return 0.5 if own >= 2 and own >= 0.6 * len(values) else 0.0

    def _fit(self, export: Export, column: Column, name: str) -> float:
        key = export.pattern, name, str(column.kind), column.categories
        if key not in self.fits:
            values = self._some(export, name)
            if column.kind is Kind.CATEGORY:
                # Words that nobody has heard of are still words; a column of many is a free text.
                self.fits[key] = max(shapes.fit(column, values), 0.6 if len(values) <= MAX_WORDS else 0.0)
            else:
                self.fits[key] = shapes.fit(column, values)
        return self.fits[key]

    def _some(self, export: Export, name: str) -> tuple[str, ...]:
        return self.folder.values(export, name)[:_LOOKED_AT]

    def _source(self, export: Export, column: Column, name: str) -> ColumnSource:
        unit = names.unit_of(name, column.kind)
        if not unit and column.kind is Kind.SHARE:
            numbers = [number for value in self._some(export, name) if (number := shapes.share(value)) is not None]
            if numbers and max(numbers) > 1:
                unit = "percent"
        return ColumnSource(column=name, unit=unit)

    def _with_doubts(self, export: Export, table: TableContract, guess: Guess) -> Guess:
        assert guess.source is not None
        doubts = []
        values = self._some(export, guess.source.column)
        if guess.column.kind in (Kind.DATE, Kind.INSTANT) and shapes.day_order(values) == "both":
            doubts.append(
                f'\'{values[0]}\': month or day first? If reading refuses it, write format: "%m/%d/%Y" or "%d/%m/%Y"'
            )
        if guess.source.unit in ("percent", "per_year", "per_quarter", "thousands"):
            doubts.append(f"taken for {guess.source.unit}")
        elif guess.column.kind is Kind.MONEY and _look_like_cents(values):
            doubts.append("if these are cents, add unit: cents")
        if guess.column.needed and self.folder.given(export, guess.source.column) < 0.95:
            share = 1 - self.folder.given(export, guess.source.column)
            doubts.append(f"empty in {share:.0%} of the rows, which cannot be used")
        if (guess.column.name,) == table.key and not shapes.is_unique(
            self.folder.distinct(export, guess.source.column)
        ):
            doubts.append("its values repeat, and one row wins for each")
        return replace(guess, doubts=(*guess.doubts, *doubts))

    def _with_words(self, export: Export, guess: Guess) -> Guess:
        """The words of a category's column, each with what it probably means."""
        source, column = guess.source, guess.column
        if source is None or column.kind is not Kind.CATEGORY:
            return guess
        name = source.column or next(iter(_columns_of(source)), "")
        values = self.folder.values(export, name) if name in export.columns else ()
        if len(values) > MAX_WORDS or source.constant is not None or source == NOWHERE:
            return guess
        declared = {word.lower(): known for word, known in source.words.items()}
        words: dict[str, str] = {}
        guessed, unknown = set(), []
        for value in values:
            # With an expression the words are its result, which is not known here.
            if source.expression or value.lower() in declared or value in OTHER_NULLS:
                continue
            known, is_guess = names.meaning(value, column)
            if known is None:
                unknown.append(value)
            elif known != value.strip().lower():
                words[value] = known
                if is_guess:
                    guessed.add(value)
        if words:
            source = replace(source, words=MappingProxyType({**source.words, **words}))
        return replace(guess, source=source, guessed=frozenset(guessed), unknown=tuple(unknown))


def _present(column: str, known: KnownExport, header: Collection[str]) -> str:
    """The name under which a recognised column is there, if it is."""
    if column.lower() in header:
        return column
    for contract_column, others in known.also_called.items():
        if known.source.columns[contract_column].column == column:
            return next((other for other in others if other.lower() in header), "")
    return ""


def _there(declared: ColumnSource, also_called: Sequence[str], header: Mapping[str, str]) -> ColumnSource | None:
    """What a preset says of a column, as far as the file has it."""
    if declared.column:
        name = next((name for name in (declared.column, *also_called) if name.lower() in header), None)
        return None if name is None else replace(declared, column=header[name.lower()])
    if declared.expression and not all(name.lower() in header for name in _columns_of(declared)):
        return None
    return declared


def _columns_of(source: ColumnSource) -> Iterator[str]:
    if source.expression:
        yield from expressions.parse(source.expression).columns


def _made_id(guesses: Mapping[str, Guess]) -> Guess | None:
    """An id for events that have none, made of what tells them apart."""
    from churn_pipeline.core.sql import quoted

    parts = [guesses[name] for name in ("customer_id", "timestamp", "event_type") if name in guesses]
    if len(parts) < 3:
        return None
    columns = ", ".join(quoted(_column(part)) for part in parts)
    return Guess(
        TABLES["usage_events"].raw[0],
        ColumnSource(expression=f"md5(concat_ws('|', {columns}))"),
        0.5,
        doubts=("no id was found, so it is made of the others; two equal events of one moment count once",),
    )


def _completed(table: TableContract, guesses: Mapping[str, Guess]) -> tuple[Guess, ...]:
    """The guesses in the contract's order, and for what is required and was not found one without a source."""
    return tuple(
        guesses.get(column.name) or Guess(column)
        for column in table.columns
        if column.name in guesses or column.required
    )


def _customer_id(customers: TableProposal) -> str:
    return next(
        (guess.source.column for guess in customers.guesses if guess.column.name == "customer_id" and guess.source), ""
    )


def _column(guess: Guess) -> str:
    assert guess.source is not None
    return guess.source.column


def _is_of(guess: Guess, name: str) -> bool:
    return guess.source is not None and guess.source.column == name


def _look_like_cents(values: Sequence[str]) -> bool:
    """Whole numbers that nearly all end in 00 or 99, and are large."""
    whole = [value for value in values if value.isdigit() and value != "0"]
    return (
        len(whole) >= 3
        and len(whole) == len([value for value in values if value != "0"])
        and all(len(value) >= 4 and value.endswith(("00", "99", "50")) for value in whole)
    )
