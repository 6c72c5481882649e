"""What the shipped texts of the policy tell people to say and to do fits the customer whom they are told of."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

import pytest

from churn_pipeline.core.settings import REPOSITORY

SEEDS = REPOSITORY / "dbt_project" / "seeds"
TEXTS = {"playbook": ("recommended_action",), "talking_points": ("ask", "offer", "avoid")}


def rows(seed: str) -> list[dict[str, str]]:
    with (SEEDS / f"{seed}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def texts() -> Iterator[tuple[str, dict[str, str], str]]:
    """Each row of each seed with its texts in one."""
    for seed, columns in TEXTS.items():
        for row in rows(seed):
            yield seed, row, " ".join(row[column] for column in columns)


def facts(text: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", text)


def test_tickets_are_spoken_of_only_where_there_are_some_and_open_ones_where_one_is_open() -> None:
    checked = 0
    for seed, row, text in texts():
        if re.search(r"\bopen (ticket|one)|\boldest ticket|\beach ticket|\bsolves each", text):
            assert "oldest_open_ticket_days" in facts(text), (seed, row)
            checked += 1
        elif "ticket" in text.replace("{oldest_open_ticket_days}", "") or "opened" in text:
            assert "tickets" in facts(text), (seed, row)
            checked += 1
    assert checked == 5


def test_a_plan_is_named_as_a_plan_and_a_price_only_to_those_who_pay_one() -> None:
    for seed, row, text in texts():
        for fact in ("plan", "paid_plan", "next_plan"):
            for before, after in re.findall(rf"(\S+) \{{{fact}\}}(.{{5}})", text):
                assert (before, after) == ("the", " plan"), (seed, row)
        if "pay for" in text or "discount" in text or "smaller" in text:
            assert "paid_plan" in facts(text), (seed, row)


def test_a_text_names_each_fact_once_and_none_without_its_unit() -> None:
    # Their noun would have to agree with a number that nobody knows: "1 events".
    without_unit = {"events_last_30d", "critical_tickets"}
    for seed, row, text in texts():
        assert len(facts(text)) == len(set(facts(text))), (seed, row)
        assert not without_unit & set(facts(text)), (seed, row)


@pytest.mark.parametrize("phrase", ["expected to work by now", "expect to work by now", "next system to connect"])
def test_what_a_beginner_is_asked_is_not_asked_of_a_customer_of_years(phrase: str) -> None:
    for seed, row, text in texts():
        if phrase in text:
            is_fallback = seed == "talking_points" and not facts(text)
            assert is_fallback or "first_year" in facts(text) or row.get("lifecycle") == "onboarding", (seed, row)


def test_a_fact_of_some_weeks_is_told_with_them() -> None:
    # Beside a reason that is about all the time since signup it would contradict it.
    windows = {"events": "last 30 days", "adoption": "last 30 days", "tickets": "last 90 days"}
    told = 0
    for seed, row, text in texts():
        for fact in windows.keys() & set(facts(text)):
            assert windows[fact] in text, (seed, row)
            told += 1
    assert told == 4


def test_nobody_who_pays_nothing_is_asked_what_they_bought() -> None:
    for seed, row, text in texts():
        if re.search(r"\byou (buy|bought|pay)\b|\bdid you buy\b", text):
            assert "paid_plan" in facts(text), (seed, row)
