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
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from churn_pipeline.core.atomic import swap_folders, temp_folders
from churn_pipeline.core.formatting import clean, usd
from churn_pipeline.core.targets import target_of
from churn_pipeline.core.warehouse import has_table
from churn_pipeline.policy import playbook, tiers

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


def reason_in_words(call_reason: str | None, labels: Mapping[str, str]) -> str | None:
    """What a ``call_reason`` is called; None off the list.

    Args:
        call_reason: as a row has it.
        labels: of :func:`churn_pipeline.policy.playbook.call_reasons`.
    """
    return None if call_reason is None else labels.get(call_reason, call_reason.replace("_", " ").capitalize())


# Sentences among which the one beside an instruction is chosen, wherever it stands.
CHOICE = 2


def main_reason(reasons: Sequence[str], recommended_action: str | None) -> str | None:
    """The reason that stands beside an instruction: the first whose figures the instruction does not say already, such as the day of the
    renewal; the first of all where each is such a one. None where there is none."""
    said = set(_FIGURE.findall(recommended_action or ""))
    news = (reason for reason in reasons if not (figures := set(_FIGURE.findall(reason))) or not figures <= said)
    return next(news, reasons[0] if reasons else None)


ALL = "all"
UNASSIGNED = "unassigned"
REASONS = 3


def columns() -> tuple[str, ...]:
    """The columns of the files, in order."""
    return (
        "snapshot_date",
        "call_rank",
        "call_reason",
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
        "renewal_date",
        "days_to_renewal",
        *_CONTACT,
        "play",
        "recommended_action",
        *(f"reason_{n + 1}" for n in range(REASONS)),
        *(f"talking_point_{n + 1}" for n in range(REASONS)),
    )


_CONTACT = ("last_contact_on", "last_contact_kind", "last_contact_outcome")


def _probability_columns() -> list[str]:
    # One target may have both roles.
    return list(dict.fromkeys((target_of("flag").probability_column, target_of("risk").probability_column)))


def _rows_query() -> str:
    """The columns of the files but for the last contact, which what is published does not know."""
    probabilities = ", ".join(f"round({column}, 4)" for column in _probability_columns())
    said = "concat_ws(' ', 'Ask: ' || point.ask, 'Offer: ' || point.offer, 'Avoid: ' || point.avoid)"
    return f"""
select snapshot_date, call_rank, call_reason, customer_id, company_name, csm_owner, plan_tier, industry, risk_tier, previous_risk_tier,
       {probabilities}, round(probability_change, 4), round(mrr, 2),
       round(annual_revenue, 2), round(revenue_at_risk, 2), snapshot_date + days_to_renewal::integer, days_to_renewal, play, recommended_action,
       {", ".join(f"reasons[{n + 1}]" for n in range(REASONS))},
       {", ".join(f"list_transform(talking_points, lambda point: {said})[{n + 1}]" for n in range(REASONS))}
from ({CUSTOMERS})
where is_called
order by call_rank
"""


def last_contacts(warehouse: duckdb.DuckDBPyConnection, monday: date) -> dict[str, tuple[date, str | None, str | None]]:
    """When each customer was last in contact with somebody, as known before a Monday: the day, its kind, and what came of it.

    Args:
        warehouse: of the home; what is published does not say whom anybody talked to.
        monday: which Monday.
    """
    if not has_table(warehouse, "landing", "interventions"):
        return {}
    rows = warehouse.execute(
        """
        select customer_id, at_date, kind, outcome
        from landing.interventions where known_date < $monday and at_date < $monday
        qualify row_number() over (partition by customer_id order by "at" desc, intervention_id desc) = 1
        """,
        {"monday": monday},
    ).fetchall()
    return {customer_id: (day, kind, outcome) for customer_id, day, kind, outcome in rows}


# How the files for a CRM call what is in the list: HubSpot's and Salesforce's own columns, and those that the company adds to its companies.
# docs/report.md says what is imported as what.
type _Row = Mapping[str, Any]
type _Preset = Mapping[str, Callable[[_Row], Any]]

HUBSPOT: _Preset = {
    "Record ID": lambda row: row["customer_id"],
    "Company name": lambda row: row["company_name"],
    "Company owner": lambda row: row["csm_owner"],
    "Churn list of": lambda row: row["snapshot_date"],
    "Churn call rank": lambda row: row["call_rank"],
    "Churn call reason": lambda row: row["reason_label"],
    "Churn risk tier": lambda row: row["risk_tier"],
    "Churn revenue at risk": lambda row: row["revenue_at_risk"],
    "Churn renewal date": lambda row: row["renewal_date"],
    "Churn last contact": lambda row: row["last_contact_on"],
    "Churn what to do": lambda row: row["recommended_action"],
    "Churn reasons": lambda row: _paragraphs(row[f"reason_{n + 1}"] for n in range(REASONS)),
    "Churn talking points": lambda row: _paragraphs(row[f"talking_point_{n + 1}"] for n in range(REASONS)),
}
# The list is the week's: a task is due on its Friday.
_DUE = timedelta(days=4)
SALESFORCE: _Preset = {
    "WhatId": lambda row: row["customer_id"],
    "Subject": lambda row: clean(f"Call {row['company_name'] or row['customer_id']}: {row['reason_label']}", 255),
    "ActivityDate": lambda row: row["snapshot_date"] + _DUE,
    "Status": lambda _: "Not Started",
    "Priority": lambda row: "High" if row["is_early"] else "Normal",
    "Description": lambda row: _description(row),
    "csm_owner": lambda row: row["csm_owner"],
}
PRESETS: Mapping[str, _Preset] = {"hubspot": HUBSPOT, "salesforce": SALESFORCE}


def _description(row: _Row) -> str:
    """Everything that whoever calls has to know, for a field that holds text."""
    risk = row[target_of("risk").probability_column]
    facts = [
        f"{usd(row['revenue_at_risk'])} a year at risk, {risk:.0%} within {target_of('risk').horizon_days} days ({row['risk_tier']})"
    ]
    if row["renewal_date"] is not None:
        facts.append(f"renews on {row['renewal_date']}")
    if row["last_contact_on"] is not None:
        contact = ", ".join(filter(None, (row["last_contact_kind"], row["last_contact_outcome"])))
        facts.append(f"last contact {row['last_contact_on']}" + (f" ({contact})" if contact else ""))
    return _paragraphs(
        (
            row["recommended_action"],
            "; ".join(facts),
            _paragraphs(row[f"reason_{n + 1}"] for n in range(REASONS)),
            _paragraphs(row[f"talking_point_{n + 1}"] for n in range(REASONS)),
        )
    )


def _paragraphs(texts: Iterable[str | None]) -> str:
    return "\n".join(text for text in texts if text)


# A number as sentences have it, without the sign that ends them.
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
# Spreadsheets read a cell that begins with one of these as a formula, full-width forms and leading blanks included. OWASP's list,
# and what Excel and LibreOffice skip before they look.
_FORMULA = re.compile(r"[\s\x00-\x1f\ufeff]*[=+\-@＝＋－＠]|[\t\r\n]")
# Names that Windows keeps for devices, whatever their ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


def write_call_lists(
    con: duckdb.DuckDBPyConnection, warehouse: duckdb.DuckDBPyConnection, folder: Path, monday: date
) -> list[Path]:
    """Writes the lists of one Monday and puts them in the place of the former ones.

    ``all.csv`` holds the call list; the file of an owner those of them who are theirs, in the same order. Every
    owner of the week has a file, an empty one included, so that an import that looks for it each Monday finds it.
    ``all.hubspot.csv`` and ``all.salesforce.csv`` hold the list in the columns that those take.

    Args:
        con: the published database, read only.
        warehouse: of the home.
        folder: ``HOME/data/published/call_lists``.
        monday: which Monday.

    Returns:
        The files, ``all.csv`` first.
    """
    parameters = customers_of(con, monday, REASONS)
    contacts = last_contacts(warehouse, monday)
    names_of_columns = columns()
    before_contact = names_of_columns.index(_CONTACT[0])
    of_customer = names_of_columns.index("customer_id")
    rows = [
        (*row[:before_contact], *contacts.get(row[of_customer], (None,) * len(_CONTACT)), *row[before_contact:])
        for row in con.execute(_rows_query(), parameters).fetchall()
    ]
    owners = [
        owner
        for (owner,) in con.execute(
            "select distinct csm_owner from predictions where snapshot_date = ? order by csm_owner nulls last", [monday]
        ).fetchall()
    ]
    owner_column = names_of_columns.index("csm_owner")
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / str(monday)
    new, old = temp_folders(final)
    new.mkdir()
    names = [f"{ALL}.csv"]
    _write(new / names[0], names_of_columns, rows)
    for owner, name in file_names(owners).items():
        _write(new / name, names_of_columns, [row for row in rows if row[owner_column] == owner])
        names.append(name)
    labels = playbook.call_reasons(con, monday)
    told = [_told(dict(zip(names_of_columns, row, strict=True)), labels, len(rows)) for row in rows]
    for preset, cells in PRESETS.items():
        names.append(f"{ALL}.{preset}.csv")
        _write(new / names[-1], tuple(cells), [tuple(cell(row) for cell in cells.values()) for row in told])
    swap_folders(new, old, final)
    return [final / name for name in names]


def _told(row: dict[str, Any], labels: Mapping[str, str], calls: int) -> dict[str, Any]:
    """A row with what is said of it in words, and whether it is in the first quarter of the list."""
    return row | {
        "reason_label": reason_in_words(row["call_reason"], labels) or "on the call list",
        "is_early": 4 * (row["call_rank"] - 1) < calls,
    }


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


def _write(path: Path, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    # Without a byte order mark: importers take one for a part of the first column's name.
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(heads)
        for row in rows:
            writer.writerow(neutral(value) if isinstance(value, str) else value for value in row)
