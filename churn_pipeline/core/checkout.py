"""Which commit the running code is, where it runs from a checkout of this project."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cache

from churn_pipeline.core.settings import REPOSITORY


@dataclass(frozen=True)
class Commit:
    """A state of the code.

    Attributes:
        hash: of the commit.
        is_changed: whether the code that runs differs from it.
    """

    hash: str
    is_changed: bool


@cache
def commit() -> Commit | None:
    """The commit that is checked out; None where the code is an installed package, there is no git, or it refuses.

    An installed package may lie in somebody else's repository, as a file that git does not know there.
    """
    if _git("ls-files", "--error-unmatch", "churn_pipeline/__init__.py") is None:
        return None
    head = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", "churn_pipeline", "dbt_project")
    return Commit(head, bool(changed)) if head and changed is not None else None


def _git(*arguments: str) -> str | None:
    # A hook of git starts programs with variables that name another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        completed = subprocess.run(
            ["git", "-C", str(REPOSITORY), *arguments],
            env=environment | {"GIT_OPTIONAL_LOCKS": "0"},
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return completed.stdout.strip() if completed.returncode == 0 else None
