"""Everything that is said of each customer, read side by side as whoever calls reads it."""

from __future__ import annotations

import pytest

from churn_pipeline.core.settings import Settings
from tests.support.told import faults_of, rows_of, shipped_catalogue

CATALOGUE = shipped_catalogue()
ROW = {
    "churn_themes": [
        {"theme": "usage", "sentence": "Little activity: 3 events in 7 days, similar companies 16", "features": ["events_last_7d"]}
    ],
    "recommended_action": "Call this week.",
    "talking_points": [{"theme": "usage", "ask": "Who works with it?", "offer": "A new start.", "avoid": "Blame."}],
    "change_parts": [{"points": 0.02}, {"points": -0.01}],
    "probability_change": 0.01,
}  # fmt: skip


def reason(sentence: str, *features: str) -> dict[str, object]:
    return {"theme": "usage", "sentence": sentence, "features": list(features)}


def test_of_no_customer_anything_is_said_twice_without_its_unit_or_with_an_empty_slot(
    scored_home: Settings, tiny_two_mondays: Settings
) -> None:
    changes = 0
    for home, customers in ((scored_home, 1_000), (tiny_two_mondays, 1_000)):
        rows = rows_of(home.published_database)
        assert len(rows) > customers
        assert [fault for row in rows for fault in faults_of(row, CATALOGUE)] == []
        changes += sum(row["change_parts"] is not None and row["probability_change"] is not None for row in rows)
    assert changes > 300


def test_a_row_without_a_fault_has_none() -> None:
    assert list(faults_of(ROW, CATALOGUE)) == []


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"churn_themes": [reason("3 in 7 days, similar companies 16", "events_last_7d")]}, "no unit for 3"),
        (
            {"churn_themes": [reason("3 events last week; last week down 9 %", "events_last_7d", "usage_change_7d")]},
            "told twice (last_week)",
        ),
        ({"churn_themes": [reason("3 events", "x"), reason("3 events", "y")]}, "told twice (3 events)"),
        ({"recommended_action": "Ask about the  plan."}, "an empty slot"),
        ({"recommended_action": "Speak of {next_plan}."}, "an empty slot"),
        ({"recommended_action": "The usage speaks for enterprise, so sell it."}, "wrong English"),
        ({"recommended_action": "They opened 1 tickets."}, "wrong English"),
        ({"talking_points": [ROW["talking_points"][0] | {"ask": ""}]}, "an empty slot"),  # type: ignore[index]
        ({"talking_points": [ROW["talking_points"][0] | {"theme": "plan"}]}, "a talking point about plan"),  # type: ignore[index]
        ({"probability_change": 0.02}, "the parts of the change add up to 0.010000 and not to 0.020000"),
    ],
)
def test_each_fault_is_seen(changed: dict[str, object], fault: str) -> None:
    (found,) = faults_of(ROW | changed, CATALOGUE)
    assert found.startswith(fault)
