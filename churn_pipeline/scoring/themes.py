"""Reasons that people read: contributions added by theme, each theme put into one sentence.

A sentence comes from the member that raises most, in words that depend on where its value stands among those of similar companies, with one more
fact from another member as evidence. Nothing is told twice of a customer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from churn_pipeline.core.themes import NEVER_A_REASON, OTHER, PARTS, RAISE, THEMES, Theme
from churn_pipeline.features.catalogue import Catalogue, Feature, facts_of
from churn_pipeline.features.sentences import (
    MONTH_BEFORE,
    PEERS,
    VALUE,
    Slot,
    Template,
    month_before,
    parse,
    sentence_case,
    slot_text,
)
from churn_pipeline.scoring.columns import floats, objects
from churn_pipeline.scoring.peers import (
    ABOUT,
    ABOVE,
    BELOW,
    FIRST_PLAN,
    OTHERS,
    SIMILAR,
    UNKNOWN,
    Standing,
    is_no_worse,
    standings,
)

TOP = 3
# A theme of a smaller share of what raises is no reason, unless it is the largest.
MIN_SHARE = 0.05
# A member that raises less than this share of what the largest one does is not worth a word.
EVIDENCE_SHARE = 0.25
# Only so many members of a theme are asked for words, the largest first.
SPEAKERS = 5
# Said of a value that is no worse than that of others and raises the risk all the same: whoever reads the comparison would take it for a mistake.
AND_YET = ", and yet such customers leave more often"
# A smaller ratio of two counts is never written as twice the same number, but for counts that are next to nothing.
LEVEL = 0.5
_NUMBER = re.compile(r"\d[\d,]*")

# Of each reason the theme and how people call it; the sum of the contributions of its features, log-odds of the calibrated probability; which
# share that is of what all themes raise that can be a reason; why, in words; and the features that the sentence and its evidence come from.
THEME_TYPE = pa.list_(
    pa.struct(
        [
            ("theme", pa.string()),
            ("label", pa.string()),
            ("contribution", pa.float64()),
            ("share", pa.float64()),
            ("sentence", pa.string()),
            ("features", pa.list_(pa.string())),
        ]
    )
)
CHANGE_TYPE = pa.list_(pa.struct([("part", pa.string()), ("label", pa.string()), ("points", pa.float64())]))


def theme_sums(catalogue: Catalogue, contributions: NDArray[np.float64]) -> dict[Theme | None, NDArray[np.float64]]:
    """What each theme moves, shape (rows,); None are the features without a theme. Themes without a feature are not there.

    Args:
        catalogue: the model's features with their themes.
        contributions: shape (rows, features), log-odds.
    """
    sums: dict[Theme | None, NDArray[np.float64]] = {}
    for theme, positions in _members(catalogue).items():
        # One after the other: how numpy adds along an axis depends on the shape, and a customer alone has the same bits as among others.
        sums[theme] = np.zeros(len(contributions))
        for position in positions:
            sums[theme] += contributions[:, position]
    return sums


def reasons(
    catalogue: Catalogue,
    frame: pd.DataFrame,
    contributions: NDArray[np.float64],
    standing: Mapping[str, Standing] | None = None,
) -> pa.ListArray:
    """The themes that raise each customer's risk, the largest first, at most three.

    Args:
        catalogue: the model's features, in the order of the columns of ``contributions``, with their themes (:meth:`Catalogue.with_themes`).
        frame: the mart's rows of one Monday, all of them: they are compared with each other.
        contributions: shape (rows, features), log-odds.
        standing: how they stand among all of the Monday (`standings_of`), where the frame has some of its rows only.

    Returns:
        Of ``THEME_TYPE``.
    """
    members = {
        theme: np.asarray(positions)
        for theme, positions in _members(catalogue).items()
        if theme is not None and theme not in NEVER_A_REASON
    }
    if not members or not len(frame):
        return pa.array([[]] * len(frame), THEME_TYPE)
    themes = list(members)
    sums = theme_sums(catalogue, contributions)
    raised = np.column_stack([np.maximum(sums[theme], 0) for theme in themes])
    order = np.argsort(-raised, axis=1, kind="stable")[:, :TOP]
    amounts = np.take_along_axis(raised, order, axis=1)
    totals = raised.sum(axis=1)
    speakers = _speakers(list(members.values()), contributions, order)
    told = Words(catalogue, frame, standing).tell(order, amounts, speakers, totals)
    place = order[told.row, told.rank].astype(np.int32)
    amount = amounts[told.row, told.rank]
    has_evidence = told.evidence >= 0
    features = np.stack([told.speaker, told.evidence], axis=1)
    arrays: list[Any] = [
        _decoded(place, themes),
        _decoded(place, [THEMES[theme] for theme in themes]),
        pa.array(amount),
        pa.array(amount / totals[told.row]),
        told.sentence,
        pa.ListArray.from_arrays(
            _offsets(1 + has_evidence.astype(np.int64)),
            _decoded(features[features >= 0].astype(np.int32), catalogue.names),
        ),
    ]
    entries = pa.StructArray.from_arrays(arrays, fields=list(THEME_TYPE.value_type))
    return pa.ListArray.from_arrays(_offsets(np.bincount(told.row, minlength=len(frame))), entries)


def _offsets(lengths: NDArray[np.int64]) -> pa.Array:
    return pa.array(np.append(0, np.cumsum(lengths)).astype(np.int32))


def _decoded(codes: NDArray[np.int32], texts: Sequence[str]) -> pa.StringArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(texts, pa.string())).dictionary_decode()


def _speakers(
    members: Sequence[NDArray[np.intp]], contributions: NDArray[np.float64], order: NDArray[np.intp]
) -> NDArray[np.int16]:
    """By customer and theme of theirs the features that may put it into words, the largest contribution first; -1 where there are no more.

    Args:
        members: positions of the features, by theme.
        contributions: shape (rows, features), log-odds.
        order: shape (rows, themes told), the themes of each customer by their places in ``members``.
    """
    width = min(SPEAKERS, max(map(len, members)))
    speakers = np.full((*order.shape, width), -1, dtype=np.int16)
    for place, positions in enumerate(members):
        own = contributions[:, positions]
        largest = np.argsort(-own, axis=1, kind="stable")[:, :width]
        amounts = np.take_along_axis(own, largest, axis=1)
        # From the largest down, so those that are worth a word come first.
        of_theme = np.where(amounts >= EVIDENCE_SHARE * amounts[:, :1], positions[largest], -1)
        for column in range(order.shape[1]):
            told = order[:, column] == place
            speakers[told, column, : of_theme.shape[1]] = of_theme[told]
    return speakers


def standings_of(catalogue: Catalogue, frame: pd.DataFrame) -> dict[str, Standing]:
    """How the customers of a Monday stand among each other, by each feature that can be a reason.

    Args:
        catalogue: with themes.
        frame: the mart's rows of the Monday, all of them.
    """
    spoken = [f for f in catalogue if f.theme is not None and f.theme not in NEVER_A_REASON]
    return dict(zip((f.name for f in spoken), standings(spoken, frame), strict=True))


class Words:
    """The sentences of one Monday, made where they are asked for.

    Args:
        catalogue: with themes.
        frame: the mart's rows of the Monday, all of them.
        standing: how they stand among all of the Monday, where the frame has some of its rows only.
    """

    def __init__(
        self, catalogue: Catalogue, frame: pd.DataFrame, standing: Mapping[str, Standing] | None = None
    ) -> None:
        self.names = catalogue.names
        self.standing = standings_of(catalogue, frame) if standing is None else standing
        self.case = [
            self.standing[f.name].case if f.name in self.standing else np.full(len(frame), UNKNOWN, dtype=np.int8)
            for f in catalogue
        ]
        self._catalogue = catalogue
        self._frame = frame
        self._columns: dict[str, _Column] = {}
        self._bits: dict[str, int] = {}
        self._says = [self._sentences(f, f.says) for f in catalogue]
        self._also = [self._sentences(f, f.also) for f in catalogue]
        # For a reason of which nothing is said in its case, so that it is not lost: the words without a judgement, else label and value.
        self._about = [
            [self._sentence(f, (f.says or {}).get("about", (f.says or {}).get("any")))] * UNKNOWN + [None]
            for f in catalogue
        ]
        self._plain = [self._plainly(f) for f in catalogue]
        self._no_worse = [self._is_no_worse(place, f) for place, f in enumerate(catalogue)]
        for position, feature in enumerate(catalogue):
            if feature.like is not None and feature.like in catalogue:
                other = self.names.index(feature.like)
                for templates in (self._says, self._also, self._about, self._plain):
                    templates[position] = templates[other]
                self.case[position] = self.case[other]
                self._no_worse[position] = self._no_worse[other]

    def tell(
        self,
        order: NDArray[np.intp],
        amounts: NDArray[np.float64],
        speakers: NDArray[np.int16],
        totals: NDArray[np.float64],
    ) -> Told:
        """What `of` says of each customer, of all of them at once.

        Customers whose next word comes from the same template are asked together. That one text was said before is left to `of`: it
        happens to few.

        Args:
            order: the themes of each customer to tell, shape (rows, themes told).
            amounts: what each of them raises, likewise.
            speakers: for each of them the features that may put it into words, -1 where there are no more.
            totals: what all themes raise, shape (rows,).
        """
        rows, ranks = order.shape
        case, is_no_worse = np.stack(self.case), np.stack(self._no_worse)
        told = np.zeros((rows, self._words_of_facts), dtype=np.uint64)
        speaker, evidence = np.full((rows, ranks), -1), np.full((rows, ranks), -1)
        entries = _Entries()
        of_sentence, of_evidence = np.full((rows, ranks), -1), np.full((rows, ranks), -1)
        for rank in range(ranks):
            amount, may_speak = amounts[:, rank], speakers[:, rank]
            is_told = (amount > 0) & ~((speaker >= 0).any(axis=1) & (amount < MIN_SHARE * totals))
            # A word that speaks for leaving comes before one that speaks against it.
            is_worse = (may_speak >= 0) & ~is_no_worse[may_speak, np.arange(rows)[:, np.newaxis]]
            for tables, passes, into, index in (
                (
                    (self._says, self._about, self._says, self._about, self._plain),
                    (is_worse, is_worse, may_speak >= 0, may_speak >= 0, may_speak >= 0),
                    speaker,
                    of_sentence,
                ),
                ((self._also,), (may_speak >= 0,), evidence, of_evidence),
            ):
                before = told.copy()
                for table, passed in zip(tables, passes, strict=True):
                    for place in range(may_speak.shape[1]):
                        candidates = np.flatnonzero(is_told & (into[:, rank] < 0) & passed[:, place])
                        position = may_speak[candidates, place].astype(np.intp)
                        for template, among, of in _by_template(
                            table, position, case[position, candidates], candidates
                        ):
                            fits, facts = self._fits(template, among, before[among])
                            answered = among[fits]
                            told[answered] |= facts[fits]
                            into[answered, rank] = of
                            index[answered, rank] = entries.add(template, answered, before[answered])
                is_told = into[:, rank] >= 0
        texts = self._texts_of(entries)
        sentences, is_repeated = _joined(texts, of_sentence, of_evidence, _of_speakers(is_no_worse, speaker))
        again: list[str] = []
        where = np.arange(rows)[:, np.newaxis] + rows * np.arange(ranks)
        for row in np.flatnonzero(is_repeated).tolist():
            speaker[row], evidence[row] = -1, -1
            arguments = (order[row].tolist(), amounts[row].tolist(), speakers[row].tolist(), float(totals[row]))
            for theme, _, sentence, features in self.of(row, *arguments):
                rank = order[row].tolist().index(theme)
                speaker[row, rank], evidence[row, rank] = [*features, -1][:2]
                where[row, rank] = rows * ranks + len(again)
                again.append(sentence)
        row_of, rank_of = np.nonzero(speaker >= 0)
        all_sentences = pa.concat_arrays([*sentences, pa.array(again, pa.string())])
        return Told(
            row_of,
            rank_of,
            all_sentences.take(pa.array(where[row_of, rank_of])),
            speaker[row_of, rank_of],
            evidence[row_of, rank_of],
        )

    @property
    def _words_of_facts(self) -> int:
        return len(self._bits) // 64 + 1

    def _mask(self, bits: int) -> NDArray[np.uint64]:
        """Facts as words of 64 of them."""
        return np.array([bits >> 64 * word & (1 << 64) - 1 for word in range(self._words_of_facts)], dtype=np.uint64)

    def _fits(
        self, template: _Sentence, rows: NDArray[np.intp], told: NDArray[np.uint64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
        """Of which customers a template can be said after some facts were told, and the facts that it tells of them."""
        fact = self._mask(template.fact)
        fits, facts = ~(told & fact).any(axis=1), np.tile(fact, (len(rows), 1))
        for pieces, optional in template.segments:
            is_there, of_part = self._is_there(pieces, rows, told)
            if optional:
                facts[is_there] |= of_part
            else:
                fits &= is_there
                facts |= of_part
        return fits, facts

    def _is_there(
        self, pieces: Sequence[str | _Piece], rows: NDArray[np.intp], told: NDArray[np.uint64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
        """Of which customers all pieces are known and not told before, and the facts that they tell."""
        is_there, facts = np.ones(len(rows), dtype=np.bool_), 0
        for piece in pieces:
            if isinstance(piece, str):
                continue
            is_there &= piece.is_there(rows)
            if piece.facts:
                is_there &= ~(told & self._mask(piece.facts)).any(axis=1)
                facts |= piece.facts
        return is_there, self._mask(facts)

    def _texts_of(self, entries: _Entries) -> pa.StringArray:
        """The texts of entries, in the order of their numbers."""
        numbers, texts = [], []
        for template, rows, told, own in entries.by_template():
            numbers.append(own)
            texts.append(self._filled(template, rows, told))
        if not texts:
            return pa.array([], pa.string())
        return pa.concat_arrays(texts).take(pa.array(np.argsort(np.concatenate(numbers), kind="stable")))

    def _filled(self, template: _Sentence, rows: NDArray[np.intp], told: NDArray[np.uint64]) -> pa.StringArray:
        parts: list[Any] = []
        for pieces, optional in template.segments:
            is_there, _ = self._is_there(pieces, rows, told) if optional else (np.ones(len(rows), dtype=np.bool_), 0)
            if not is_there.any():
                continue
            filled = [piece if isinstance(piece, str) else piece.texts(rows[is_there]) for piece in pieces]
            part = _concatenated(filled, int(is_there.sum()))
            if not is_there.all():
                place = np.where(is_there, np.cumsum(is_there) - 1, len(part))
                part = pa.concat_arrays([part, pa.array([""])]).take(pa.array(place))
            parts.append(part)
        return _concatenated(parts, len(rows))

    def of(
        self,
        row: int,
        places: Sequence[int],
        amounts: Sequence[float],
        speakers: Sequence[Sequence[int]],
        total: float,
    ) -> list[tuple[int, float, str, list[int]]]:
        """The themes of a customer that raise, in words: the theme's place, its amount, the sentence, and the features that it tells of.

        Args:
            row: the customer.
            places: of the themes to tell, in this order.
            amounts: what each of them raises; one that raises nothing, or next to nothing, is passed over.
            speakers: for each of them the features that may put it into words, the largest contribution first, then -1.
            total: what all themes raise.
        """
        told = 0
        said: set[str] = set()
        out: list[tuple[int, float, str, list[int]]] = []
        least_amount = MIN_SHARE * total
        for place, amount, raising in zip(places, amounts, speakers, strict=True):
            if amount <= 0 or (out and amount < least_amount):
                continue
            # A word that speaks for leaving comes before one that speaks against it.
            worse = [position for position in raising if position >= 0 and not self._no_worse[position][row]]
            sentence = (
                self._first(self._says, worse, row, told, said)
                or self._first(self._about, worse, row, told, said)
                or self._first(self._says, raising, row, told, said)
                or self._first(self._about, raising, row, told, said)
                or self._first(self._plain, raising, row, told, said)
            )
            if sentence is None:
                continue
            text, facts, position = sentence
            if self._no_worse[position][row]:
                text += AND_YET
            told |= facts
            said.add(text)
            features = [position]
            # Its own facts are told by now.
            if evidence := self._first(self._also, raising, row, told, said):
                text = f"{text}; {evidence[0]}"
                told |= evidence[1]
                features.append(evidence[2])
            out.append((place, amount, sentence_case(text), features))
        return out

    def sentence(self, position: int, row: int, *, also: bool = False) -> str | None:
        """What is said of one feature of a customer in the case that it is in, or None where nothing is.

        Args:
            position: of the feature in the catalogue.
            row: the customer.
            also: what is added to the sentence of another feature, and not a sentence of its own.
        """
        template = (self._also if also else self._says)[position][self.case[position][row]]
        told = template and template(row, 0)
        return (told[0] if also else sentence_case(told[0])) if told else None

    def _first(
        self,
        templates: Sequence[Sequence[_Sentence | None]],
        positions: Sequence[int],
        row: int,
        told: int,
        said: set[str],
    ) -> tuple[str, int, int] | None:
        for position in positions:
            if position < 0:
                break
            template = templates[position][self.case[position][row]]
            # Two facts that nothing is known of may have the same words.
            if template is not None and (text := template(row, told)) is not None and text[0] not in said:
                return (*text, position)
        return None

    def _sentences(self, feature: Feature, templates: Any) -> list[_Sentence | None]:
        templates = templates or {}
        everywhere = templates.get("any")
        below, above = ("no", "yes") if feature.dtype == "boolean" else ("below", "above")
        texts = {BELOW: below, ABOUT: "about", ABOVE: above}
        filled = [self._sentence(feature, templates.get(key, everywhere)) for key in texts.values()]
        return [*filled, self._sentence(feature, templates.get("unknown"))]

    def _is_no_worse(self, place: int, feature: Feature) -> NDArray[np.bool_]:
        standing = self.standing.get(feature.name)
        if standing is None:
            return np.zeros(len(self._frame), dtype=np.bool_)
        words = " ".join(text or "" for text in (feature.says or {}).values())
        flags = is_no_worse(feature, self._frame, standing, is_compared=f"{{{PEERS}}}" in words)
        is_there = feature.name in self._frame.columns
        if is_there and feature.worse and feature.format == "percent" and words and f"{{{VALUE}" not in words:
            # Told by the two numbers behind it, which may read the same: "15 events last week after 15 events a week".
            above = np.flatnonzero(~flags & (floats(self._frame[feature.name]) > LEVEL))
            position = np.full(len(above), place)
            for template, among, _ in _by_template(self._says, position, self.case[place][above], above):
                nothing = np.zeros((len(among), self._words_of_facts), dtype=np.uint64)
                among = among[self._fits(template, among, nothing)[0]]
                written = self._filled(template, among, nothing[: len(among)]).dictionary_encode()
                reads_alike = [len(set(_NUMBER.findall(words))) == 1 for words in written.dictionary.to_pylist()]
                flags[among] = np.array(reads_alike, dtype=np.bool_)[written.indices.to_numpy()]
        return flags

    def _plainly(self, feature: Feature) -> list[_Sentence | None]:
        label = re.sub(r"[\[\]{}]", "", feature.label)
        return [self._sentence(feature, f"{label}: {{value}}")] * UNKNOWN + [
            self._sentence(feature, f"{label}: not known")
        ]

    def _sentence(self, feature: Feature, text: str | None) -> _Sentence | None:
        if text is None or feature.name not in self.standing:
            return None
        template = parse(text)
        segments = []
        for segment in template.segments:
            pieces: list[str | _Piece] = []
            for piece in segment.pieces:
                if isinstance(piece, str):
                    pieces.append(piece)
                elif (filled := self._piece(feature, piece, template, optional=segment.optional)) is not None:
                    pieces.append(filled)
                elif segment.optional:
                    break
                else:
                    # A stored version may name a column that the mart has no more.
                    return None
            else:
                segments.append((pieces, segment.optional))
        return _Sentence(self._bits_of(facts_of(feature)), segments)

    def _piece(self, feature: Feature, slot: Slot, template: Template, *, optional: bool) -> _Piece | None:
        if slot.name == MONTH_BEFORE:
            return _Piece(self._column("snapshot_date"), month_before, 0)
        if slot.name == PEERS:
            spec = next((s.spec for s in template.slots if s.name == VALUE), "")
            # The noun is said once.
            spec = "" if feature.format == "count" and not spec.endswith("/week") else spec
            spec = "/week" if spec.endswith("/week") else spec
            standing = self.standing[feature.name]
            # As many texts as there are groups that somebody is compared with.
            texts = [
                None
                if median != median
                else f"{SIMILAR if group >= FIRST_PLAN else OTHERS} {slot_text(feature.format, spec, feature.name, median)}"
                for group, median in enumerate(standing.medians)
            ]
            return _Piece(_Column(standing.group, texts), str, 0)
        name = feature.name if slot.name == VALUE else slot.name
        column = self._catalogue.tellable.get(name)
        if column is None or name not in self._frame.columns:
            return None

        def write(value: Any) -> str:
            return slot_text(column.format, slot.spec, name, value)

        # The feature's own fact is told with the sentence as a whole.
        facts = 0 if name == feature.name else self._bits_of(facts_of(column))
        return _Piece(self._column(name), write, facts, is_left_out_at_0=optional)

    def _column(self, name: str) -> _Column:
        if name not in self._columns:
            self._columns[name] = _Column.of(self._frame[name])
        return self._columns[name]

    def _bits_of(self, facts: Sequence[str]) -> int:
        bits = 0
        for fact in facts:
            bits |= self._bits.setdefault(fact, 1 << len(self._bits))
        return bits


class _Column:
    """Values as pieces of sentences ask for them.

    Args:
        values: numbers, NaN for unknown ones; or, where there are examples, their places among them, -1 for unknown ones.
        examples: values that many customers share; None among them is unknown too.
    """

    def __init__(self, values: NDArray[Any], examples: list[Any] | None = None) -> None:
        self._values, self._examples = values, examples
        if examples is None:
            self.is_known, self.is_0 = ~np.isnan(values), values == 0
        else:
            # The last place is that of -1.
            self.is_known = np.array([*(value is not None for value in examples), False])[values]
            self.is_0 = np.array([*(bool(value == 0) for value in examples), False])[values]

    @classmethod
    def of(cls, column: pd.Series) -> _Column:
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
            return cls(column.to_numpy())
        codes, uniques = pd.factorize(column)
        return cls(codes, objects(pd.Series(uniques)))

    def value(self, row: int) -> Any:
        """As Python has it; None where it is unknown."""
        if not self.is_known[row]:
            return None
        value = self._values[row].item()
        return value if self._examples is None else self._examples[value]

    def texts(self, rows: NDArray[np.intp], write: Callable[[Any], str]) -> pa.StringArray:
        """The values of customers of whom they are known, each that differs written once."""
        codes, uniques = pd.factorize(self._values[rows])
        values = uniques.tolist()
        return _decoded(
            codes.astype(np.int32),
            [write(value if self._examples is None else self._examples[value]) for value in values],
        )


@dataclass(frozen=True)
class _Piece:
    """A slot that is ready to be filled.

    Attributes:
        column: its values.
        write: how one is written.
        facts: that it tells.
        is_left_out_at_0: as if it were unknown.
    """

    column: _Column
    write: Callable[[Any], str]
    facts: int
    is_left_out_at_0: bool = False

    def text(self, row: int) -> str | None:
        """None where there is nothing to say."""
        value = self.column.value(row)
        return None if value is None or (self.is_left_out_at_0 and value == 0) else self.write(value)

    def is_there(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Of which customers there is something to say."""
        known = self.column.is_known[rows]
        return known & ~self.column.is_0[rows] if self.is_left_out_at_0 else known

    def texts(self, rows: NDArray[np.intp]) -> pa.StringArray:
        """Of customers of whom there is something to say."""
        return self.column.texts(rows, self.write)


@dataclass(frozen=True)
class _Sentence:
    """A template that is ready to be filled; gives text and facts told, or None where something is unknown or was told before."""

    fact: int
    segments: list[tuple[list[str | _Piece], bool]]

    def __call__(self, row: int, told: int) -> tuple[str, int] | None:
        if self.fact & told:
            return None
        text, facts = "", self.fact
        for pieces, optional in self.segments:
            part, of_part = "", 0
            for piece in pieces:
                if isinstance(piece, str):
                    part += piece
                    continue
                filled = None if piece.facts & told else piece.text(row)
                if filled is None:
                    break
                part += filled
                of_part |= piece.facts
            else:
                text += part
                facts |= of_part
                continue
            if not optional:
                return None
        return text, facts


@dataclass(frozen=True)
class Told:
    """Reasons of customers in words, row after row, each with the largest theme first.

    Attributes:
        row: of the customer.
        rank: of the theme among those of the customer.
        sentence: in words.
        speaker: position of the feature that the sentence comes from.
        evidence: of the one that gives its evidence, -1 without one.
    """

    row: NDArray[np.intp]
    rank: NDArray[np.intp]
    sentence: pa.StringArray
    speaker: NDArray[np.intp]
    evidence: NDArray[np.intp]


class _Entries:
    """What is to be written, each entry with a number."""

    def __init__(self) -> None:
        self._by_template: dict[int, tuple[_Sentence, list[Any]]] = {}
        self._size = 0

    def add(self, template: _Sentence, rows: NDArray[np.intp], told: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Has a template said of customers of whom some facts were told before; gives the numbers of the entries."""
        numbers = np.arange(self._size, self._size + len(rows))
        self._by_template.setdefault(id(template), (template, []))[1].append((rows, told, numbers))
        self._size += len(rows)
        return numbers

    def by_template(self) -> Iterator[tuple[_Sentence, NDArray[np.intp], NDArray[np.uint64], NDArray[np.intp]]]:
        for template, parts in self._by_template.values():
            rows, told, numbers = (np.concatenate(column) for column in zip(*parts, strict=True))
            yield template, rows, told, numbers


def _by_template(
    table: Sequence[Sequence[_Sentence | None]],
    position: NDArray[np.intp],
    case: NDArray[np.int8],
    rows: NDArray[np.intp],
) -> Iterator[tuple[_Sentence, NDArray[np.intp], int]]:
    """The customers whose feature, in the case that it is in, has a template: template, rows and position of the feature."""
    cases = UNKNOWN + 1
    key = position * cases + case
    order = np.argsort(key, kind="stable")
    present, starts = np.unique(key[order], return_index=True)
    for each, among in zip(present.tolist(), np.split(rows[order], starts[1:]), strict=False):
        if (template := table[each // cases][each % cases]) is not None:
            yield template, among, each // cases


def _of_speakers(flags: NDArray[np.bool_], speaker: NDArray[np.intp]) -> NDArray[np.bool_]:
    """A flag of each feature and customer, of those features that speak."""
    return (speaker >= 0) & flags[speaker, np.arange(len(speaker))[:, np.newaxis]]


def _joined(
    texts: pa.StringArray, of_sentence: NDArray[np.intp], of_evidence: NDArray[np.intp], and_yet: NDArray[np.bool_]
) -> tuple[list[pa.StringArray], NDArray[np.bool_]]:
    """The sentences of all customers by rank, null where there is none, and of which customers a text would be said twice."""
    sentences: list[pa.StringArray] = []
    spoken: list[pa.StringArray] = []
    is_repeated = np.zeros(len(of_sentence), dtype=np.bool_)

    def note(text: pa.StringArray) -> None:
        for earlier in spoken:
            is_repeated[pc.equal(text, earlier).fill_null(False).to_numpy(zero_copy_only=False)] = True

    for rank in range(of_sentence.shape[1]):
        own, added = (
            texts.take(pa.array(index[:, rank], mask=index[:, rank] < 0)) for index in (of_sentence, of_evidence)
        )
        note(own)
        own = pc.if_else(pa.array(and_yet[:, rank]), pc.binary_join_element_wise(own, AND_YET, ""), own)
        spoken.append(own)
        note(added)
        whole = pc.if_else(pc.is_valid(added), pc.binary_join_element_wise(own, added, "; "), own)
        first = pc.utf8_slice_codeunits(whole, 0, 1).dictionary_encode()
        # As Python has capitals.
        capitals = pa.array([sentence_case(letter) for letter in first.dictionary.to_pylist()], pa.string())
        first = pa.DictionaryArray.from_arrays(first.indices, capitals).dictionary_decode()
        sentences.append(pc.binary_join_element_wise(first, pc.utf8_slice_codeunits(whole, 1), ""))
    return sentences, is_repeated


def _concatenated(parts: Sequence[Any], rows: int) -> pa.StringArray:
    """Texts and columns of texts, one after the other."""
    if all(isinstance(part, str) for part in parts):
        return pa.array(["".join(parts)] * rows, pa.string())
    return pc.binary_join_element_wise(*parts, "")


def _members(catalogue: Catalogue) -> dict[Theme | None, list[int]]:
    members: dict[Theme | None, list[int]] = {}
    for position, feature in enumerate(catalogue):
        members.setdefault(feature.theme, []).append(position)
    # In the order of their declaration, which decides between equals.
    return {theme: members[theme] for theme in (*THEMES, None) if theme in members}


def change_parts(
    catalogue: Catalogue,
    now: NDArray[np.float64],
    before: NDArray[np.float64],
    bias: float,
    raised: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """What each theme did to a probability between two Mondays, both explained by one model.

    With l the log-odds and s the logistic function, a theme's part is its change of contribution times (s(l1) - s(l0)) / (l1 - l0), or p(1 - p)
    where l1 = l0. So the parts of the themes add up to s(l1) - s(l0), and with the raise to the final probability less s(l0).

    Args:
        catalogue: the model's features with their themes.
        now: contributions of this Monday, shape (rows, features), log-odds.
        before: of the Monday before, the same customers in the same order.
        bias: of the model.
        raised: shape (rows,), by how much the probability of this Monday was raised to that of a shorter horizon.

    Returns:
        By part its change of probability, shape (rows,).
    """
    moved_by = theme_sums(catalogue, now - before)
    zero = np.zeros(len(now))
    l0 = bias + sum(theme_sums(catalogue, before).values(), zero)
    change = sum(moved_by.values(), zero)
    p0, p1 = _logistic(l0), _logistic(l0 + change)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(np.abs(change) > 1e-6, (p1 - p0) / change, p0 * (1 - p0))
    parts: dict[str, NDArray[np.float64]] = {theme or OTHER: moved * slope for theme, moved in moved_by.items()}
    return parts | {RAISE: raised}


def change_column(parts: dict[str, NDArray[np.float64]], known: NDArray[np.bool_]) -> pa.ListArray:
    """The parts of each customer's change, the largest first; null for whom there was no Monday before.

    Args:
        parts: of those who were there before, in the order of their rows.
        known: by customer, whether there was a Monday before.
    """
    names = [name for name in PARTS if name in parts]
    values = np.column_stack([parts[name] for name in names]) if names else np.zeros((0, 0))
    order = np.argsort(-np.abs(values), axis=1, kind="stable")
    points = np.take_along_axis(values, order, axis=1)
    moved = points != 0
    lengths = np.zeros(len(known), dtype=np.int64)
    lengths[known] = moved.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    labels = [PARTS[name] for name in names]
    which = order[moved].astype(np.int32)
    entries = pa.StructArray.from_arrays(
        [
            pa.DictionaryArray.from_arrays(which, names).cast(pa.string()),
            pa.DictionaryArray.from_arrays(which, labels).cast(pa.string()),
            pa.array(points[moved], pa.float64()),
        ],
        names=["part", "label", "points"],
    )
    return pa.ListArray.from_arrays(pa.array(offsets), entries, mask=pa.array(~known))


def _logistic(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    half: NDArray[np.float64] = np.tanh(0.5 * log_odds)
    return 0.5 * (1 + half)
