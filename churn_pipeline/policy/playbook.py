"""The playbook as its seed declares it. dbt applies it; Python only knows the names of the plays."""

from __future__ import annotations

import csv
from pathlib import Path


def plays(dbt_project: Path) -> list[str]:
    """The names of the plays as the file of the seed has them now, each once, in the order of the playbook."""
    with (dbt_project / "seeds" / "playbook.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["position"]))
    return list(dict.fromkeys(row["play"] for row in rows))
