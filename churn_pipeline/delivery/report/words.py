"""The figures of a report in words, as the page shows them: made here for everybody and for every owner, and only put into place by its
script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.formatting import counted, signed, signed_usd, usd
from churn_pipeline.delivery.report.data import Forecast, Retention, WeekReport, weeks_listed
from churn_pipeline.delivery.report.figures import Figures
from churn_pipeline.delivery.report.since import EVERYBODY, Group, Moves, Steps
from churn_pipeline.monitoring.forecast import COVERAGE, coverage_sentence
from churn_pipeline.monitoring.interventions import SAVES_NOTE, Lift, Saves
from churn_pipeline.policy import tiers

DASH = "\N{EN DASH}"
# So long in a row on the list says that nobody calls, or that it is kept nowhere.
LONG_LISTED = 4
NO_MONEY = "What customers pay is not on file (column mrr), so nothing here is in dollars, and whoever is likelier to leave comes first."
DIMENSIONS = {"plan_tier": "Plan", "industry": "Industry", "csm_owner": "Owner"}


def figures(report: WeekReport, owner: Group, tier_names: Sequence[str]) -> dict[str, str]:
    """What is said of an owner's customers, or of everybody, by the place on the page.

    Args:
        report: the Monday.
        owner: one of `report.figures`.
        tier_names: names of the tiers, as the page has them.
    """
    of_owner = report.figures[owner]
    moves = report.since.of.get(owner) if report.since else None
    texts = _headline(report, of_owner, moves, tier_names)
    if report.since:
        texts |= _moved(report, moves)
    texts |= _calls(report, owner, of_owner)
    uplift = f" with an expected uplift of {usd(of_owner.candidates.revenue)} a year" if report.has_money else ""
    texts["growth-words"] = (
        f"{counted(of_owner.candidates.customers, 'candidate')}{uplift}; "
        f"{of_owner.ready:,} of them {'is' if of_owner.ready == 1 else 'are'} ready now, the others are not yet."
    )
    for place, week in enumerate(of_owner.renewals):
        texts[f"renewal-{place}-customers"] = f"{week.due.customers:,}"
        texts[f"renewal-{place}-revenue"] = usd(week.due.revenue)
        texts[f"renewal-{place}-risk"] = usd(week.at_risk)
        texts[f"renewal-{place}-called"] = f"{week.called:,}" if report.has_list else DASH
    if of_owner.renewals:
        due = sum(week.due.customers for week in of_owner.renewals)
        texts["renewal-words"] = (
            f"{counted(due, 'customer')} with {usd(sum(week.due.revenue for week in of_owner.renewals))} a year, "
            f"{usd(sum(week.at_risk for week in of_owner.renewals))} of it at risk."
            if report.has_money
            else f"{counted(due, 'customer')}."
        )
    return texts


def _headline(report: WeekReport, of_owner: Figures, moves: Moves | None, tier_names: Sequence[str]) -> dict[str, str]:
    compared = report.since is not None
    before = moves.tiers_before if moves else {}
    texts = {
        "at-risk": usd(of_owner.revenue_at_risk),
        "at-risk-change": (
            f"{signed_usd(of_owner.revenue_at_risk - sum(money for _, money in before.values()))} in a week"
            if compared
            else "no Monday before"
        ),
        "customers": f"{of_owner.customers:,}",
        "customers-change": signed(of_owner.customers - sum(count for count, _ in before.values())) if compared else "",
        "called": f"{of_owner.called.customers:,}" if report.has_list else DASH,
        "called-risk": (
            "no list was made"
            if not report.has_list
            else f"{usd(of_owner.called.revenue)} at risk"
            if report.has_money
            else "by probability"
        ),
        "candidates": DASH if report.no_expansion else f"{of_owner.candidates.customers:,}",
        "candidates-worth": (
            "no model in force"
            if report.no_expansion
            else f"{usd(of_owner.candidates.revenue)} a year"
            if report.has_money
            else f"{of_owner.ready:,} ready now"
        ),
    }
    for place, tier in enumerate(tier_names):
        count = of_owner.tiers.get(tier)
        customers, revenue = (count.customers, count.revenue) if count else (0, 0.0)
        former, former_revenue = before.get(tier, (0, 0.0))
        texts[f"tier-{place}-customers"] = f"{customers:,}"
        texts[f"tier-{place}-revenue"] = usd(revenue)
        texts[f"tier-{place}-change"] = signed(customers - former) if compared else ""
        texts[f"tier-{place}-revenue-change"] = signed_usd(revenue - former_revenue) if compared else ""
    return texts


def _moved(report: WeekReport, moves: Moves | None) -> dict[str, str]:
    assert report.since is not None
    rose, fell, gone = (moves.rose, moves.fell, moves.gone) if moves else ((0, 0.0),) * 3
    urgent = tiers.urgent(report.policy)
    # What is below the least grave of them is no longer urgent.
    lowest = tiers.in_words(urgent[-1:])

    def at_risk(revenue: float, verb: str) -> str:
        return f": {usd(revenue)} {verb}" if report.has_money else ""

    texts = {
        "rose": f"{counted(rose[0], 'customer')} became {tiers.in_words(urgent)}{at_risk(rose[1], 'at risk')}"
        if rose[0]
        else f"Nobody became {tiers.in_words(urgent)}",
        "fell": f"{counted(fell[0], 'customer')} fell below {lowest}{at_risk(fell[1], 'was at risk')}"
        if fell[0]
        else f"Nobody fell below {lowest}",
        "gone": f"{counted(gone[0], 'customer')} left{at_risk(gone[1], 'was at risk')}" if gone[0] else "Nobody left",
        "gone-called": (
            f"{moves.gone_called if moves else 0:,} of them {'was' if moves and moves.gone_called == 1 else 'were'} on last week's call list."
            if report.since.had_list
            else "There was no call list last week."
        )
        if gone[0]
        else "",
    }
    for name, amount in _amounts(moves.steps if moves else None):
        texts[f"step-{name}"] = usd(amount) if name in ("before", "now") else signed_usd(amount)
        texts[f"step-{name}-exact"] = f"{amount:,}"
    return texts


def _amounts(steps: Steps | None) -> list[tuple[str, int]]:
    names = ("before", "new", "gone", "up", "down", "model", "now")
    return [(name, getattr(steps, name) if steps else 0) for name in names]


STEPS = {
    "before": "Last Monday",
    "new": "New customers",
    "gone": "Customers who left",
    "up": "Risk or revenue up",
    "down": "Risk or revenue down",
    "model": "Model and corrected data",
    "now": "This Monday",
}


def steps(report: WeekReport, owner: Group) -> list[dict[str, Any]]:
    """The waterfall of revenue at risk of an owner's customers, a row a step; nothing without a Monday before."""
    if report.since is None:
        return []
    moves = report.since.of.get(owner)
    rows, total = [], 0
    for name, amount in _amounts(moves.steps if moves else None):
        is_total = name in ("before", "now")
        start, total = (0, amount) if is_total else (total, total + amount)
        rows.append(
            {
                "step": STEPS[name],
                "start": total if is_total else start,
                "end": total,
                "kind": "total" if is_total else "raises" if amount > 0 else "lowers",
                "text": usd(amount) if is_total else signed_usd(amount),
                "right": max(start, total),
            }
        )
    return rows


def _calls(report: WeekReport, owner: Group, of_owner: Figures) -> dict[str, str]:
    if not report.has_list:
        return {"calls-words": f"No call list was made for this Monday. Its customers are below, by revenue at risk: {counted(of_owner.customers, 'customer')}."}  # fmt: skip
    called = of_owner.called
    if not called.customers:
        text = "Nobody is worth a call this week."
    elif report.has_money:
        text = f"{counted(called.customers, 'customer')} to call this week, with {usd(called.revenue)} of revenue a year at risk."
    else:
        text = f"{counted(called.customers, 'customer')} to call this week. {NO_MONEY}"
    if not report.worth.has_interventions and (long := _long_listed(report, owner)):
        text += (
            f" Calls are not on file (table interventions), so nobody rests after one: {long:,} of them {'is' if long == 1 else 'are'} on the "
            f"list for the {_ordinal(LONG_LISTED)} Monday in a row or longer."
        )
    written = of_owner.written
    return {
        "calls-words": text,
        "written-words": (
            f"{counted(written.customers, 'customer')}{f' with {usd(written.revenue)} a year at risk' if report.has_money else ''}: urgent, and nobody calls them this week. "
            "Whoever is to be left alone for now, or was called not long ago, is not among them."
            if written.customers
            else "Everybody urgent is on the call list, or to be left alone for now."
        ),
        "written-count": f"{written.customers:,}",
    }


def _long_listed(report: WeekReport, owner: Group) -> int:
    listed = weeks_listed(report.call_ranks)
    owners = report.customers["csm_owner"].to_pylist()
    return sum(weeks >= LONG_LISTED and owner in (EVERYBODY, own) for weeks, own in zip(listed, owners, strict=True))


def _ordinal(number: int) -> str:
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def worth(report: WeekReport) -> list[str]:
    """What calls were worth, or from when on that can be known, a sentence or two each."""
    known = report.worth
    told = []
    if known.saves:
        told.append(_saves(known.saves))
    elif known.first_list is None or known.known_on is None:
        told.append("There was no call list yet, so nothing can be said of what calls were worth.")
    elif report.snapshot_date < known.known_on:
        told.append(
            f"The first call list was made for {known.first_list}. What became of its customers, in number and in dollars, is known on {known.known_on}."
        )
        if not known.has_interventions:
            told.append(
                "It can be said of customers who were called, and no call is on file: give the table interventions."
            )
    elif not known.has_interventions:
        told.append(
            "No call is on file, so nothing can be said of what calls were worth: give the table interventions."
        )
    else:
        told.append(f"Nobody on a list whose outcome is known had a call on file (the first is of {known.first_list}).")
    if known.lift:
        told.append(_lift(known.lift))
    elif known.power:
        told.append(known.power)
    return told


def _saves(saves: Saves) -> str:
    kept = saves.revenue_kept
    outcome = (
        f"{usd(kept)} less than that" if kept >= 0.5 else f"{usd(-kept)} more than that" if kept <= -0.5 else "as much"
    )
    return (
        f"Of the list of {saves.predicted_on}, {counted(saves.touched, 'customer')} with {usd(saves.revenue)} a year were called. "
        f"{usd(saves.revenue_expected_to_leave)} was expected to leave ({usd(saves.revenue_expected_low)} to {usd(saves.revenue_expected_high)} by "
        f"chance alone, 95 %), and {usd(saves.revenue_left)} left: {outcome}. {saves.stayed:,} stayed, {saves.expected_to_stay:,.0f} were expected to. "
        f"It is {SAVES_NOTE}."
    )


def _lift(lift: Lift) -> str:
    saved, low, high = lift.saved_revenue
    return (
        f"The hold-out, of {counted(lift.quarters, 'quarter')} up to {lift.predicted_on}: of {counted(lift.held_out, 'customer')} who were left out by lot "
        f"{lift.held_out_rate:.1%} left, of {lift.others:,} others {lift.others_rate:.1%}. Calling kept {usd(saved)} a year "
        f"({usd(low)} to {usd(high)}, 95 %)."
    )


def outlook(report: WeekReport) -> dict[str, Any]:
    """Revenue that is expected to leave and to stay: rows of tables, and the sentence of how often such intervals held."""
    today = [forecast for forecast in report.forecasts if forecast.snapshot_date == report.snapshot_date]
    longest = max((forecast.horizon_days for forecast in today), default=0)
    everybody = [forecast for forecast in today if forecast.dimension == "all"]
    stayed = {(row.dimension, row.value): row for row in report.retention}
    whole = stayed.get(("all", "all"))
    return {
        "days": longest,
        "interval": f"{COVERAGE:.0%}".replace("%", " %"),
        "expected": [_expected(forecast) for forecast in everybody],
        "coverage": [
            coverage_sentence(row.past_covered, row.past_mondays) for row in everybody if row.horizon_days == longest
        ],
        "history": [
            _expected(forecast) | {"monday": forecast.snapshot_date}
            for forecast in reversed(report.forecasts)
            if forecast.dimension == "all" and forecast.horizon_days == longest
        ],
        "retention": _retention(whole) if whole else None,
        "groups": [
            {
                "title": title,
                "rows": [
                    _expected(forecast)
                    | {
                        "name": forecast.value.replace("_", " ") if dimension == "industry" else forecast.value,
                        **_retention(stayed.get((dimension, forecast.value))),
                    }
                    for forecast in today
                    if forecast.dimension == dimension and forecast.horizon_days == longest
                ],
            }
            for dimension, title in DIMENSIONS.items()
        ],
    }


def _expected(forecast: Forecast) -> dict[str, Any]:
    return {
        "days": forecast.horizon_days,
        "revenue": usd(forecast.revenue),
        "expected": usd(forecast.expected),
        "interval": f"{usd(forecast.low)} to {usd(forecast.high)}",
        "realised": "not yet" if forecast.realised is None else usd(forecast.realised),
    }


def _retention(row: Retention | None) -> dict[str, Any]:
    def share(value: float | None) -> str:
        return DASH if value is None else f"{value:.1%}"

    if row is None:
        return dict.fromkeys(("gross", "net", "expected_gross", "expected_net", "base_date"), DASH) | {"why": ""}
    unknown: Iterable[str] = (
        "So far it cannot be said: revenue of the past is today's." if row.is_todays_price else "",
        "" if row.base_date or row.is_todays_price else "So far it cannot be said: there is no earlier Monday.",
        "" if row.expected_net is not None else "Net retention ahead needs a model of expansion.",
    )
    ahead = share(row.expected_gross)
    if row.expected_gross_low is not None and row.expected_gross_high is not None:
        ahead += f" ({row.expected_gross_low:.1%} to {row.expected_gross_high:.1%})"
    return {
        "base_date": str(row.base_date) if row.base_date else DASH,
        "gross": share(row.gross),
        "net": share(row.net),
        "expected_gross": ahead,
        "expected_net": share(row.expected_net),
        "why": " ".join(filter(None, unknown)),
    }


def no_comparison(report: WeekReport) -> str:
    """Why nothing is compared on this page; empty where something is."""
    if report.since is not None:
        return ""
    monday, before = report.snapshot_date, report.snapshot_date - WEEK
    if len(report.weeks) > 1:
        return f"Monday {before} is not published, so nothing can be compared with it."
    return f"This is the first published Monday. From {monday + WEEK} on this part says who became urgent, who left, and where revenue at risk came from."
