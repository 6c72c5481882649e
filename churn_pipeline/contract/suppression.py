"""The list of forgotten customers, which names nobody: a keyed hash of each id, when and why.

It lies twice: in the warehouse as ``control.forgotten``, which landing reads, and beside its key in HOME/data/forgotten. A backup
of the warehouse that is put back knows nobody who was forgotten since; the file does. The key stays where it is: without it
hashes of ids could be told by trying all ids, and with another one the list would mean nobody.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from churn_pipeline.core.atomic import PRIVATE_FOLDER, replace_bytes
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.sql import literal
from churn_pipeline.core.warehouse import has_table, transaction

KEY_BYTES = 32
_BLOCK = 64  # of SHA-256, in bytes
TABLE = "control.forgotten"
CREATE = (
    "create schema if not exists control; "
    f"create table if not exists {TABLE} (digest varchar, forgotten_at timestamp, reason varchar)"
)


@dataclass(frozen=True)
class Forgotten:
    """One line of the list.

    Attributes:
        digest: HMAC-SHA-256 of the customer_id, 64 hex digits.
        forgotten_at: when it was asked for, UTC.
        reason: why, in the words of whoever asked; names nobody.
    """

    digest: str
    forgotten_at: datetime
    reason: str


@dataclass(frozen=True)
class Register:
    """The list of one home, and the key that its hashes are made with."""

    key: bytes = field(repr=False)
    entries: Mapping[str, Forgotten]

    def digest(self, customer_id: str) -> str:
        """The hash by which a customer is on the list."""
        return hmac.digest(self.key, customer_id.encode("utf-8", "surrogatepass"), "sha256").hex()

    def digest_sql(self, customer_id: str) -> str:
        """The same hash as an SQL expression: DuckDB has SHA-256 and no HMAC, which is two of them (RFC 2104)."""
        inner, outer = (bytes(byte ^ pad for byte in self.key.ljust(_BLOCK, b"\0")).hex() for pad in (0x36, 0x5C))
        return f"sha256(unhex({literal(outer)}) || unhex(sha256(unhex({literal(inner)}) || encode({customer_id}))))"

    def fill(self, con: duckdb.DuckDBPyConnection) -> None:
        """Brings ``control.forgotten`` up to the list, inside the caller's transaction if there is one."""
        con.execute(CREATE)
        there = {digest for (digest,) in con.execute(f"select digest from {TABLE}").fetchall()}
        for entry in self.entries.values():
            if entry.digest not in there:
                con.execute(f"insert into {TABLE} values (?, ?, ?)", [entry.digest, entry.forgotten_at, entry.reason])


def folder(settings: Settings) -> Path:
    """Where the key and the list lie; to be kept apart from backups of the rest."""
    return settings.data / "forgotten"


def load(settings: Settings) -> Register | None:
    """The home's list; None where nobody was ever forgotten.

    Raises:
        InputError: the key or the list is damaged or one of the two is gone.
    """
    key_file, list_file = folder(settings) / "key", folder(settings) / "list.json"
    if not key_file.exists():
        if list_file.exists():
            raise InputError(
                f"{key_file} is gone: without it nobody can tell who is meant by the list of the forgotten beside it. Put it "
                "back from a backup"
            )
        return None
    try:
        key = bytes.fromhex(key_file.read_text(encoding="ascii").strip())
        rows = json.loads(list_file.read_text(encoding="utf-8")) if list_file.exists() else []
        entries = {
            row["digest"]: Forgotten(row["digest"], datetime.fromisoformat(row["forgotten_at"]), row["reason"])
            for row in rows
        }
    except (ValueError, KeyError, TypeError, UnicodeError) as error:
        raise InputError(f"{folder(settings)} cannot be read ({error}); put it back from a backup") from error
    if len(key) != KEY_BYTES:
        raise InputError(f"{key_file} holds no key of {KEY_BYTES} bytes; put it back from a backup")
    return Register(key, entries)


def check(con: duckdb.DuckDBPyConnection, register: Register | None) -> None:
    """Refuses a warehouse that remembers forgotten customers while the home has lost the key to tell who they are.

    Raises:
        InputError: ``control.forgotten`` has rows and there is no key.
    """
    if register is None and remembered(con):
        raise InputError(
            "the warehouse has a list of forgotten customers (control.forgotten) and HOME/data/forgotten/key is gone: nobody can "
            "tell who has to be kept out. Put HOME/data/forgotten back from a backup"
        )


def remembered(con: duckdb.DuckDBPyConnection) -> list[Forgotten]:
    """The list as the warehouse has it."""
    if not has_table(con, "control", "forgotten"):
        return []
    return [Forgotten(*row) for row in con.execute(f"select * from {TABLE} order by forgotten_at, digest").fetchall()]


def begin(settings: Settings) -> Register:
    """The home's list, with a new key where there is none yet."""
    register = load(settings)
    if register is not None:
        return register
    folder(settings).mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    # Readable by its owner only, from its first byte on.
    _replace(folder(settings) / "key", secrets.token_hex(KEY_BYTES))
    return Register(bytes.fromhex((folder(settings) / "key").read_text(encoding="ascii")), {})


def add(
    settings: Settings,
    register: Register,
    con: duckdb.DuckDBPyConnection,
    customer_ids: Collection[str],
    reason: str,
    now: datetime,
) -> Register:
    """Puts customers on the list, in the file and in the warehouse; who is on it stays there with their first reason.

    Args:
        settings: the home, whose lock is held.
        register: the list so far.
        con: the warehouse.
        customer_ids: who is to be forgotten; may be empty, to bring file and warehouse together.
        reason: why.
        now: UTC, naive.
    """
    entries = {entry.digest: entry for entry in remembered(con)} | dict(register.entries)
    for customer_id in customer_ids:
        digest = register.digest(customer_id)
        entries.setdefault(digest, Forgotten(digest, now, reason))
    whole = Register(register.key, entries)
    rows = [asdict(entry) for entry in entries.values()]
    _replace(folder(settings) / "list.json", json_text(rows, indent=1, ascii_only=False) + "\n")
    with transaction(con):
        whole.fill(con)
    return whole


def _replace(path: Path, text: str) -> None:
    replace_bytes(path, text.encode(), mode=0o600)
