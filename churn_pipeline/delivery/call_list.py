"""Whom to call: the one query behind every call list, and the lists as CSV for the CRM.

Who is on the list and in which order says the table of predictions (``is_on_call_list``, ``call_rank``). Slack, the command line, the weekly
report and the files here show the same customers in the same order because they all read `CUSTOMERS`.
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
from churn_pipeline.policy import tiers

# The published predictions with every column that the queries here name. A home that an older version published lacks some until its next run;
# they are null then, and nobody is on a list.
PREDICTIONS = """
(
    from predictions
    union all by name
    select null::boolean as is_on_call_list, null::bigint as call_rank, null::varchar as call_reason, null::varchar as lifecycle,
           null::bigint as days_to_renewal, null::varchar as money_band, null::date as resting_until, null::varchar as segment,
           null::varchar as action_kind, null::double as expected_saved_revenue, null::double as call_value,
           null::struct(
               theme varchar, label varchar, contribution double, share double, sentence varchar, features varchar[]
           )[] as churn_themes,
           null::struct(part varchar, label varchar, points double, revenue double)[] as change_parts,
           null::struct(theme varchar, ask varchar, offer varchar, avoid varchar)[] as talking_points
    where false
)
"""

# Everybody of a Monday ($monday), with at most $reasons sentences. Who is in an urgent tier ($urgent, names) and nobody calls is written to, unless
# they are to be left alone. A Monday before there were themes has those of the drivers that raise the
# risk: they are why to call.
CUSTOMERS = f"""
select predictions.*, customers.company_name, coalesce(is_on_call_list, false) as is_called,
       coalesce(
           not is_on_call_list and snoozed_until is null and resting_until is null and not is_holdout and action_kind = 'no_call'
           and list_contains($urgent::varchar[], risk_tier),
           false
       ) as is_written_to,
       coalesce(
           list_transform(churn_themes[:$reasons], lambda theme: theme.sentence),
           list_transform(
               list_filter(churn_drivers, lambda driver: driver.contribution > 0)[:$reasons], lambda driver: driver.sentence
           )
       ) as reasons
from {PREDICTIONS} as predictions
left join customers using (customer_id)
where snapshot_date = $monday
"""


def customers_of(con: duckdb.DuckDBPyConnection, monday: date, reasons: int) -> dict[str, Any]:
    """The parameters of `CUSTOMERS`.

    Args:
        con: the published database.
        monday: which Monday.
        reasons: most sentences a customer.
    """
    policy = tiers.of_mondays(con, "predictions", [monday]).get(monday, ())
    return {"monday": monday, "reasons": reasons, "urgent": tiers.urgent(policy)}


def may_be_approached(row: str = "predictions") -> str:
    """SQL that asks whether anybody may approach the customer of a row, to sell as well as to keep: whoever is snoozed or held out is left
    alone. Tiers and totals count them too: they are customers all the same."""
    return f"{row}.snoozed_until is null and not coalesce({row}.is_holdout, false)"


ALL = "all"
UNASSIGNED = "unassigned"
REASONS = 3


def columns() -> tuple[str, ...]:
    """The columns of the files, in order."""
    return (
        "snapshot_date",
        "call_rank",
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
select snapshot_date, call_rank, customer_id, company_name, csm_owner, plan_tier, industry, risk_tier, previous_risk_tier,
       {probabilities}, round(probability_change, 4), round(mrr, 2),
       round(annual_revenue, 2), round(revenue_at_risk, 2), play, recommended_action,
       {", ".join(f"reasons[{n + 1}]" for n in range(REASONS))}
from ({CUSTOMERS})
where is_called
order by call_rank
"""


# Spreadsheets read a cell that begins with one of these as a formula, full-width forms and leading blanks included. OWASP's list,
# and what Excel and LibreOffice skip before they look.
_FORMULA = re.compile(r"[\s\x00-\x1f\ufeff]*[=+\-@＝＋－＠]|[\t\r\n]")
# Names that Windows keeps for devices, whatever their ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


def write_call_lists(con: duckdb.DuckDBPyConnection, folder: Path, monday: date) -> list[Path]:
    """Writes the lists of one Monday and puts them in the place of the former ones.

    ``all.csv`` holds the call list; the file of an owner those of them who are theirs, in the same order. Every
    owner of the week has a file, an empty one included, so that an import that looks for it each Monday finds it.

    Args:
        con: the published database, read only.
        folder: ``HOME/data/published/call_lists``.
        monday: which Monday.

    Returns:
        The files, ``all.csv`` first.
    """
    rows = con.execute(_rows_query(), customers_of(con, monday, REASONS)).fetchall()
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
