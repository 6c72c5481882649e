"""Where a list goes on."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.api.cursors import LONGEST, Cursor, CursorError, digest_of

CURSOR = Cursor("9f2b61c07a41d35e", digest_of(owner="Elena García", tier=None), 17)
ALPHABET = string.ascii_letters + string.digits + "-_=+/ ."


@given(rank=st.integers(0, 10**9))
def test_a_cursor_is_read_as_it_was_written(rank: int) -> None:
    cursor = Cursor(CURSOR.publication, CURSOR.asked_for, rank)
    assert Cursor.parse(cursor.text()) == cursor
    assert len(cursor.text()) <= LONGEST


def test_a_cursor_of_which_a_character_was_changed_lost_or_added_is_refused() -> None:
    text = CURSOR.text()
    changed = {text[:n] + letter + text[n + 1 :] for n in range(len(text)) for letter in ALPHABET}
    changed |= {text[:n] + text[n + 1 :] for n in range(len(text))} | {text[:n] for n in range(len(text))}
    changed |= {text + letter for letter in ALPHABET}
    for other in changed - {text}:
        with pytest.raises(CursorError):
            Cursor.parse(other)


@given(text=st.text(max_size=80))
def test_what_was_never_a_cursor_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(CursorError):
        Cursor.parse(text)


def test_lists_that_were_asked_for_differently_have_different_cursors() -> None:
    asked = [{}, {"owner": "a"}, {"tier": "a"}, {"owner": "a", "tier": None}, {"on_list": True}, {"on_list": False}]
    assert len({digest_of(**filters) for filters in asked}) == len(asked)
