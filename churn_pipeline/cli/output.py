"""What the command line prints, read from the published database alone, so that it never meets a run that is writing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from churn_pipeline.core import notices
from churn_pipeline.core.formatting import clean, counted, in_points, in_tenths, printable, signed_usd, usd
from churn_pipeline.core.model_kinds import label_of
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, Target, in_reports, predicted_in, target_of
from churn_pipeline.customers.lists import owner_meant, tier_meant
from churn_pipeline.customers.stores.published import Publication
from churn_pipeline.delivery.call_list import CHOICE, CUSTOMERS, PREDICTIONS, customers_of, main_reason, reason_in_words
from churn_pipeline.policy import playbook, tiers

if TYPE_CHECKING:
    from churn_pipeline.core.run_ledger import RunRow
    from churn_pipeline.monitoring.replay import ReplayReport
    from churn_pipeline.orchestration.dbt import PolicyFailure


# A longer name is shown with an ellipsis.
NAME_SHOWN = 200
NO_REASON = "Nothing in the data raises the risk"
_LIFECYCLES = {"onboarding": "New customer", "renewal": "Renewal ahead", "steady": "Steady"}
# Lines about the data and the models beside a list; 'churn show --notices' prints all.
NOTICES_SHOWN = 8


def _call_list() -> str:
    """What one line of the call list says."""
    flag, risk = target_of("flag").probability_column, target_of("risk").probability_column
    return f"""
select call_rank, call_reason, customer_id, company_name, plan_tier, csm_owner, risk_tier, previous_risk_tier, {flag}, {risk}, probability_change, mrr, revenue_at_risk, lifecycle, days_to_renewal, play, recommended_action, is_early_stage, history_weeks, reasons
from ({CUSTOMERS})
where if($written, is_written_to, is_called) and ($owner::varchar is null or csm_owner = $owner) and ($tier::varchar is null or risk_tier = $tier)
order by call_rank, priority_rank
limit $top
"""


def call_list(
    settings: Settings,
    monday: date | None,
    top: int,
    owner: str | None = None,
    *,
    tier: str | None = None,
    written: bool = False,
) -> dict[str, Any]:
    """The first customers of the call list of a published Monday.

    Args:
        settings: the home.
        monday: which Monday; the newest published one unless given.
        top: how many.
        owner: only this customer success manager's, in the order of the whole list: the name, or how it begins, without regard to accents
            and case.
        tier: only this risk tier's, without regard to case.
        written: the second list instead: in an urgent tier, and written to instead of called.

    Raises:
        InputError: nothing is published for it, or no customer, or more than one, has an owner or a tier of that name; the message says
            which there are.
    """
    with Publication.open(settings, hold=False) as publication, publication.cursor() as con:
        monday = publication.at(monday).snapshot_date
        if owner is not None:
            owner = _owner(con, monday, owner)
        names = [known.risk_tier for known in tiers.of_mondays(con, "predictions", [monday])[monday]]
        if tier is not None:
            tier = tier_meant(tier, names, monday)
        parameters = customers_of(con, monday, reasons=CHOICE) | {
            "owner": owner,
            "tier": tier,
            "written": written,
            "top": top,
        }
        rows = _rows(con, _call_list(), parameters)
        labels = playbook.call_reasons(con, monday)
        totals = _rows(
            con,
            f"""
            select count(*) as customers, coalesce(sum(revenue_at_risk), 0) as revenue_at_risk, count(revenue_at_risk) > 0 as has_money,
                   count(*) filter (where is_flagged) as flagged,
                   count(*) filter (where is_on_call_list) as on_call_list, count(is_on_call_list) > 0 as has_call_list,
                   count(snoozed_until) as snoozed,
                   count(resting_until) as resting, count(*) filter (where is_holdout) as held_out,
                   count(*) filter (where is_expansion_candidate) as expansion_candidates,
                   any_value(scoring_mode) as scoring_mode, any_value(policy_version) as policy_version,
                   {_models_of(con, "predictions", tuple(TARGETS.values()))}
            from {PREDICTIONS} as predictions where snapshot_date = ?
            """,
            [monday],
        )[0]
        customers = dict(
            con.execute(
                "select risk_tier, count(*) from predictions where snapshot_date = ? group by 1", [monday]
            ).fetchall()
        )
        written_to = con.execute(
            f"select count(*) filter (where is_written_to) from ({CUSTOMERS})", customers_of(con, monday, reasons=1)
        ).fetchall()[0][0]
        of_monday = [asdict(notice) for notice in notices.published(con, monday)]
    totals["tiers"] = [{"risk_tier": name, "customers": customers.get(name, 0)} for name in names]
    for row in rows:
        row["call_reason_label"] = reason_in_words(row["call_reason"], labels)
    return {
        "snapshot_date": monday,
        "owner": owner,
        "tier": tier,
        "written": written,
        **totals,
        "written_to": written_to,
        "notices": of_monday,
        "calls": rows,
    }


def _owner(con: duckdb.DuckDBPyConnection, monday: date, owner: str) -> str:
    owners = [
        name
        for (name,) in con.execute(
            "select distinct csm_owner from predictions where snapshot_date = ? and csm_owner is not null order by 1",
            [monday],
        ).fetchall()
    ]
    return owner_meant(owner, owners, monday)


def week_notices(settings: Settings, monday: date | None) -> dict[str, Any]:
    """Everything that was found out about the data and the models of a published Monday, the most important first.

    Raises:
        RefusedError: nothing is published for it.
    """
    with Publication.open(settings, hold=False) as publication, publication.cursor() as con:
        monday = publication.at(monday).snapshot_date
        return {
            "snapshot_date": monday,
            "notices": [asdict(notice) for notice in notices.published(con, monday)],
        }


def customer(settings: Settings, customer: str, monday: date | None) -> dict[str, Any]:
    """Everything published about one customer on one Monday, but for who is held out: whoever calls is not to know.

    Args:
        settings: the home.
        customer: the customer_id; or the company's name, or how it begins, without regard to accents and case.
        monday: which Monday; the newest published one unless given.

    Raises:
        InputError: the customer is not in that Monday's table, and the message says in which weeks there is a row; or several have such a
            name, and it says which.
    """
    with Publication.open(settings, hold=False) as publication:
        published = publication.at(monday)
        return published.page(published.customer_id(customer))


def model_rows(settings: Settings) -> list[dict[str, Any]]:
    """The ledger of models, newest first, with the figures they were judged by."""
    with Publication.open(settings, hold=False) as publication, publication.cursor() as con:
        rows = _rows(con, "select * from promotions order by seq desc", [])
    for row in rows:
        row["metrics"] = json.loads(row["metrics"])
    return rows


def run_summary(settings: Settings, monday: date, top: int) -> dict[str, Any]:
    """What ``churn run`` prints: the call list, the models behind it, and where to look next."""
    from churn_pipeline.delivery.report.write import page_of

    summary = call_list(settings, monday, top)
    versions = {
        target.name: summary[target.version_column] for target in TARGETS.values() if target.version_column in summary
    }
    kinds = {target.name: summary.get(target.kind_column) for target in TARGETS.values()}
    summary["models"] = [
        row | {"kind": kinds[row["target"]]}
        for row in reversed(model_rows(settings))
        if row["promoted"] and versions.get(row["target"]) == row["version"]
    ]
    summary["database"] = str(settings.published_database)
    page = page_of(settings, monday)
    summary["report"] = str(page) if page.is_file() else None
    summary["tracking_uri"] = settings.tracking_uri
    summary["holdout"] = holdout_power(settings, monday)
    return summary


def holdout_power(settings: Settings, monday: date) -> str | None:
    """What the hold-out can show with the list of a Monday, and when; None where nobody is to be held out."""
    from churn_pipeline.policy.power import power_on, power_sentence

    if not settings.holdout_share:
        return None
    with Publication.open(settings, hold=False) as publication, publication.cursor() as con:
        return (
            power_sentence(power_on(con, "predictions", monday, settings.holdout_share), settings.holdout_share) or None
        )


def print_notices(week: dict[str, Any]) -> None:
    """All notices of a Monday, a line each."""
    console = terminal()
    console.print(f"\n[bold]Monday {week['snapshot_date']}: what to know about its data and models[/bold]")
    for notice in week["notices"]:
        console.print(f"{notice['kind']:<12} {notice['sentence']}", markup=False, highlight=False, soft_wrap=True)
    if not week["notices"]:
        console.print("Nothing was found.")


def _print_notices(console: Console, listing: dict[str, Any]) -> None:
    _, others = notices.first_line([notices.Notice(**notice) for notice in listing["notices"]])
    for line in notices.lines(others, NOTICES_SHOWN, listing["snapshot_date"]):
        console.print(f"! {line}", markup=False, highlight=False, soft_wrap=True)


def print_call_list(listing: dict[str, Any], *, notices_above: bool = True) -> None:
    """The call list as a table.

    Args:
        listing: of :func:`call_list`.
        notices_above: whether the first notices of the Monday stand above it. What the list is ranked by always does, where that has to be said.
    """
    console = terminal()
    title = f"Monday {listing['snapshot_date']}: " + (
        "whom to write to" if listing["written"] else "whom to call first"
    )
    if chosen := [escape(listing[name]) for name in ("owner", "tier") if listing[name]]:
        title += f" ({', '.join(chosen)})"
    console.print(f"\n[bold]{title}[/bold]")
    line, _ = notices.first_line([notices.Notice(**notice) for notice in listing["notices"]])
    if line:
        console.print(line, style="bold", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{listing['customers']:,} active customers, {f'{usd(listing["revenue_at_risk"])} a year at risk' if listing['has_money'] else 'revenue unknown'}; "
        f"{', '.join(f'{tier["customers"]:,} {escape(tier["risk_tier"])}' for tier in listing['tiers'])}; "
        f"{listing['expansion_candidates'] or 0:,} expansion candidates"
    )
    if not listing["has_call_list"]:
        console.print("This Monday is from before there were call lists; 'churn run' makes one.")
        return
    second = (
        f"; {listing['written_to']:,} more in an urgent tier to write to (--written)" if listing["written_to"] else ""
    )
    console.print(f"On the call list: {counted(listing['on_call_list'], 'customer')}{second}")
    if listing["snoozed"] or listing["resting"]:
        console.print(f"Left alone for now: {listing['snoozed']:,} snoozed, {listing['resting']:,} called not long ago")
    if notices_above:
        _print_notices(console, listing)
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1))
    # Whoever is written to has no place on the call list.
    called = not listing["written"]
    if called:
        table.add_column("#", justify="right")
    table.add_column("customer", overflow="fold", min_width=10)
    table.add_column("plan")
    # What nobody knows of anybody is no column.
    money = listing["has_money"]
    if money:
        table.add_column("at risk", justify="right", no_wrap=True)
    table.add_column(f"{target_of('risk').horizon_days} days", justify="right", no_wrap=True)
    table.add_column("since last week", justify="right", overflow="fold")
    table.add_column("tier")
    if called:
        table.add_column("why on the list", overflow="fold")
    table.add_column("main reason, and what to do", overflow="fold", ratio=1)
    for row in listing["calls"]:
        name = name_in_line(row["company_name"] or row["customer_id"])
        who = f"{name}\n[dim]{name_in_line(row['customer_id'])}[/dim]" if row["company_name"] else name
        reason = main_reason(row["reasons"] or (), row["recommended_action"]) or NO_REASON
        table.add_row(
            *([f"{row['call_rank']:,}"] if called else []),
            who,
            row["plan_tier"] or "unknown",
            *([usd(row["revenue_at_risk"])] if money else []),
            f"{row[target_of('risk').probability_column]:.0%}",
            in_points(row["probability_change"]) if row["probability_change"] is not None else "new",
            row["risk_tier"],
            *([escape(_why_called(row))] if called else []),
            f"{escape(reason)}\n[bold]{escape(row['recommended_action'] or '')}[/bold]",
        )
    console.print(table)
    if not listing["calls"]:
        console.print("Nobody is on it.")


def _why_called(row: dict[str, Any]) -> str:
    """The reason of the call; of a renewal with the days until then, unless the instruction beside it has them."""
    days = row["days_to_renewal"]
    if row["call_reason"] != "renewal" or days is None:
        return row["call_reason_label"] or ""
    when = _in_days(days).removeprefix("in ")
    return (
        row["call_reason_label"] if when in (row["recommended_action"] or "") else f"{row['call_reason_label']}, {when}"
    )


def backfill_weeks(settings: Settings, mondays: Sequence[RunRow]) -> list[dict[str, Any]]:
    """What became of the Mondays of a run: for each its status and reason, and the figures of those published."""
    figures: dict[date, dict[str, Any]] = {}
    if settings.published_database.exists() and mondays:
        figures = _figures_of(
            settings.published_database,
            "predictions",
            "snapshot_date between ? and ?",
            [mondays[0].snapshot_date, mondays[-1].snapshot_date],
        )
    return [
        {
            "snapshot_date": row.snapshot_date,
            "status": row.status,
            "scoring_mode": row.scoring_mode,
            **(figures.get(row.snapshot_date, {}) if row.status == "published" else {}),
            "reason": row.reason,
        }
        for row in mondays
    ]


def rescored_weeks(settings: Settings, run_id: str, refused: Sequence[RunRow]) -> list[dict[str, Any]]:
    """What became of the Mondays that a run was asked to score again: the figures of those it did, the reasons of the others."""
    figures: dict[date, dict[str, Any]] = {}
    if settings.rescored_database.exists():
        figures = _figures_of(settings.rescored_database, "predictions_rescored", "run_id = ?", [run_id])
    weeks = [
        {"snapshot_date": day, "status": "rescored", "scoring_mode": "rescored", **row, "reason": ""}
        for day, row in figures.items()
    ]
    weeks += [
        {
            "snapshot_date": row.snapshot_date,
            "status": row.status,
            "scoring_mode": row.scoring_mode,
            "reason": row.reason,
        }
        for row in refused
    ]
    return sorted(weeks, key=lambda week: week["snapshot_date"])


def _models_of(con: duckdb.DuckDBPyConnection, table: str, targets: Sequence[Target]) -> str:
    """The version and the kind of the model behind each of some targets, as items of a query; what the table has no column for is left out."""
    there = [name for (name, *_) in con.execute(f"describe {table}").fetchall()]
    columns = [
        column
        for target in predicted_in(there)
        if target in targets
        for column in (target.version_column, target.kind_column)
        if column in there
    ]
    return ", ".join(f"any_value({column}) as {column}" for column in columns)


def _model(row: dict[str, Any], target: Target) -> str:
    """The version of a target's model with its kind, as far as that is known."""
    return " ".join(filter(None, (row[target.version_column], label_of(row.get(target.kind_column)))))


def _figures_of(database: Path, table: str, where: str, values: list[Any]) -> dict[date, dict[str, Any]]:
    targets = list(dict.fromkeys((target_of("flag"), target_of("risk"))))
    with duckdb.connect(str(database), read_only=True) as con:
        rows = _rows(
            con,
            f"""
            select snapshot_date, count(*) as customers,
                   sum(revenue_at_risk) as revenue_at_risk,
                   {_models_of(con, table, targets)}
            from {table} where {where} group by 1 order by 1
            """,
            values,
        )
        customers = con.execute(
            f"select snapshot_date, risk_tier, count(*) from {table} where {where} group by all", values
        ).fetchall()
        policies = tiers.of_mondays(con, table, [row["snapshot_date"] for row in rows])
    figures = {row.pop("snapshot_date"): row for row in rows}
    for snapshot_date, policy in policies.items():
        names = tiers.urgent(policy)
        figures[snapshot_date]["urgent_tiers"] = names
        figures[snapshot_date]["urgent"] = sum(
            count for week, name, count in customers if week == snapshot_date and name in names
        )
    return figures


def print_weeks(weeks: list[dict[str, Any]]) -> None:
    """What became of each Monday of a backfill; an empty one is there to be seen."""
    flag, risk = target_of("flag"), target_of("risk")
    urgent_names = list(dict.fromkeys(name for week in weeks for name in week.get("urgent_tiers", ())))
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1))
    for name, justify in (
        ("Monday", "left"),
        ("status", "left"),
        ("mode", "left"),
        ("customers", "right"),
        (tiers.in_words(urgent_names) or "urgent", "right"),
        ("at risk", "right"),
        (f"models {flag.horizon_days} d / {risk.horizon_days} d", "right"),
        ("reason", "left"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for week in weeks:
        there = "customers" in week
        table.add_row(
            str(week["snapshot_date"]),
            week["status"],
            week["scoring_mode"],
            f"{week['customers']:,}" if there else "",
            f"{week['urgent']:,}" if there else "",
            usd(week["revenue_at_risk"]) if there else "",
            f"{_model(week, flag)} / {_model(week, risk)}" if there else "",
            escape(week["reason"]),
        )
    console = terminal()
    console.print(table)
    empty = sum("customers" not in week for week in weeks)
    console.print(
        f"{len(weeks) - empty} of {len(weeks)} Mondays are there" + (f", {empty} stay empty." if empty else ".")
    )


def print_replay(replay: ReplayReport, page: Path) -> None:
    """What past lists were worth, Monday by Monday, with the verdict above and the way to the page below."""
    console = terminal()
    for sentence in (replay.headline(), *replay.findings()):
        console.print(escape(sentence), soft_wrap=True)
    table = Table(
        box=SIMPLE,
        pad_edge=False,
        padding=(0, 1),
        title="Customers who left within 90 days, among as many calls of each",
        title_justify="left",
    )
    for name, justify in (
        ("Monday", "left"),
        ("mode", "left"),
        ("left", "right"),
        ("the list", "right"),
        ("logistic regr.", "right"),
        ("rule", "right"),
        ("chance", "right"),
        ("calls", "right"),
        ("revenue captured", "right"),
        ("best possible", "right"),
        ("flag precision", "right"),
        ("flag recall", "right"),
        ("ECE 90 d", "right"),
        ("remark", "left"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in replay.rows():
        table.add_row(
            str(row["snapshot_date"]),
            row["scoring_mode"] or "",
            _number(row["churners"], ",.0f"),
            *(_number(row[f"{caller}_churners"], ",.0f") for caller in ("model", "logistic", "rule", "chance")),
            _number(row["calls"], ",.0f"),
            _number(row["model_revenue_share"], ".0%"),
            _number(row["best_revenue_share"], ".0%"),
            _number(row["precision"], ".0%"),
            _number(row["recall"], ".1%"),
            _number(row["ece_90d"], ".3f"),
            escape(row["remark"]),
        )
    console.print(table)
    for notice in replay.notices:
        console.print(escape(notice), soft_wrap=True)
    console.print(f"Page with plots: {page}", markup=False, soft_wrap=True)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def print_run(summary: dict[str, Any]) -> None:
    """The call list, how good the models are, and where to look next."""
    # What is read last is at the bottom, where the terminal stands.
    print_call_list(summary, notices_above=False)
    console = terminal()
    table = Table(
        box=SIMPLE,
        pad_edge=False,
        padding=(0, 1),
        title="How good the models are, on weeks they had not seen",
        title_justify="left",
    )
    for name, justify in (
        ("model", "left"),
        ("version", "right"),
        ("kind", "left"),
        ("AUC", "left"),
        ("average precision", "left"),
        ("no activity 14 d", "right"),
        ("logistic regr.", "right"),
        ("Brier skill", "right"),
        ("ECE", "right"),
        ("top 200 precision", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for row in summary["models"]:
        table.add_row(*_model_cells(row))
    console.print(table)
    _print_notices(console, summary)
    console.print(f"Mode {summary['scoring_mode']}; policy {summary['policy_version']}.")
    if summary["holdout"]:
        console.print(summary["holdout"], markup=False, highlight=False, soft_wrap=True)
    console.print("Look next:  churn customer ID   churn show --owner NAME   churn models   make ui", markup=False)
    if summary["report"]:
        console.print(f"Open:       {summary['report']}", markup=False, soft_wrap=True)
    console.print(f"Query:      {summary['database']}  (table predictions)", markup=False, soft_wrap=True)


def print_models(rows: list[dict[str, Any]]) -> None:
    """The ledger of models as a table."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1))
    for name in ("model", "version", "kind", "from", "promoted", "AUC", "AP", "reason", "who"):
        table.add_column(name, overflow="fold")
    for row in rows:
        metrics = row["metrics"].get("model", {})
        table.add_row(
            row["target"],
            str(row["version"] or ""),
            _kind(row),
            str(row["effective_from"]),
            "yes" if row["promoted"] else "no",
            _figure(metrics, "auc"),
            _figure(metrics, "average_precision"),
            escape(row["reason"] or ""),
            escape(row["who"]),
        )
    terminal().print(table)


def print_policy(seeds: Path, failures: Sequence[PolicyFailure]) -> None:
    """What speaks against the policy, each test as a sentence with the first rows that break it."""
    console = terminal()
    if not failures:
        console.print(f"The policy in {seeds} can be applied.")
        return
    console.print(f"A run would refuse the policy in {seeds}:")
    for failure in failures:
        sentence = failure.test.replace("_", " ")
        times = f" ({counted(failure.count, 'time')})" if failure.count else ""
        console.print(f"\n[bold]Not so: {escape(sentence)}[/bold]{times}")
        if not failure.rows:
            console.print(f"  {escape(failure.message)}")
        for row in failure.rows:
            said = ", ".join(f"{name} {value}" for name, value in row.items() if value not in (None, "", []))
            console.print(f"  {escape(said)}")


def print_customer(profile: dict[str, Any]) -> None:
    """One customer on one page: what whoever calls has to know first, then why, what to say and what changed."""
    console = terminal()
    customer_id = name_in_line(profile["customer_id"])
    name = name_in_line(profile["company_name"] or profile["customer_id"])
    console.print(f"\n[bold]{name}[/bold]  {customer_id}   Monday {profile['snapshot_date']}")
    money = f"{usd(profile['mrr'])} a month" if profile["mrr"] is not None else "revenue unknown"
    console.print(
        f"{profile['plan_tier'] or 'unknown'} plan, {money}, {name_in_line(profile['industry'], 'industry unknown')}, customer for "
        f"{profile['tenure_days']:,} days, owner {name_in_line(profile['csm_owner'], 'none')}"
    )
    if profile["lifecycle"]:
        segment = f"; segment {escape(profile['segment'])}" if profile["segment"] else ""
        console.print(f"{_LIFECYCLES.get(profile['lifecycle'], profile['lifecycle'])}; {_renewal(profile)}{segment}")
    console.print(escape(_known(profile)))
    change = (
        f" ({in_tenths([profile['probability_change']])[0]} points since last Monday)"
        if profile["probability_change"] is not None
        else ""
    )
    first, *others = (target for target in in_reports() if target.event == "churn")
    within = "".join(
        f", {profile[target.probability_column]:.1%} within {target.horizon_days}"
        for target in others
        if profile.get(target.probability_column) is not None
    )
    console.print(
        f"\nChurn: [bold]{profile[first.probability_column]:.1%}[/bold] within {first.horizon_days} days{change}"
        f"{within}: {profile['risk_tier']}, {usd(profile['revenue_at_risk'])} a year at risk"
    )
    expansion = target_of("expansion")
    if profile[expansion.probability_column] is not None:
        console.print(
            f"Expansion: {profile[expansion.probability_column]:.1%} to {profile['target_tier']} within {expansion.horizon_days} days "
            f"({profile['expansion_readiness']}), expected {usd(profile['expected_arr_uplift'] or 0)} a year"
        )
    console.print(f"\n{_place(profile)}")
    console.print(f"[bold]{escape(profile['play'])}[/bold]: {escape(profile['recommended_action'])}")
    _print_reasons(console, profile)
    _print_change(console, profile)
    if growth := [driver["sentence"] for driver in profile["expansion_drivers"] or () if driver["contribution"] > 0]:
        console.print("\nWhat speaks for growth")
        for sentence in growth:
            console.print(f"  {escape(sentence)}")
    if profile["history_weeks"] < 8:
        console.print(f"\nOnly {profile['history_weeks']} weeks of history: read the probability with care.")
    if len(profile["history"]) > 1:
        console.print("\nBefore")
        for row in profile["history"][1:]:
            console.print(f"  {row['snapshot_date']}  {row[first.probability_column]:.1%}  {row['risk_tier']}")
    models = ", ".join(
        f"{target.name} version {version_in_words(profile[target.version_column], profile.get(target.kind_column))}"
        for target in in_reports()
        if profile.get(target.probability_column) is not None
    )
    console.print(f"\nPredicted {profile['scored_at']:%-d %b %Y, %H:%M} UTC by {escape(models)}")


def version_in_words(version: str | None, kind: str | None) -> str:
    """The version of a model with its kind in brackets, as far as they are known."""
    return (version or "unknown") + (f" ({label_of(kind)})" if kind else "")


def _known(profile: dict[str, Any]) -> str:
    """What the customer did, asked and was told lately. Of what nobody knows it is said that it is not known."""
    events, tickets = profile["events_last_30d"], profile["open_tickets"]
    opened, contacted = profile["latest_opportunity_date"], profile["last_contact_date"]
    kind = f" ({profile['last_contact_kind']})" if profile["last_contact_kind"] else ""
    known = "; ".join(
        (
            "events in 30 days not known" if events is None else f"{counted(events, 'event')} in 30 days",
            "open tickets not known" if tickets is None else counted(tickets, "open ticket"),
            "no sales opportunity known"
            if opened is None
            else f"latest opportunity {profile['latest_opportunity_stage'].replace('_', ' ')}, from {opened:%-d %b %Y}",
            "no contact known" if contacted is None else f"last contact {contacted:%-d %b %Y}{kind}",
        )
    )
    return known[0].upper() + known[1:]


def _renewal(profile: dict[str, Any]) -> str:
    days = profile["days_to_renewal"]
    if days is None:
        return "no contract on file"
    return f"renews {_in_days(days)} ({profile['snapshot_date'] + timedelta(days=days):%-d %b %Y})"


def _in_days(days: int) -> str:
    """As the facts of the policy have it: today, tomorrow, in so many days."""
    return {0: "today", 1: "tomorrow"}.get(days, f"in {counted(days, 'day')}")


def _place(profile: dict[str, Any]) -> str:
    """Where on the call list; or why not, as far as whoever calls is to know."""
    if profile["call_rank"] is not None:
        why = escape(_why_called(profile))
        return f"On the call list: number [bold]{profile['call_rank']:,}[/bold]" + (f" ({why})" if why else "")
    if profile["snoozed_until"] is not None:
        return f"Not on the call list: to be left alone until {profile['snoozed_until']}"
    if profile["resting_until"] is not None:
        return f"Not on the call list: called not long ago, rests until {profile['resting_until']}"
    return "Not on the call list"


def _print_reasons(console: Console, profile: dict[str, Any]) -> None:
    """The themes that raise the risk, each with what to say about it; on a Monday before there were themes the drivers."""
    if profile["churn_themes"] is None:
        raising = [driver["sentence"] for driver in profile["churn_drivers"] or () if driver["contribution"] > 0]
        console.print("\nWhy" if raising else f"\n{NO_REASON}.")
        for sentence in raising:
            console.print(f"  {escape(sentence)}")
        return
    points = {point["theme"]: point for point in profile["talking_points"] or ()}
    console.print("\nWhy" if profile["churn_themes"] else f"\n{NO_REASON}.")
    for theme in profile["churn_themes"]:
        console.print(
            f"  [bold]{escape(theme['label'])}[/bold] ({theme['share']:.0%} of what raises it): {escape(theme['sentence'])}"
        )
        for name in ("ask", "offer", "avoid"):
            if text := points.get(theme["theme"], {}).get(name):
                console.print(f"    {name.capitalize():<6} {escape(text)}")


def _print_change(console: Console, profile: dict[str, Any]) -> None:
    """What the change since last Monday is made of, in points and dollars that add up."""
    parts = profile["change_parts"] or ()
    # Rounded before the small ones are left out, so that what is printed adds up.
    moved = [
        (part, points)
        for part, points in zip(parts, in_tenths([part["points"] for part in parts]), strict=True)
        if points != "±0.0" or abs(part["revenue"] or 0) >= 0.5
    ]
    if not moved:
        return
    of_revenue = [part["revenue"] for part in parts if part["revenue"] is not None]
    total = f", {signed_usd(sum(of_revenue))} at risk" if of_revenue else ""
    console.print(f"\nSince last Monday: {in_tenths([profile['probability_change']])[0]} points{total}")
    for part, points in moved:
        money = f"  {signed_usd(part['revenue']):>8}" if part["revenue"] is not None else ""
        console.print(f"  {points:>6} points{money}  {escape(part['label'])}")


def _model_cells(row: dict[str, Any]) -> list[str]:
    metrics = row["metrics"]
    model = metrics.get("model", {})
    baselines = metrics.get("baselines", {})
    return [
        row["target"],
        str(row["version"]),
        _kind(row),
        _interval(model, "auc"),
        _interval(model, "average_precision"),
        _figure(baselines.get("rule", {}), "average_precision"),
        _figure(baselines.get("logistic", {}), "average_precision"),
        _figure(model, "brier_skill"),
        _figure(model, "ece"),
        _figure(model, "precision_top_200"),
    ]


def _kind(row: dict[str, Any]) -> str:
    """What kind of model a row of the ledger is about; empty where it was written before kinds were kept, and no prediction says it."""
    return escape(label_of(row.get("kind") or row["metrics"].get("kind")) or "")


def _figure(metrics: dict[str, Any], name: str) -> str:
    value = metrics.get(name)
    value = value.get("value") if isinstance(value, dict) else value
    return "" if value is None else f"{value:.3f}"


def _interval(metrics: dict[str, Any], name: str) -> str:
    metric = metrics.get(name)
    if not isinstance(metric, dict) or metric.get("low") is None:
        return _figure(metrics, name)
    return f"{metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})"


def _rows(con: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | dict[str, Any]) -> list[dict[str, Any]]:
    cursor = con.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def terminal(*, highlight: bool = True) -> Console:
    """Where text for people goes.

    Args:
        highlight: whether figures are coloured.
    """
    # Without a terminal the width is unknown; 80 columns would break every sentence.
    # Names come from people: `:star:` in one is no picture.
    console = _Terminal(emoji=False, highlight=highlight)
    return console if console.is_terminal else _Terminal(width=180, emoji=False, highlight=highlight)


class _Terminal(Console):
    """Shows text and obeys none of it: what people type may hold what moves a cursor or changes a title."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(printable(text), **how)


def name_in_line(name: str | None, empty: str = "unnamed") -> str:
    """A name, an id or a word that somebody typed, for a line of a page: a line break in it begins no line of ours."""
    return escape(clean(name, NAME_SHOWN, empty))
