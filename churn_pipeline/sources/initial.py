"""What ``churn init`` does: look at a folder, propose its sources.yml, write it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from churn_pipeline.core.atomic import replace_bytes
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import Settings
from churn_pipeline.sources.look import look
from churn_pipeline.sources.propose import Proposal, propose
from churn_pipeline.sources.read import parse_sources
from churn_pipeline.sources.write import sources_text


@dataclass(frozen=True)
class Written:
    """A proposal that was written to a file."""

    proposal: Proposal
    path: Path
    notices: tuple[str, ...]


def write_proposal(
    settings: Settings, folder: Path, *, preset: str = "", out: Path | None = None, force: bool = False
) -> Written:
    """Looks at the exports in a folder and writes what they probably are.

    Args:
        settings: the home whose sources.yml is written.
        folder: where the exports lie.
        preset: the product that they come from; empty: whatever is recognised.
        out: another file to write.
        force: replace a file that is there.

    Raises:
        InputError: there is no such folder, no file of it can be a table, or the file is there already.
    """
    folder = folder.expanduser().resolve()
    path = (out or settings.sources_file).expanduser().resolve()
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    if path.exists() and not force:
        raise InputError(f"{path} is there already; --force replaces it, --out writes another file")
    looked = look(folder)
    try:
        proposal = propose(looked, preset)
    finally:
        looked.con.close()
    if not proposal.tables:
        raise InputError(_nothing(folder, proposal, looked.notices))
    text = sources_text(proposal, _prefix(folder, settings.raw_dir))
    # Whoever is handed a file that churn itself refuses would not know what to do with it.
    parse_sources(text, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(path, text.encode())
    return Written(proposal, path, looked.notices)


def _prefix(folder: Path, raw: Path) -> str:
    """How sources.yml names the folder: from the raw directory where it lies in it, else as a whole."""
    if folder.is_relative_to(raw):
        relative = folder.relative_to(raw).as_posix()
        return "" if relative == "." else f"{relative}/"
    return f"{folder.as_posix()}/"


def _nothing(folder: Path, proposal: Proposal, notices: tuple[str, ...]) -> str:
    """Why no table can be made of a folder."""
    if not proposal.left_aside and not notices:
        return f"{folder} holds no CSV, Parquet or JSON lines file"
    looked_at = [f"{export.pattern} ({', '.join(export.columns[:12])})" for export in proposal.left_aside[:10]]
    return (
        f"{folder}: no file there can be a table. A customers file needs an id and the day of the signup. "
        + "; ".join([*looked_at, *notices])
    )
