"""The page of a Monday and the index over all of them: one HTML file each, with everything in it and nothing to load.

The page runs two scripts, its own and the chart library, and names both by hash in its Content-Security-Policy; so even markup that
had escaped every other care would run nothing and reach nobody. What customers typed is in the page as JSON, packed, and comes out of
it as ``textContent`` alone.
"""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.atomic import replace_bytes
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.formatting import in_points, in_tenths, points, signed, signed_usd, usd
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.model_kinds import label_of
from churn_pipeline.core.notices import first_line, lines
from churn_pipeline.core.targets import TARGETS, Target, in_reports, shorter_than, target_of
from churn_pipeline.core.templating import source_hash, source_text, templates
from churn_pipeline.core.themes import PARTS
from churn_pipeline.delivery.briefs.store import anchor, page_address
from churn_pipeline.delivery.call_list import ALL, file_names, reason_in_words
from churn_pipeline.delivery.report import words
from churn_pipeline.delivery.report.charts import STEP, kept, specifications
from churn_pipeline.delivery.report.data import (
    FIGURES,
    TICKET_DAYS,
    WEEKS,
    Outcome,
    WeekReport,
    WeekTotals,
    catalogue,
    weeks_listed,
)
from churn_pipeline.delivery.report.figures import RENEWAL_DAYS, owners_of, renewal_weeks
from churn_pipeline.delivery.report.since import EVERYBODY, NAMED, Group
from churn_pipeline.monitoring.performance import ASSUMPTION
from churn_pipeline.policy import tiers
from churn_pipeline.policy.tiers import Tiers

if TYPE_CHECKING:
    import pyarrow as pa
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
# The page's colours of the gravest tiers.
_STRONG = ("critical", "high", "medium")
# Past these nobody reads on; the table has them all.
EXPANSION_ROWS = 100
WRITTEN_ROWS = 10
DRIFT_ROWS = 8
# Customers on paper, up to three lines each: with the figures above them they take less than four pages.
PRINTED_ROWS = 50
# Lines about the data and the models above the figures, which have to stay on the first screen.
NOTICES_SHOWN = 6
# Fast, and 3 % larger than the best: a replay of 26 weeks packs 200 MB.
_LEVEL = 4


@dataclass(frozen=True)
class Library:
    """The chart library as a page carries it.

    Attributes:
        packed: gzip, then base64.
        source_hash: for the Content-Security-Policy.
        folder: where it is kept, and what is made for it; None where nothing is kept.
    """

    packed: str
    source_hash: str
    folder: Path | None = None


def library(folder: Path) -> Library:
    """Vega, Vega-Lite and Vega-Embed in one script, as the package vl-convert carries them.

    Bundling takes 2 s, so it is kept; a copy of another version or one that is damaged is made anew.

    Args:
        folder: where to keep it.
    """
    from importlib.metadata import version

    kept = folder / f"vega_{version('vl-convert-python')}.js.gz"
    try:
        packed = kept.read_bytes()
        source = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error):
        import vl_convert

        source = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").encode()
        packed = gzip.compress(source, 9, mtime=0)
        folder.mkdir(parents=True, exist_ok=True)
        replace_bytes(kept, packed)
    return Library(base64.b64encode(packed).decode(), source_hash(source), folder)


def render(report: WeekReport, vega: Library, *, pages: Sequence[date] = (), with_brief: Collection[str] = ()) -> str:
    """The page of a Monday.

    Args:
        report: what it says.
        vega: the chart library.
        pages: Mondays that have a page, for the link to the one before.
        with_brief: customers for whom a brief was prepared.
    """
    environment = _environment()
    script = source_text(environment, "usd.js.j2") + "\n" + source_text(environment, "report.js.j2")
    monday = report.snapshot_date
    risk = target_of("risk")
    policies = [report.policy, *(week.policy for week in reversed(report.weeks))]
    names = tuple(tier.risk_tier for tier in tiers.merged(policies))
    charts = _chart_rows(report, names)
    owners = owners_of(report.figures)
    texts = words.figures(report, EVERYBODY, names)
    ranked_by, other_notices = first_line(report.digest.notices)
    week = {
        "monday": str(monday),
        "hasList": report.has_list,
        "printed": PRINTED_ROWS,
        "named": {**NAMED, "written-list": WRITTEN_ROWS},
        "pages": [str(day) for day in pages if day < monday],
        "riskDays": risk.horizon_days,
        "expansionDays": target_of("expansion").horizon_days,
        "shorter": " or ".join(str(target.horizon_days) for target in shorter_than(risk)),
        "others": [
            f"Leaves within {target.horizon_days} days" if target.event == "churn" else target.title
            for target in _others(report.customers)
        ],
        "charts": specifications(names, risk.horizon_days)
        if vega.folder is None
        else kept(names, risk.horizon_days, vega.folder),
        "step": STEP,
        "rows": charts,
        "tiers": names,
        "cutoffs": [
            {"cutoff": tier.lower_bound, "tier": tier.risk_tier} for tier in report.policy if tier.lower_bound > 0
        ],
        "weeks": [str(day) for day in report.mondays],
        "published": [str(week.snapshot_date) for week in _half_a_year(report)],
        # Usage of a week is named by the day it begins; the last week ends on the eve of S.
        "usageWeeks": [str(day - WEEK) for day in report.mondays],
        "ticketDays": TICKET_DAYS,
    }
    return environment.get_template("report.html.j2").render(
        report=report,
        digest=report.digest,
        ranked_by=ranked_by,
        notices=lines(other_notices, NOTICES_SHOWN, monday),
        monday=monday,
        before=max((day for day in pages if day < monday), default=None),
        # What one point or one bar says, the table beside it says better.
        drawn={
            name
            for name, rows in charts.items()
            if name.startswith("drift-") or len({row.get("week") for row in rows}) > 1
            if name != "tiers" or report.has_money
        },
        texts=texts,
        worth=words.worth(report),
        outlook=words.outlook(report),
        renewal_weeks=renewal_weeks(monday) if report.figures[EVERYBODY].renewals else [],
        written=_written(report.customers),
        named=NAMED,
        written_rows=WRITTEN_ROWS,
        step_names=words.STEPS,
        no_comparison=words.no_comparison(report),
        renewal_days=RENEWAL_DAYS,
        key=_key,
        script=script,
        script_hash=source_hash(script.encode()),
        vega=vega,
        week=_json_island(week),
        list=_packed(
            _list(report)
            | {
                "figures": {
                    _key(owner): _of_group(report, owner, names, file) for owner, file in _files(owners).items()
                }
            }
        ),
        details=_packed(_details(report)),
        style=source_text(environment, "report.css.j2"),
        tier_style=_tier_style(names, policies),
        tier_names=names,
        urgent=report.digest.urgent,
        owners=owners,
        expansion=_expansion(report.customers),
        briefs=page_address(monday) if with_brief else None,
        with_brief=frozenset(with_brief),
        anchor=anchor,
        expansion_more=report.figures[EVERYBODY].candidates.customers > EXPANSION_ROWS,
        health=_health(report),
        drift=_drift(report),
        assumption=ASSUMPTION,
        targets={target.name: target.title for target in in_reports()},
        horizons=sorted(
            {(target.horizon_days, target.settled(report.settle_days).closing_weeks) for target in TARGETS.values()}
        ),
        risk=risk,
        weeks=WEEKS,
        tier_weeks=_half_a_year(report),
    )


def render_index(weeks: Sequence[WeekTotals], pages: Sequence[date]) -> str:
    """The index over all published Mondays, newest first; a Monday without a page is in it without a link."""
    environment = _environment()
    rows = [
        {
            "week": week,
            "change": week.revenue_at_risk - before.revenue_at_risk
            if before is not None and before.snapshot_date == week.snapshot_date - WEEK
            else None,
            "has_page": week.snapshot_date in set(pages),
        }
        for before, week in zip([None, *weeks], weeks, strict=False)
    ]
    urgent = tiers.urgent(tiers.merged(week.policy for week in reversed(weeks)))
    most = max((week.revenue_at_risk for week in weeks), default=0.0) or 1.0
    return environment.get_template("index.html.j2").render(
        rows=rows[::-1], most=most, urgent=urgent, style=source_text(environment, "report.css.j2")
    )


@cache
def _environment() -> Environment:
    environment = templates(_TEMPLATES)
    environment.filters |= {
        "usd": usd,
        "signed_usd": lambda amount: "" if amount is None else signed_usd(amount),
        "count": lambda number: f"{number:,}",
        "signed": lambda number: "" if number is None else signed(number),
        "in_points": in_points,
        "points": lambda change: "new" if change is None else points(change),
        "percent": lambda share: "\N{EN DASH}" if share is None else f"{share:.0%}",
        "figure": lambda value: "\N{EN DASH}" if value is None else f"{value:.3f}",
    }
    return environment


def _json_island(value: Any) -> Any:
    """JSON that cannot end the script element it stands in, nor begin a comment in it."""
    from markupsafe import Markup

    text = json_text(value, compact=True, ascii_only=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _packed(value: Any) -> str:
    """JSON as gzip and base64: a fifth of its size, and an alphabet without any sign that HTML knows."""
    return base64.b64encode(
        gzip.compress(json_text(value, compact=True, ascii_only=False).encode("utf-8", "replace"), _LEVEL, mtime=0)
    ).decode()


def _key(owner: Group) -> str:
    """How the page's script calls an owner, nobody and everybody: whatever a name is, it is none of the other two."""
    return "" if owner == EVERYBODY else "-" if owner is None else f"={owner}"


def _files(owners: Sequence[str | None]) -> dict[Group, str]:
    """What the call lists of everybody and of each owner are called."""
    files: dict[Group, str] = {EVERYBODY: f"{ALL}.csv"}
    for owner, name in file_names(owners).items():
        files[owner] = name
    return files


def _of_group(report: WeekReport, owner: Group, tier_names: Sequence[str], file: str) -> dict[str, Any]:
    """What the page shows of an owner's customers in the place of everybody's.

    Args:
        report: the Monday.
        owner: one of `report.figures`.
        tier_names: names of the tiers, as the page has them.
        file: the name of their call list.
    """
    return {
        "file": file,
        "texts": words.figures(report, owner, tier_names),
        "steps": words.steps(report, owner),
        "renewals": [
            {
                "week": str(day),
                "customers": renewals.due.customers,
                "revenue": round(renewals.due.revenue),
                "at_risk": round(renewals.at_risk),
            }
            for day, renewals in zip(renewal_weeks(report.snapshot_date), report.figures[owner].renewals, strict=False)
        ],
    }


def _list(report: WeekReport) -> dict[str, Any]:
    """What the list shows, column by column, in its order."""
    customers = report.customers
    return {
        "id": customers["customer_id"].to_pylist(),
        "name": customers["company_name"].to_pylist(),
        "rank": customers["call_rank"].to_pylist(),
        "called": [int(called) for called in customers["is_called"].to_pylist()],
        "written": [int(written) for written in customers["is_written_to"].to_pylist()],
        "weeks": weeks_listed(report.call_ranks),
        "moved": _moved(report),
        "probability": _scaled(customers[target_of("risk").probability_column], 10_000),
        "change": _scaled(customers["probability_change"], 10_000),
        "atRisk": _scaled(customers["revenue_at_risk"], 1),
        "owner": _coded(customers["csm_owner"]),
        "plan": _coded(customers["plan_tier"]),
        "tier": _coded(customers["risk_tier"]),
        "call": _words(
            [reason_in_words(reason, report.call_reasons) for reason in customers["call_reason"].to_pylist()]
        ),
        "reason": _coded(customers["reason"]),
        "action": _coded(customers["recommended_action"]),
    }


def _moved(report: WeekReport) -> list[int]:
    """1 for who became urgent since last week, 2 for who no longer is, 0 for the others."""
    if report.since is None:
        return [0] * report.customers.num_rows
    rose, fell = report.since.rose_ids, report.since.fell_ids
    return [
        1 if customer in rose else 2 if customer in fell else 0
        for customer in report.customers["customer_id"].to_pylist()
    ]


def _details(report: WeekReport) -> dict[str, Any]:
    """What a customer's detail shows, in the order of the list."""
    customers = report.customers
    tickets: list[list[Any]] = [[] for _ in range(7)]
    for ticket in report.tickets:
        for column, value in zip(tickets, ticket, strict=False):
            column.append(value)
    return {
        "probabilities": report.probabilities.ravel().tolist(),
        "callRanks": report.call_ranks.ravel().tolist(),
        "usage": report.usage.ravel().tolist(),
        "tickets": {
            "row": tickets[0],
            "age": tickets[1],
            "priority": _words(tickets[2]),
            "topic": _words(tickets[3]),
            "resolved": [int(resolved) for resolved in tickets[4]],
            "hours": [None if hours is None else round(hours, 1) for hours in tickets[5]],
        },
        "openTickets": customers["open_tickets"].to_pylist(),
        "openCritical": customers["open_critical_tickets"].to_pylist(),
        "contactOn": _coded(customers["contact_on"]),
        "contactKind": _coded(customers["contact_kind"]),
        "contactOutcome": _coded(customers["contact_outcome"]),
        "renewal": customers["days_to_renewal"].to_pylist(),
        "industry": _coded(customers["industry"]),
        "mrr": _scaled(customers["mrr"], 100),
        "tenure": customers["tenure_days"].to_pylist(),
        "historyWeeks": customers["history_weeks"].to_pylist(),
        "others": [_scaled(customers[target.probability_column], 10_000) for target in _others(customers)],
        "previousTier": _coded(customers["previous_risk_tier"]),
        "play": _coded(customers["play"]),
        "snoozed": _coded(customers["snoozed_until"].cast("string")),
        "resting": _coded(customers["resting_until"].cast("string")),
        "propensity": _scaled(customers[target_of("expansion").probability_column], 10_000),
        "readiness": _coded(customers["expansion_readiness"]),
        "targetTier": _coded(customers["target_tier"]),
        "uplift": _scaled(customers["expected_arr_uplift"], 1),
        "bias": _scaled(customers["bias"], 10_000),
        "logOdds": _scaled(customers["log_odds"], 10_000),
        "parts": [PARTS[part] for part in report.parts],
        "contributions": report.contributions.ravel().tolist(),
        "themes": _nested(customers["churn_themes"], texts=("theme", "label", "sentence"), numbers={"share": 100}),
        "talk": _nested(customers["talking_points"], texts=("theme", "ask", "offer", "avoid")),
        "changed": _changed(customers["change_parts"]),
        "churn": _drivers(customers["churn_drivers"]),
        "changes": _drivers(_where_null(customers["change_parts"], customers["change_drivers"])),
        "expansion": _drivers(customers["expansion_drivers"]),
    }


def _others(customers: pa.Table) -> list[Target]:
    """The targets of a customer's detail that neither the list nor the part about growth shows."""
    shown = {target_of("risk"), target_of("expansion")}
    return [
        target for target in in_reports() if target not in shown and target.probability_column in customers.column_names
    ]


def _coded(column: Any) -> dict[str, Any]:
    """A column of few different texts: the texts, and for each row which; -1 for none."""
    import pyarrow.compute as pc

    coded = column.combine_chunks().dictionary_encode()
    return {"words": coded.dictionary.to_pylist(), "of": pc.fill_null(coded.indices, -1).to_pylist()}


def _words(values: Sequence[str | None]) -> dict[str, Any]:
    words = sorted({value for value in values if value is not None})
    places = {word: place for place, word in enumerate(words)}
    return {"words": words, "of": [-1 if value is None else places[value] for value in values]}


def _scaled(column: Any, factor: int) -> list[int | None]:
    """Numbers as whole multiples of 1 / factor, which are shorter; None for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.round(pc.multiply(pc.cast(column, pa.float64()), float(factor)))
    # NaN is a value to Arrow and none to JSON.
    return pc.cast(pc.if_else(pc.is_finite(values), values, None), pa.int64()).to_pylist()


def _changed(column: Any) -> dict[str, Any]:
    """What a change is made of, in points that add up as they are printed, and their sum."""
    rows = [[part["points"] or 0.0 for part in parts or ()] for parts in column.to_pylist()]
    return _nested(column, texts=("label",), numbers={"revenue": 1}) | {
        "points": _words([text for points in rows for text in in_tenths(points)]),
        "total": _words([in_tenths([sum(points)])[0] for points in rows]),
    }


def _drivers(column: Any) -> dict[str, Any]:
    return _nested(column, texts=("sentence",), numbers={"contribution": 10_000})


def _where_null(column: Any, stands_in: Any) -> Any:
    """The values that stand in for those that a column lacks, and nothing beside those that it has."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = pc.if_else(pc.is_null(column.combine_chunks()), pa.array(range(len(column)), pa.int64()), None)
    return pa.chunked_array([stands_in.combine_chunks().take(rows)])


def _nested(column: Any, *, texts: Sequence[str], numbers: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Lists of structs as flat columns, with the number of each customer's; numbers in whole multiples, see `_scaled`."""
    import pyarrow.compute as pc

    lists = column.combine_chunks()
    flat = lists.flatten()
    return {
        "counts": pc.fill_null(pc.list_value_length(lists), 0).to_pylist(),
        **{name: _coded(_field(flat, name)) for name in texts},
        **{name: _scaled(_field(flat, name), factor) for name, factor in (numbers or {}).items()},
    }


def _field(structs: Any, name: str) -> Any:
    import pyarrow as pa

    return pa.chunked_array([structs.field(name)])


def _expansion(customers: pa.Table) -> list[dict[str, Any]]:
    """The first candidates for an offer. Who is not called is offered nothing either."""
    import pyarrow.compute as pc

    candidates = customers.filter(pc.and_(customers["is_expansion_candidate"], customers["may_be_approached"]))
    rows = candidates.sort_by("expansion_rank").slice(0, EXPANSION_ROWS)
    names = ("customer_id", "company_name", "csm_owner", "plan_tier", "target_tier", target_of("expansion").probability_column,
             "expected_arr_uplift", "expansion_readiness", "is_high_value_target", "expansion_drivers")  # fmt: skip
    listed = rows.select(names).to_pylist()
    for row in listed:
        raising = [driver["sentence"] for driver in row.pop("expansion_drivers") or () if driver["contribution"] > 0]
        row["reason"] = raising[0] if raising else ""
        row["propensity"] = row.pop(target_of("expansion").probability_column)
    return listed


def _written(customers: pa.Table) -> list[dict[str, Any]]:
    """The first whom nobody calls and who are urgent: of everybody and of every owner, as the rows of the page that it shows and hides."""
    names = ("customer_id", "company_name", "csm_owner", "risk_tier", "revenue_at_risk", "reason", "play", "recommended_action")  # fmt: skip
    of_owner: dict[str | None, int] = {}
    rows = []
    for place, row in enumerate(customers.filter(customers["is_written_to"]).select(names).to_pylist()):
        of_owner[row["csm_owner"]] = of_owner.get(row["csm_owner"], 0) + 1
        if place < WRITTEN_ROWS or of_owner[row["csm_owner"]] <= WRITTEN_ROWS:
            rows.append(row)
    return rows


def _tier_style(names: Sequence[str], policies: Sequence[Tiers]) -> Any:
    """Colour and shape of every tier, by its place in its own policy: the gravest has the strongest colour and a square, the next a drop.

    A tier that was only renamed looks as it did. The lowest is grey, and what lies between the third and it is in between.
    """
    from markupsafe import Markup

    places: dict[str, tuple[int, int]] = {}
    for policy in policies:
        for place, tier in enumerate(policy, 1):
            places.setdefault(tier.risk_tier, (place, len(policy)))
    rules = []
    for number, name in enumerate(names, 1):
        place, count = places[name]
        if place == count > 1:
            colour = "var(--low)"
        elif place <= len(_STRONG):
            colour = f"var(--{_STRONG[place - 1]})"
        else:
            share = (count - place) / (count - len(_STRONG))
            colour = f"color-mix(in srgb, var(--{_STRONG[-1]}) {share:.0%}, var(--low))"
        shape = {1: " border-radius: 0;", 2: " border-radius: 0 50% 50% 50%;"}.get(place, "")
        rules.append(f":root {{ --tier-{number}: {colour}; }}")
        rules.append(f".tag.tier-{number}::before {{ background: var(--tier-{number});{shape} }}")
    return Markup("\n".join(rules))


def _chart_rows(report: WeekReport, tier_names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The rows of the page's own charts, by the id of the place they are drawn in."""
    rows: dict[str, list[dict[str, Any]]] = {
        "tiers": [
            {
                "week": str(week.snapshot_date),
                "tier": tier,
                "order": order,
                "customers": week.customers.get(tier, 0),
                "at_risk": round(week.at_risk.get(tier, 0.0)),
            }
            for week in _half_a_year(report)
            for order, tier in enumerate(tier_names)
        ]
    }
    for target in (declared.name for declared in in_reports()):
        rows[f"quality-{target}"] = [
            {
                "week": str(outcome.predicted_on),
                "basis": outcome.basis,
                "value": outcome.value,
                "low": outcome.low,
                "high": outcome.high,
                "promised": outcome.promised,
            }
            for outcome in report.outcomes
            if outcome.target == target and outcome.figure == "auc" and outcome.value is not None
        ]
    longest = max((forecast.horizon_days for forecast in report.forecasts), default=0)
    rows["forecast"] = [
        {
            "week": str(forecast.snapshot_date),
            "expected": round(forecast.expected),
            "low": round(forecast.low),
            "high": round(forecast.high),
            "realised": None if forecast.realised is None else round(forecast.realised),
        }
        for forecast in report.forecasts
        if forecast.dimension == "all" and forecast.horizon_days == longest
    ]
    rows = {name: _every_monday(of_chart) for name, of_chart in rows.items()}
    for verdict in _drift(report):
        rows[f"drift-{verdict['target']}"] = [
            {name: row[name] for name in ("feature", "verdict", "limits", "share")}
            | {"word": "" if row["verdict"] == "none" else row["verdict"]}
            for row in verdict["features"]
        ]
    return rows


def _half_a_year(report: WeekReport) -> list[WeekTotals]:
    """The published Mondays that one chart and its table show."""
    return [week for week in report.weeks if week.snapshot_date >= report.mondays[0]]


def _every_monday(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a chart, and for each Monday between them that has none a row with nothing but its date: a place on the axis that stays empty."""
    weeks = {date.fromisoformat(row["week"]) for row in rows}
    first, last = min(weeks, default=date.max), max(weeks, default=date.min)
    between = (first + number * WEEK for number in range((last - first) // WEEK))
    return sorted([*rows, *({"week": str(day)} for day in between if day not in weeks)], key=lambda row: row["week"])


def _health(report: WeekReport) -> list[dict[str, Any]]:
    """For each target the newest realised figures and the expected ones, beside what was promised."""
    targets = []
    versions = {model.target: model for model in report.digest.health}
    for target in (declared.name for declared in in_reports()):
        of_target = [outcome for outcome in report.outcomes if outcome.target == target]
        if not of_target and target not in versions:
            continue
        realised_on = max((outcome.predicted_on for outcome in of_target if outcome.basis == "realised"), default=None)
        figures = []
        for figure, label in FIGURES.items():
            realised = _one(of_target, figure, "realised", realised_on)
            expected = _one(of_target, figure, "expected", report.snapshot_date)
            figures.append(
                {
                    "label": label,
                    "realised": realised,
                    "expected": expected,
                    "promised": next(
                        (outcome.promised for outcome in (expected, realised) if outcome is not None), None
                    ),
                }
            )
        targets.append(
            {
                "target": target,
                "model": versions.get(target),
                "kind": label_of(versions[target].kind) if target in versions else None,
                "realised_on": realised_on,
                "figures": figures,
                "history": [outcome for outcome in of_target if outcome.figure == "auc"],
                "due": report.snapshot_date + TARGETS[target].settled(report.settle_days).closing_weeks * WEEK,
            }
        )
    return targets


def _one(outcomes: Sequence[Outcome], figure: str, basis: str, predicted_on: date | None) -> Outcome | None:
    return next(
        (
            outcome
            for outcome in outcomes
            if (outcome.figure, outcome.basis, outcome.predicted_on) == (figure, basis, predicted_on)
        ),
        None,
    )


def _drift(report: WeekReport) -> list[dict[str, Any]]:
    """For each model its verdict, how many features stand at each level, and the farthest of them."""
    models = []
    for verdict in report.drift:
        features = [feature for feature in report.features if feature.target == verdict.target]
        labels = _labels(TARGETS[verdict.target].mart)
        levels = {
            level: sum(feature.verdict == level for feature in features)
            for level in ("act", "watch", "none", "unknown")
        }
        models.append(
            {
                "target": verdict.target,
                "verdict": verdict,
                "levels": {level: number for level, number in levels.items() if number},
                "features": [
                    {
                        "feature": labels.get(feature.feature, feature.feature.replace("_", " ").capitalize()),
                        "verdict": feature.verdict,
                        "limits": round(feature.limits, 3),
                        "share": feature.share,
                        "votes": feature.votes,
                    }
                    for feature in features[:DRIFT_ROWS]
                ],
            }
        )
    return models


def _labels(mart: str) -> dict[str, str]:
    """How a person calls a feature, in the words of today's catalogue."""
    return {feature.name: feature.label for feature in catalogue(mart)} | {"prediction": "Predicted probability"}
