"""The list of the forgotten: hashes that only the home's key can make."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.contract import suppression
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import Settings

NOW = datetime(2026, 6, 1, 12)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.mark.parametrize("customer_id", ["C1", "Größe'\"\n%", "x" * 300, "🙂"])
def test_duckdb_and_python_hash_an_id_alike_and_as_the_standard_says(customer_id: str) -> None:
    known = suppression.Register(bytes(range(32)), {})
    expected = hmac.new(bytes(range(32)), customer_id.encode(), hashlib.sha256).hexdigest()
    with duckdb.connect() as con:
        assert con.execute(f"select {known.digest_sql('?')}", [customer_id]).fetchall() == [(expected,)]
    assert known.digest(customer_id) == expected


def test_the_list_names_nobody_the_key_is_the_owners_only_and_two_homes_have_different_ones(
    settings: Settings, tmp_path: Path
) -> None:
    with duckdb.connect() as con:
        known = suppression.add(settings, suppression.begin(settings), con, ["C0001"], "asked", NOW)
        assert suppression.remembered(con) == list(known.entries.values())
    folder = suppression.folder(settings)
    assert "C0001" not in "".join(path.read_text() for path in folder.iterdir())
    assert (folder / "key").stat().st_mode & 0o777 == 0o600
    assert repr(known.key) not in repr(known)
    other = suppression.begin(Settings(home=tmp_path / "other"))
    assert other.digest("C0001") != known.digest("C0001")


def test_who_is_on_the_list_stays_with_the_first_reason_and_a_restored_warehouse_learns_it_again(
    settings: Settings,
) -> None:
    with duckdb.connect() as con:
        known = suppression.add(settings, suppression.begin(settings), con, ["C1"], "first", NOW)
        suppression.add(settings, known, con, ["C1", "C2"], "second", NOW)
    with duckdb.connect() as restored:
        again = suppression.load(settings)
        assert again is not None
        again.fill(restored)
        again.fill(restored)
        assert sorted(entry.reason for entry in suppression.remembered(restored)) == ["first", "second"]


def test_a_lost_key_is_refused_and_never_replaced(settings: Settings) -> None:
    with duckdb.connect() as con:
        suppression.add(settings, suppression.begin(settings), con, ["C1"], "asked", NOW)
        (suppression.folder(settings) / "key").unlink()
        with pytest.raises(InputError, match="key is gone"):
            suppression.begin(settings)
        (suppression.folder(settings) / "list.json").unlink()
        with pytest.raises(InputError, match="nobody can tell"):
            suppression.check(con, suppression.load(settings))


@pytest.mark.parametrize(
    ("name", "text"), [("key", "zz"), ("key", "ab" * 31), ("list.json", "[{}]"), ("list.json", "{")]
)
def test_a_damaged_list_is_refused_and_says_what_to_do(settings: Settings, name: str, text: str) -> None:
    with duckdb.connect() as con:
        suppression.add(settings, suppression.begin(settings), con, ["C1"], "asked", NOW)
    (suppression.folder(settings) / name).write_text(text)
    with pytest.raises(InputError, match="put it back"):
        suppression.load(settings)
