"""A value that somebody asks about: what it may be, and what is said of one that it may not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import shipped
from churn_pipeline.core.targets import target_of
from churn_pipeline.customers.stores.models import declared
from churn_pipeline.customers.what_if import ValueRule, assignments, feature_named, rule_of
from churn_pipeline.features.catalogue import Catalogue, read_catalogue, read_ranges

MART: Path = shipped("dbt_project") / "models" / "marts" / f"{target_of('risk').mart}.yml"
WHOLE = {"events_last_30d", "tenure_days", "days_since_last_event", "vendor_risk_flags"}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue(MART)


@pytest.fixture(scope="module")
def rules(catalogue: Catalogue) -> dict[str, ValueRule]:
    ranges = read_ranges(MART)
    return {
        feature.name: rule_of(
            feature,
            is_whole=feature.name in WHOLE,
            column=declared(feature.name),
            bounds=ranges.get(feature.name, (None, None)),
        )
        for feature in catalogue
    }


@pytest.mark.parametrize(
    ("feature", "given", "value"),
    [
        ("events_last_30d", "40", 40),
        ("events_last_30d", "1,200", 1200),
        ("events_last_30d", 7, 7),
        ("events_last_30d", "null", None),
        ("events_last_30d", None, None),
        ("avg_adoption_score", "0.35", 0.35),
        ("avg_adoption_score", "35 %", 0.35),
        ("adoption_change", "+8 points", 0.08),
        ("adoption_change", "−0.08", -0.08),
        ("usage_change_30d", "2.5", 2.5),
        ("mrr", "$1,250.50", 1250.5),
        ("tenure_days", "90 days", 90),
        ("avg_resolution_hours", "31.5 hours", 31.5),
        ("is_early_stage", "yes", True),
        ("is_early_stage", False, False),
        ("plan_tier", "growth", "growth"),
        ("industry", "underwater basket weaving", "underwater basket weaving"),
    ],
)
def test_a_value_is_read_as_people_write_it(
    rules: dict[str, ValueRule], feature: str, given: object, value: object
) -> None:
    read = rules[feature].value(given)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("feature", "given", "problem"),
    [
        ("events_last_30d", "-3", "events_last_30d is a whole number of 0 or more, or null, not '-3'"),
        ("events_last_30d", "1.5", "events_last_30d is a whole number of 0 or more, or null, not '1.5'"),
        ("events_last_30d", "40 %", "events_last_30d is a whole number"),
        ("events_last_30d", True, "events_last_30d is a whole number of 0 or more, or null, not True"),
        ("events_last_30d", "nan", "not 'nan'"),
        ("events_last_30d", float("inf"), "not inf"),
        ("events_last_30d", "9" * 13, "events_last_30d is a whole number"),
        ("tenure_days", "0", "tenure_days is a whole number of 1 or more, or null, not '0'"),
        ("avg_adoption_score", "120 %", "avg_adoption_score is a number from 0 to 1, or null, not '120 %'"),
        ("lifetime_adoption_score", "1.2", "lifetime_adoption_score is a number from 0 to 1, or null, not '1.2'"),
        ("compliance_gap_score", "2", "compliance_gap_score is a number from 0 to 1, or null, not '2'"),
        ("adoption_change", "1.5", "adoption_change is a number from -1 to 1, or null, not '1.5'"),
        ("mrr", "$-5", "mrr is a number of 0 or more, or null"),
        ("is_early_stage", "maybe", "is_early_stage is yes, no or null, not 'maybe'"),
        ("plan_tier", "gold", "plan_tier is one of free, starter, growth, enterprise, custom, or null, not 'gold'"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_the_rule(
    rules: dict[str, ValueRule], feature: str, given: object, problem: str
) -> None:
    with pytest.raises(InputError) as refused:
        rules[feature].value(given)
    assert problem in str(refused.value)


def test_every_feature_has_a_rule_that_is_said_in_words(rules: dict[str, ValueRule]) -> None:
    assert all("inf" not in rule.in_words() for rule in rules.values())


def test_an_unknown_feature_is_refused_with_those_that_are_close(catalogue: Catalogue) -> None:
    assert feature_named("mrr", [catalogue]).name == "mrr"
    with pytest.raises(InputError, match=r"looks at 'event_last_30d'; did you mean events_last_30d or"):
        feature_named("event_last_30d", [catalogue])
    with pytest.raises(InputError, match=r"looks at 'Open ticket'; did you mean open_tickets"):
        feature_named("Open ticket", [catalogue])
    with pytest.raises(InputError, match=r"looks at 'zzzz'; there are industry, plan_tier, mrr"):
        feature_named("zzzz", [catalogue])


def test_a_change_is_written_feature_equals_value_and_once() -> None:
    assert assignments(["mrr = 5", "industry=a=b", "plan_tier="]) == {"mrr": "5", "industry": "a=b", "plan_tier": ""}
    with pytest.raises(InputError, match=r"'mrr' is no change of a feature: write FEATURE=VALUE"):
        assignments(["mrr"])
    with pytest.raises(InputError, match="mrr is given twice"):
        assignments(["mrr=1", "mrr=2"])
