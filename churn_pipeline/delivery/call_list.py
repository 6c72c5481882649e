"""Whom to call: the one query behind every call list, and the lists as CSV for the CRM.

Slack, the command line, the weekly report and the files here show the same customers in the same order because they all read
`CUSTOMERS`. Nobody calls a customer who is snoozed or held out; they keep their ``priority_rank``, so a number that is missing in a
list is one of them.
"""

from __future__ import annotations

import csv
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from churn_pipeline.core.atomic import swap_folders, temp_folders
from churn_pipeline.core.targets import target_of


def called(row: str = "predictions") -> str:
    """SQL that asks whether whoever a row of predictions is about is called.

    Tiers and totals count those who are not called too: they are customers all the same.
    """
    return f"{row}.snoozed_until is null and not coalesce({row}.is_holdout, false)"


# Everybody of a Monday ($monday), with at most $reasons sentences. What raises the risk comes first: it is why to call.
CUSTOMERS = f"""
select predictions.*, customers.company_name, {called()} as is_called,
       list_transform(
           list_filter(churn_drivers, lambda driver: driver.contribution > 0)[:$reasons], lambda driver: driver.sentence
       ) as reasons
from predictions
left join customers using (customer_id)
where snapshot_date = $monday
"""

ALL = "all"
UNASSIGNED = "unassigned"
REASONS = 3


def columns() -> tuple[str, ...]:
    """The columns of the files, in order."""
    return (
        "snapshot_date",
        "priority_rank",
        "customer_id",
        "company_name",
        "csm_owner",
        "plan_tier",
        "industry",
        "risk_tier",
        "previous_risk_tier",
        *_probability_columns(),
        "probability_change",
        "mrr",
        "annual_revenue",
        "revenue_at_risk",
        "play",
        "recommended_action",
        *(f"reason_{n + 1}" for n in range(REASONS)),
    )


def _probability_columns() -> list[str]:
    # One target may have both roles.
    return list(dict.fromkeys((target_of("flag").probability_column, target_of("risk").probability_column)))


def _rows_query() -> str:
    probabilities = ", ".join(f"round({column}, 4)" for column in _probability_columns())
    return f"""
select snapshot_date, priority_rank, customer_id, company_name, csm_owner, plan_tier, industry, risk_tier, previous_risk_tier,
       {probabilities}, round(probability_change, 4), round(mrr, 2),
       round(annual_revenue, 2), round(revenue_at_risk, 2), play, recommended_action,
       {", ".join(f"reasons[{n + 1}]" for n in range(REASONS))}
from ({CUSTOMERS})
where is_called
order by priority_rank
limit $capacity
"""


# Spreadsheets read a cell that begins with one of these as a formula, full-width forms and leading blanks included. OWASP's list,
# and what Excel and LibreOffice skip before they look.
_FORMULA = re.compile(r"[\s\x00-\x1f\ufeff]*[=+\-@＝＋－＠]|[\t\r\n]")
# Names that Windows keeps for devices, whatever their ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


def write_call_lists(con: duckdb.DuckDBPyConnection, folder: Path, monday: date, capacity: int) -> list[Path]:
    """Writes the lists of one Monday and puts them in the place of the former ones.

    ``all.csv`` holds the first ``capacity`` customers to call; the file of an owner those of them who are theirs, in the same order. Every
    owner of the week has a file, an empty one included, so that an import that looks for it each Monday finds it.

    Args:
        con: the published database, read only.
        folder: ``HOME/data/published/call_lists``.
        monday: which Monday.
        capacity: calls that the whole team makes in a week.

    Returns:
        The files, ``all.csv`` first.
    """
    rows = con.execute(_rows_query(), {"monday": monday, "reasons": REASONS, "capacity": capacity}).fetchall()
    owners = [
        owner
        for (owner,) in con.execute(
            "select distinct csm_owner from predictions where snapshot_date = ? order by csm_owner nulls last", [monday]
        ).fetchall()
    ]
    owner_column = columns().index("csm_owner")
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / str(monday)
    new, old = temp_folders(final)
    new.mkdir()
    names = [f"{ALL}.csv"]
    _write(new / names[0], rows)
    for owner, name in file_names(owners).items():
        _write(new / name, [row for row in rows if row[owner_column] == owner])
        names.append(name)
    swap_folders(new, old, final)
    return [final / name for name in names]


def file_names(owners: Iterable[str | None]) -> dict[str | None, str]:
    """A file name for each owner: small ASCII letters, digits and hyphens, no two alike, and the same every week.

    Whatever stands in a name, the file cannot leave its folder: nothing but those characters is taken over. Names that come out
    alike, empty or as one of ours get a piece of their hash, which does not depend on who else is there but for that.
    """
    slugs = {owner: _slug(owner) for owner in owners}
    taken = Counter(slugs.values())
    names: dict[str | None, str] = {}
    for owner, slug in slugs.items():
        if owner is not None and (taken[slug] > 1 or slug in (ALL, UNASSIGNED, "") or _DEVICE.fullmatch(slug)):
            slug = f"{slug or 'owner'}-{hashlib.sha256(owner.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
        names[owner] = f"{slug}.csv"
    return names


def neutral(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe in front says that it is text."""
    # NUL is cut off by some readers, and with it what makes the rest harmless.
    text = text.replace("\0", "")
    return f"'{text}" if _FORMULA.match(text) else text


def _slug(owner: str | None) -> str:
    if owner is None:
        return UNASSIGNED
    plain = unicodedata.normalize("NFKD", owner).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:60].strip("-")


def _write(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    # Without a byte order mark: importers take one for a part of the first column's name.
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(columns())
        for row in rows:
            writer.writerow(neutral(value) if isinstance(value, str) else value for value in row)
