"""What ``churn predict`` prints: the published prediction of one customer, or what the models say with other values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from rich.markup import escape

from churn_pipeline.cli.output import NO_REASON, name_in_line, terminal, version_in_words
from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.formatting import in_tenths, usd
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, Target, target_named, target_of
from churn_pipeline.customers.stores.published import Publication
from churn_pipeline.customers.what_if import assignments


def predicted(settings: Settings, customer: str, monday: date | None, target: str | None) -> dict[str, Any]:
    """What is published of one customer's future.

    Args:
        settings: the home.
        customer: the id, or the company's name, or how it begins.
        monday: which Monday; the newest published one unless given.
        target: only this target's probability; those of all churn targets, and of expansion where there is one, unless given.

    Raises:
        InputError: the customer is not in that Monday's table; there is no such target.
        RefusedError: nothing is published for that Monday, or no model predicts the target for the customer.
    """
    wanted = None if target is None else target_named(target)
    with Publication.open(settings, hold=False) as publication:
        published = publication.at(monday)
        customer_id = published.customer_id(customer)
        churn, expansion = published.churn(customer_id), published.expansion(customer_id)
        name = published.row(customer_id)["company_name"]
    said = asdict(churn) | {"expansion": None if expansion is None else asdict(expansion)}
    if wanted is not None:
        growth = wanted == target_of("expansion")
        said["scores"] = [] if growth else [score for score in said["scores"] if score["target"] == wanted.name]
        said["expansion"] = said["expansion"] if growth else None
        if not said["scores"] and said["expansion"] is None:
            raise RefusedError(f"no model predicts {wanted.name} for '{customer_id}' on {churn.snapshot_date}")
    return {"company_name": name, "target": target, **said}


def what_if(
    settings: Settings, customer: str, monday: date | None, target: str | None, changes: Sequence[str]
) -> dict[str, Any]:
    """What the models say of one customer with other values.

    Args:
        settings: the home.
        customer: as of :func:`predicted`.
        monday: as of :func:`predicted`.
        target: whose probability; those of all churn targets unless given.
        changes: FEATURE=VALUE each.

    Raises:
        InputError: as :func:`predicted`; no model looks at such a feature, or it cannot have such a value.
        RefusedError: nothing is published for that Monday, or what is published and the models do not go together any more.
    """
    from churn_pipeline.customers.stores.models import Models

    values = assignments(changes)
    wanted = None if target is None else target_named(target)
    with Publication.open(settings, hold=False) as publication:
        published = publication.at(monday)
        customer_id = published.customer_id(customer)
        answer = Models(publication).what_if(published, customer_id, values, wanted)
        name = published.row(customer_id)["company_name"]
    return {"company_name": name, **asdict(answer)}


def print_predicted(said: dict[str, Any]) -> None:
    """The prediction on half a page: how likely, why, what to do, and by which models."""
    console = terminal()
    _print_head(said)
    change = (
        f" ({in_tenths([said['probability_change']])[0]} points since last Monday)"
        if said["probability_change"] is not None
        else ""
    )
    for n, score in enumerate(said["scores"]):
        target = TARGETS[score["target"]]
        is_risk = target == target_of("risk")
        console.print(
            f"{'' if n else chr(10)}{target.title}: [bold]{score['probability']:.1%}[/bold]{change if is_risk else ''}"
            f"{f', {said["risk_tier"]}, {usd(said["revenue_at_risk"])} a year at risk' if is_risk else ''}"
        )
    if said["scores"]:
        console.print(
            f"Risk score (no probability): {said['risk_score']:.2f}, {said['risk_score_tier']}; made of {said['risk_score_basis']}"
        )
        if said["churn_themes"] is not None:
            console.print("\nWhy" if said["churn_themes"] else f"\n{NO_REASON}.")
            for theme in said["churn_themes"]:
                console.print(
                    f"  [bold]{escape(theme['label'])}[/bold] ({theme['share']:.0%} of what raises it): {escape(theme['sentence'])}"
                )
        _print_drivers(said["churn_drivers"], target_of("risk"))
        console.print(f"\n[bold]{escape(said['play'])}[/bold]: {escape(said['recommended_action'])}")
    scores = list(said["scores"])
    if (growth := said["expansion"]) is not None:
        scores.append(growth["score"])
        console.print(
            f"\n{target_of('expansion').title}: [bold]{growth['score']['probability']:.1%}[/bold] to {growth['target_tier']} ({growth['expansion_readiness']}), "
            f"expected {usd(growth['expected_arr_uplift'] or 0)} a year"
        )
        if said["target"] is not None:
            _print_drivers(growth["expansion_drivers"], target_of("expansion"))
    models = ", ".join(
        f"{score['target']} version {version_in_words(score['model_version'], score['model_kind'])}" for score in scores
    )
    console.print(f"\nPredicted {said['scored_at']:%-d %b %Y, %H:%M} UTC by {escape(models)}")


def print_what_if(said: dict[str, Any]) -> None:
    """What was changed, what the models make of it, and what nobody may take it for."""
    console = terminal()
    _print_head(said)
    console.print(f"\n[bold]{said['note']}[/bold]")
    for change in said["changes"]:
        console.print(
            f"{escape(change['label'])} ({change['feature']}): {escape(change['before_text'])} → {escape(change['after_text'])}"
        )
        if change["note"]:
            console.print(f"  {escape(change['note'])}")
    for score in said["scores"]:
        target = TARGETS[score["target"]]
        tiers = ""
        if target == target_of("risk") and (tier := said["risk_tier"]) is not None:
            tiers = f"; {tier}" if tier == said["new_risk_tier"] else f"; {tier} → {said['new_risk_tier']}"
        console.print(
            f"\n{target.title}: {score['before']:.1%} → [bold]{score['after']:.1%}[/bold] ({in_tenths([score['change']])[0]} points{tiers})  "
            f"{target.name} version {escape(version_in_words(score['model_version'], score['model_kind']))}"
        )
        parts = zip(score["parts"], in_tenths([part["points"] for part in score["parts"]]), strict=True)
        for part, points in parts:
            if points != "±0.0":
                console.print(f"  {points:>6} points  {escape(part['label'])}")
    if said["notices"]:
        console.print()
    for notice in said["notices"]:
        console.print(escape(notice), soft_wrap=True)


def _print_head(said: dict[str, Any]) -> None:
    customer_id = name_in_line(said["customer_id"])
    name = name_in_line(said["company_name"] or said["customer_id"])
    terminal().print(f"\n[bold]{name}[/bold]  {customer_id}   Monday {said['snapshot_date']}")


def _print_drivers(drivers: Sequence[dict[str, Any]], target: Target) -> None:
    console = terminal()
    console.print(f"\nLargest contributions within {target.horizon_days} days, log-odds")
    for driver in drivers:
        console.print(f"  {driver['contribution']:+.2f}  {escape(driver['sentence'])}")
