"""The first line above a list: what it is ranked by while better models are still to come."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from churn_pipeline.core.model_kinds import KINDS, Kind, label_of
from churn_pipeline.core.ranked_by import ranked_by
from churn_pipeline.core.targets import ROLES, TARGETS

RISK, FLAG, EXPANSION = ROLES["risk"], ROLES["flag"], ROLES["expansion"]
RUNG = "7 of 20 departures needed are known"


def test_a_list_by_a_base_rate_says_so_and_what_a_better_model_waits_for() -> None:
    assert ranked_by({FLAG: "base_rate", RISK: "base_rate"}, {RISK: RUNG, FLAG: "another sentence"}) == (
        "This list is ranked by how long customers have been with you and what they pay, not yet by what they do: "
        "7 of 20 departures needed are known."
    )


def test_a_list_by_the_shorter_horizon_names_both() -> None:
    assert ranked_by({FLAG: "logistic", RISK: "of_30d"}, {RISK: f"{RUNG}."}) == (
        "This list is ranked by who may leave within 30 days and what they pay, not yet by who may leave within 90: "
        "7 of 20 departures needed are known."
    )


def test_where_only_another_horizon_is_provisional_the_order_of_the_list_is_not() -> None:
    assert ranked_by({FLAG: "base_rate", RISK: "trees"}, {FLAG: "boosted trees need 150 departures"}) == (
        "The order of this list is by what customers do. How likely they leave within 30 days follows from how long they have been with you, "
        "not yet from what they do: boosted trees need 150 departures."
    )


@pytest.mark.parametrize("kind", ["base_rate", "of_30d"])
def test_where_nobody_is_known_to_pay_the_line_does_not_say_that_money_ranks(kind: Kind) -> None:
    line = ranked_by({RISK: kind}, {}, is_money_known=False)
    assert line is not None
    assert line == str(ranked_by({RISK: kind}, {})).replace(" and what they pay", "")
    assert "pay" not in line


@pytest.mark.parametrize("rung", [None, "", " "])
def test_an_older_ledger_does_not_say_what_the_next_model_takes_and_neither_does_the_line(rung: str | None) -> None:
    line = ranked_by({RISK: "base_rate"}, {RISK: rung})
    assert line is not None
    assert line.endswith("not yet by what they do.")
    assert line == ranked_by({RISK: "base_rate"}, {})


@pytest.mark.parametrize("kind", [kind for kind in get_args(Kind) if kind not in ("base_rate", "of_30d")])
def test_where_every_horizon_looks_at_what_customers_do_nothing_is_said(kind: Kind) -> None:
    assert ranked_by({FLAG: kind, RISK: kind, EXPANSION: "base_rate"}, {RISK: RUNG, EXPANSION: RUNG}) is None


def test_no_line_is_cut_where_notices_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "churn_180d", replace(TARGETS[RISK], name="churn_180d", horizon_days=180))
    for target in (RISK, FLAG, "churn_180d"):
        for kind in get_args(Kind):
            if target != FLAG or kind != "of_30d":
                line = ranked_by({target: kind}, {target: "x" * 120})
                assert line is None or len(line) <= 300


def test_a_kind_that_a_row_does_not_have_has_no_name_and_one_of_a_newer_version_its_own() -> None:
    assert label_of(None) is None
    assert label_of("hazard") == "hazard"
    assert [label_of(kind) for kind in KINDS] == [words.label for words in KINDS.values()]
