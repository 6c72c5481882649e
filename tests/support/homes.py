"""Reading a home the way an analyst would, and comparing two of them."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, date, datetime, time
from pathlib import Path

import duckdb

from churn_pipeline.core.settings import Settings

# The home of settings in which nothing is looked for; whatever writes there all the same writes outside of the checkout.
UNUSED = Path(tempfile.gettempdir()) / "churn-tests-unused"

# What may differ between two runs that give the same answer. scoring_mode says when a row was written, not what is in it.
PER_RUN = ("run_id", "scored_at", "scoring_mode")


def query(database: Path, sql: str) -> list[tuple]:
    with duckdb.connect(str(database), read_only=True) as con:
        return con.execute(sql).fetchall()


def differences(
    left_file: Path, right_file: Path, relation: str, where: str = "true", without: tuple[str, ...] = ()
) -> dict[str, int]:
    """Rows and columns in which a relation differs between two databases, bit for bit.

    Values are compared as text: DuckDB writes a double with the fewest digits that give it back, so equal text is equal bits, and
    -0.0 is not 0.0.

    Returns:
        ``rows`` and ``columns`` compared, and the rows ``only_left`` and ``only_right``.
    """
    with duckdb.connect() as con:
        con.execute(f"attach '{left_file}' as l (read_only)")
        con.execute(f"attach '{right_file}' as r (read_only)")
        columns = [row[0] for row in con.execute(f"describe l.{relation}").fetchall()]
        assert columns == [row[0] for row in con.execute(f"describe r.{relation}").fetchall()]
        compared = [f"{column}::varchar" for column in columns if column not in without]
        ours, theirs = (f"select {', '.join(compared)} from {side}.{relation} where {where}" for side in ("l", "r"))

        def count(sql: str) -> int:
            return con.execute(f"select count(*) from ({sql})").fetchone()[0]

        return {
            "rows": count(ours),
            "columns": len(compared),
            "only_left": count(f"{ours} except all {theirs}"),
            "only_right": count(f"{theirs} except all {ours}"),
        }


def copy_of(settings: Settings, home: Path) -> Settings:
    """A copy of a whole home, with settings that point at it."""
    shutil.copytree(settings.home, home)
    return Settings(**settings.model_dump(include=settings.model_fields_set) | {"home": home})


def settled_copy_of(settings: Settings, home: Path) -> Settings:
    """A copy that no longer points at the original anywhere, as if it had run in its place."""
    from churn_pipeline.orchestration.execute import prepare_home

    copied = copy_of(settings, home)
    prepare_home(copied)
    return copied


def at_noon_of(settings: Settings, monday: date) -> Settings:
    """The same home with its clock at another Monday."""
    noon = datetime.combine(monday, time(12), UTC)
    return Settings(**settings.model_dump(include=settings.model_fields_set) | {"now": noon})
