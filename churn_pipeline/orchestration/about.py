"""What is said of every asset beside what it is made of: whose it is, where it is kept, and which code made it.

Assets of one group are made by the same rooms of this package, so a group says it for all of them. The code version is a hash of those
rooms: after an upgrade the Dagster UI marks what was made by other code than is there now. dbt's models have their own, of their SQL.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import Any

from churn_pipeline.core.settings import PACKAGE

DATA_TEAM = "team:data"
# Whoever edits the policy's tables, without Python.
OPERATIONS = "team:customer_success_operations"
MADE_BY, KEPT_IN = "churn/made-by", "churn/kept-in"


@dataclass(frozen=True)
class Group:
    """What holds for the assets of a group.

    Attributes:
        kept_in: where what they hold lies.
        rooms: packages of churn_pipeline whose code makes it; none for what dbt or somebody else makes.
        made_by: dbt, python, or the source that exports it.
        owner: whom to ask.
    """

    kept_in: str
    rooms: tuple[str, ...] = ()
    made_by: str = "python"
    owner: str = DATA_TEAM


_WAREHOUSE = "warehouse"
GROUPS = {
    "raw": Group("raw", made_by="source"),
    "landing": Group(_WAREHOUSE, ("contract", "sources")),
    "control": Group(_WAREHOUSE, ("features", "policy")),
    "models": Group("mlflow", ("features", "modeling")),
    "scoring": Group(_WAREHOUSE, ("modeling", "scoring")),
    "delivery": Group("published", ("delivery",)),
    "briefs": Group("published", ("customers", "delivery")),
    "quality": Group("published", ("quality",)),
    "monitoring": Group(_WAREHOUSE, ("monitoring",)),
    "replay": Group("published", ("monitoring",)),
    "rescoring": Group(_WAREHOUSE, ("delivery", "modeling", "scoring")),
    "policy_seeds": Group(_WAREHOUSE, made_by="dbt", owner=OPERATIONS),
}
_DBT = Group(_WAREHOUSE, made_by="dbt")


def about(group: str) -> dict[str, Any]:
    """Arguments of an asset: its group, and what holds for all assets of it."""
    facts = GROUPS[group]
    return {
        "group_name": group,
        "owners": [facts.owner],
        "tags": tags_of(facts),
        "code_version": code_version(facts.rooms) if facts.rooms else None,
    }


def of_dbt(group: str) -> Group:
    """What holds for dbt's assets of a group, which may have assets of Python too."""
    facts = GROUPS.get(group, _DBT)
    return facts if facts.made_by == "dbt" else _DBT


def tags_of(facts: Group) -> dict[str, str]:
    return {MADE_BY: facts.made_by, KEPT_IN: facts.kept_in}


@functools.cache
def code_version(rooms: tuple[str, ...]) -> str:
    """Hash of the Python code of some rooms of this package."""
    digest = hashlib.sha256()
    for room in sorted(rooms):
        for path in sorted((PACKAGE / room).rglob("*.py")):
            digest.update(path.relative_to(PACKAGE).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
