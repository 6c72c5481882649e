"""Finding customers in text that others made of them, and taking them out of it.

Tables are exact: a row belongs to a customer by its ``customer_id``. Text is not: an id stands somewhere in a sentence, escaped as the
format wants it. An id counts wherever it stands by itself, not as a part of a longer word, number or id. A name counts only
where it can be nobody else's: names are made of ordinary words, and "Retail" is an industry too.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Any
from urllib.parse import quote

from churn_pipeline.core.formatting import clean, markdown_cell
from churn_pipeline.core.json_text import json_text

ERASED = "(erased)"
# What Slack messages show of an id or a name at most, see delivery/slack/blocks.py.
_SHOWN = 60
# Shorter ones, short numbers and ids without a digit or a sign stand in too many sentences that mean something else.
_TELLING, _TELLING_NUMBER = 4, 5


class Traces:
    """What gives some customers away in text.

    Args:
        customer_ids: who is looked for.
        names: their names, without those that another customer has too.
        in_cells: take an id for one only where it fills a cell of a Markdown table, for ids that are not telling.
    """

    def __init__(self, customer_ids: Collection[str], names: Collection[str] = (), *, in_cells: bool = False) -> None:
        self._in_cells = in_cells
        self.customer_ids = frozenset(customer_ids)
        self.names = frozenset(name for name in names if name.strip())

    @property
    def telling(self) -> bool:
        """Whether the ids can be told from ordinary words and numbers, wherever they stand."""
        return all(
            len(customer_id) >= (_TELLING_NUMBER if customer_id.isdigit() else _TELLING) and not customer_id.isalpha()
            for customer_id in self.customer_ids
        )

    @cached_property
    def _text(self) -> re.Pattern[str]:
        if self._in_cells:
            forms = sorted({form for customer_id in self.customer_ids for form in _forms(customer_id)})
            return re.compile(rf"(?<=\| )(?:{'|'.join(map(re.escape, forms))})(?= \|)")
        return _pattern([*self.customer_ids, *(name for name in self.names if len(name.split()) > 1)])

    @cached_property
    def _page(self) -> re.Pattern[str]:
        return _pattern([*self.customer_ids, *self.names])

    @cached_property
    def bytes_forms(self) -> frozenset[bytes]:
        """Ids and names of several words as they may lie in a file, for a search without any knowledge of it."""
        return frozenset(
            form.encode("utf-8", "replace")
            for term in (*self.customer_ids, *(name for name in self.names if len(name.split()) > 1))
            for form in _forms(term)
            if len(form) >= _TELLING or self._in_cells
        )

    def in_text(self, text: str) -> bool:
        """Whether prose names one of them."""
        return text in self.names or bool(self._text.search(text))

    def in_page(self, text: str) -> bool:
        """Whether a page names one of them; single-word names too, since a page that is made again costs nothing."""
        return bool(self._page.search(text))

    def erase(self, text: str) -> str:
        """The text without them."""
        return ERASED if text in self.names else self._text.sub(ERASED, text)

    def in_json(self, value: Any) -> bool:
        """Whether a JSON value names one of them, in a string that is JSON itself too."""
        return self.erase_json(value) != value

    def erase_json(self, value: Any) -> Any:
        """The JSON value without them: items and rows that are about one of them go, elsewhere the mention goes."""
        match value:
            case str():
                return self._erase_string(value)
            case list():
                return [self.erase_json(item) for item in value if not self._is_about(item)]
            case dict():
                return {key: self.erase_json(item) for key, item in value.items()}
        return value

    def _erase_string(self, text: str) -> str:
        if text[:1] in ("{", "["):
            try:
                inner = json.loads(text)
            except ValueError:
                return self.erase(text)
            cleaned = self.erase_json(inner)
            return text if cleaned == inner else json_text(cleaned, ascii_only=False)
        return self.erase(text)

    def _is_about(self, item: Any) -> bool:
        """An element of a list that is one customer's: a row of a sample, a line of a list in a message."""
        match item:
            case {"customer_id": str() as customer_id}:
                return customer_id in self.customer_ids
            case list():
                return any(isinstance(cell, str) and cell in self.customer_ids for cell in item)
            case {"type": "rich_text_section", "elements": [*elements]}:
                texts = [
                    element["text"]
                    for element in elements
                    if isinstance(element, dict) and isinstance(element.get("text"), str)
                ]
                return any(self.in_text(text) for text in texts)
        return False


def shared(names: Iterable[str], others: Iterable[str]) -> set[str]:
    """Those of ``names`` that stand in the name of another customer too, and so give nobody away."""
    wanted = list(names)
    patterns = {name: _pattern([name.lower()]) for name in wanted}
    return {name for other in others for name in wanted if patterns[name].search(other.lower())}


def _pattern(terms: Iterable[str]) -> re.Pattern[str]:
    # Longest first, or the beginning of a longer term would be taken for the whole.
    forms = sorted({form for term in terms for form in _forms(term)}, key=lambda form: (-len(form), form))
    if not forms:
        return re.compile(r"(?!)")
    return re.compile("|".join(_bounded(form) for form in forms))


def _bounded(form: str) -> str:
    """By itself: C1 is not in C12, C1-b, 0.C1 or AC1, and the sentence "that was C1." names it."""
    before = r"(?<![\w-])(?<!\d[.,:])" if re.match(r"\w", form[0]) else ""
    after = r"(?![\w-])(?![.,:]\d)" if re.match(r"\w", form[-1]) else ""
    return before + re.escape(form) + after


def _forms(term: str) -> set[str]:
    """The term as it is, and as HTML, JSON, JavaScript in HTML, CSV, addresses and Slack's messages write it."""
    plain = {term, term.strip(), clean(term, _SHOWN, ""), clean(term, 10_000, "")}
    # As a table in the Dagster UI has it.
    plain.add(markdown_cell(term))
    forms = set(plain)
    for spelling in plain:
        for escaped in (
            html.escape(spelling),
            html.escape(spelling, quote=False),
            html.escape(spelling).replace("&#x27;", "&#39;"),
        ):
            forms |= {escaped, escaped.replace("&quot;", "&#34;")}
        for ascii_only in (True, False):
            written = json_text(spelling, ascii_only=ascii_only)[1:-1]
            in_script = written
            for character in "<>&":
                in_script = in_script.replace(character, f"\\u{ord(character):04x}")
            # Jinja's tojson hides the apostrophe as well.
            forms |= {in_script, in_script.replace("'", "\\u0027")}
            forms |= {written, html.escape(written), json_text(written, ascii_only=ascii_only)[1:-1]}
        forms |= {
            spelling.replace('"', '""'),
            quote(spelling, errors="replace"),
            quote(spelling, safe="", errors="replace"),
        }
    return {form for form in forms if form.strip()}
