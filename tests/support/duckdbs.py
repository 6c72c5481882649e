"""Old versions of DuckDB, each in an environment of its own, reading what is published as a tool that carries one would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from churn_pipeline.core.settings import REPOSITORY

# The oldest line that is promised, and the newest before the one that the pipeline writes with.
VERSIONS = ("1.0", "1.4")

_READ = """
import json, sys
import duckdb
database, *queries = json.load(sys.stdin)
con = duckdb.connect(database, read_only=database != ":memory:")
rows = [[[str(value) for value in row] for row in con.execute(query).fetchall()] for query in queries]
json.dump([duckdb.__version__, rows], sys.stdout)
"""


@cache
def python_of(version: str) -> Path:
    """The Python with that DuckDB; `scripts/duckdb.sh` makes it where it is not there yet."""
    completed = subprocess.run(
        [REPOSITORY / "scripts" / "duckdb.sh", version],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHON": sys.executable},
    )
    return Path(completed.stdout.split()[-1])


def read_with(version: str, database: Path | str, *queries: str) -> list[list[list[str]]]:
    """The rows of queries on a database, as text, read by an old DuckDB.

    Args:
        version: one of `VERSIONS`.
        database: a file, or ``:memory:``.
        queries: what is asked.
    """
    completed = subprocess.run(
        [python_of(version), "-c", _READ],
        input=json.dumps([str(database), *queries]),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert completed.returncode == 0, completed.stderr[-2000:]
    found: tuple[str, Any] = json.loads(completed.stdout)
    assert found[0].startswith(f"{version}."), found[0]
    return found[1]
