"""Who asks."""

from __future__ import annotations

import hmac

import pytest

from churn_pipeline.api.tokens import Tokens

TOKENS = {"ada": "a" * 16, "bruno": "b" * 32, "chi": "c" * 20}


@pytest.mark.parametrize(
    ("headers", "holder"),
    [
        ([b"Bearer " + b"a" * 16], "ada"),
        ([b"bearer " + b"c" * 20], "chi"),
        ([b"Bearer  " + b"b" * 32], "bruno"),
        ([b"Bearer " + b"a" * 17], None),
        ([b"Bearer " + b"a" * 15], None),
        ([b"Basic " + b"a" * 16], None),
        ([b"a" * 16], None),
        ([b"Bearer"], None),
        ([b"Bearer \xff\x00"], None),
        ([b""], None),
        ([], None),
        # Two may not be tried at once.
        ([b"Bearer " + b"a" * 16, b"Bearer " + b"a" * 16], None),
    ],
)
def test_a_token_is_known_whole_and_in_one_bearer_header_only(headers: list[bytes], holder: str | None) -> None:
    assert Tokens(TOKENS).holder(headers) == holder


def test_every_token_is_compared_in_constant_time_whatever_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def counting(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    tokens = Tokens(TOKENS)
    for headers in ([b"Bearer " + b"a" * 16], [b"Bearer " + b"c" * 20], [b"Bearer x"], [b"Basic x"], []):
        compared.clear()
        tokens.holder(headers)
        assert compared == [(32, 32)] * 3, headers


def test_no_token_is_kept_as_it_is_written() -> None:
    assert not any(token in repr(vars(Tokens(TOKENS))) for token in TOKENS.values())
