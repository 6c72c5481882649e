"""The catalogue of features: what its YAML may say, and how it travels with a model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.core.targets import TARGETS, target_of
from churn_pipeline.core.themes import NEVER_A_REASON, THEMES
from churn_pipeline.features.catalogue import Catalogue, Feature, read_catalogue
from churn_pipeline.features.sentences import parse

MARTS = sorted({target.mart for target in TARGETS.values()})

# As a version of before there were themes stored it.
OLD = """{
 "mart": "mart_customer_churn_features",
 "features": [
  {
   "name": "avg_adoption_score",
   "dtype": "numeric",
   "label": "Feature adoption, last 30 days",
   "format": "score",
   "raises": "Feature adoption of {value} over the last 30 days",
   "lowers": "Feature adoption of {value} over the last 30 days",
   "direction": "decreasing",
   "cumulative": false,
   "requires": null
  },
  {
   "name": "gone",
   "dtype": "numeric",
   "label": "Gone",
   "format": "count",
   "raises": "Only {value}",
   "lowers": "{value}",
   "direction": null,
   "cumulative": false,
   "requires": null
  }
 ]
}"""


def shipped(mart: str) -> Catalogue:
    return read_catalogue(REPOSITORY / "dbt_project" / "models" / "marts" / f"{mart}.yml")


def of_yaml(tmp_path: Path, **meta: object) -> Catalogue:
    """The catalogue of a mart with one feature, one fact and one more column."""
    feature = {
        "feature": True,
        "dtype": "numeric",
        "format": "count",
        "label": "Tickets in 90 days",
        "theme": "support",
    }
    feature |= {"raises": "{value}", "lowers": "{value}"} | meta
    columns = [
        {"name": "tickets_last_90d", "config": {"meta": {k: v for k, v in feature.items() if v is not None}}},
        {"name": "renewal_date", "config": {"meta": {"format": "date"}}},
        {"name": "customer_id"},
    ]
    path = tmp_path / "mart.yml"
    path.write_text(json.dumps({"models": [{"name": "mart", "columns": columns}]}), encoding="utf-8")
    return read_catalogue(path)


@pytest.mark.parametrize("mart", MARTS)
def test_every_feature_has_a_theme_and_travels_whole(mart: str) -> None:
    catalogue = shipped(mart)
    assert {feature.theme for feature in catalogue} <= THEMES.keys()
    assert Catalogue.from_json(catalogue.to_json()) == catalogue


def test_every_feature_that_can_be_a_reason_says_something_when_it_is_known_and_when_it_is_not() -> None:
    for feature in shipped(target_of("risk").mart):
        if feature.theme in NEVER_A_REASON:
            assert not feature.says, feature.name
        elif feature.like is None:
            assert feature.says, feature.name
            assert {"any", "about", "yes"} & {case for case, text in feature.says.items() if text}, feature.name
            if feature.theme != "lifecycle":
                assert feature.says["unknown"], feature.name


def test_every_comparison_says_on_which_side_it_speaks_for_leaving() -> None:
    neutral = {"mrr", "tenure_days", "is_early_stage", "total_events", "retention_signal_count", "days_to_renewal"}
    for feature in shipped(target_of("risk").mart):
        if feature.theme in NEVER_A_REASON or feature.like or feature.dtype == "categorical":
            continue
        assert (feature.worse is None) == (feature.name in neutral), feature.name
        assert feature.direction in (None, "increasing" if feature.worse == "above" else "decreasing"), feature.name
        # A judging word is on that side, and on no other.
        if feature.worse:
            assert not (feature.says or {}).get("above" if feature.worse == "below" else "below"), feature.name


def test_what_is_added_to_another_sentence_has_a_noun_of_its_own() -> None:
    hanging = re.compile(
        r"^(none|no more)\b|\b(one|it|them|that of|the same)\b|^\{value:(apart|change)\}", re.IGNORECASE
    )
    for feature in shipped(target_of("risk").mart):
        for case, text in (feature.also or {}).items():
            assert not hanging.search(text or ""), (feature.name, case, text)


def test_a_lifetime_says_how_long_it_is() -> None:
    for feature in shipped(target_of("risk").mart):
        for text in (feature.says or {}).values():
            if text and re.search(r"\bevent\} since signup|\bwork\} since signup", text):
                assert "{tenure_days:age}" in text, feature.name


def test_industry_and_what_it_does_are_season_and_market() -> None:
    calendar = {feature.name for feature in shipped(target_of("risk").mart) if feature.theme == "calendar"}
    assert calendar == {"industry", "peer_usage_7d", "peer_usage_30d"}


@pytest.mark.parametrize("mart", MARTS)
def test_little_and_long_are_said_of_a_comparison_and_never_of_a_sign(mart: str) -> None:
    judging = re.compile(r"\b(only|few|little|rarely|long for|large|still)\b", re.IGNORECASE)
    for feature in shipped(mart):
        assert not judging.search(feature.raises + feature.lowers), feature.name
        for case, text in (*(feature.says or {}).items(), *(feature.also or {}).items()):
            assert case in ("below", "above") or not judging.search(text or ""), (feature.name, case)
            # The word and what it compares with stand in one sentence.
            assert not judging.search(text or "") or "{peers}" in (text or ""), (feature.name, case)


@pytest.mark.parametrize("mart", MARTS)
def test_a_sentence_of_a_driver_says_its_direction(mart: str) -> None:
    for feature in shipped(mart):
        assert feature.raises != feature.lowers, feature.name


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"theme": None}, "meta lacks theme"),
        ({"theme": "weather"}, "theme 'weather' is none of adoption, usage"),
        ({"says": "a sentence"}, "says is no table of sentences by case"),
        ({"says": {"yes": "Yes"}}, "says has 'yes', and may have below, about, above, any, unknown"),
        ({"says": {"any": "{value"}}, "says.any is no template"),
        ({"says": {"any": "{value}[, none"}}, "says.any is no template: a square bracket without its other half"),
        ({"says": {"any": "{value}[, none]"}}, r"\[, none\] holds no value that could be unknown"),
        ({"also": {"any": "{customer_id}"}}, r"also.any names \{customer_id\}, which has no value there"),
        ({"says": {"unknown": "{value}"}}, r"says.unknown names \{value\}, which has no value there"),
        ({"says": {"any": "{renewal_date:ticket}"}}, "says.any: date cannot be written as 'ticket'"),
        ({"like": "renewal_date"}, "like 'renewal_date' is no feature with sentences"),
    ],
)
def test_an_entry_that_could_leave_a_customer_without_a_reason_is_refused(
    tmp_path: Path, meta: dict[str, object], words: str
) -> None:
    assert len(of_yaml(tmp_path, says={"any": "{value:ticket/week}, {peers}[, renews on {renewal_date}]"})) == 1
    with pytest.raises(InputError, match=words):
        of_yaml(tmp_path, **meta)


def test_a_rate_needs_a_column_that_says_over_how_many_days_it_counts(tmp_path: Path) -> None:
    path = tmp_path / "mart.yml"
    of_yaml(tmp_path, says={"any": "{value:ticket/week}"})
    path.write_text(path.read_text().replace("tickets_last_90d", "total_tickets"))
    with pytest.raises(InputError, match="total_tickets does not say over how many days it counts"):
        read_catalogue(path)


def test_a_column_that_is_no_feature_may_have_a_format_and_nothing_else(tmp_path: Path) -> None:
    of_yaml(tmp_path)
    path = tmp_path / "mart.yml"
    path.write_text(path.read_text().replace('{"format": "date"}', '{"format": "date", "label": "Renewal"}'))
    with pytest.raises(InputError, match="column renewal_date: unknown key 'label'"):
        read_catalogue(path)


def test_a_catalogue_from_before_there_were_themes_loads_says_what_it_said_and_is_written_as_it_was() -> None:
    old = Catalogue.from_json(OLD)
    assert old.to_json() == OLD
    assert old["avg_adoption_score"].theme is None
    assert old["avg_adoption_score"].sentence(0.31, 0.5) == "Feature adoption of 0.31 over the last 30 days"
    assert old["gone"].sentence(3, 0.5) == "Only 3"
    assert old["gone"].sentence(None, -0.5) == "Gone: unknown, which lowers the probability"


def test_a_feature_without_a_theme_has_that_of_todays_catalogue_and_one_that_nobody_knows_has_none() -> None:
    themed = Catalogue.from_json(OLD).with_themes(shipped(target_of("risk").mart))
    assert themed.names == ["avg_adoption_score", "gone"]
    assert themed["avg_adoption_score"].theme == "adoption"
    assert themed["avg_adoption_score"].text(0.31) == "31 %"
    assert themed["gone"].theme is None
    assert "renewal_date" in themed.tellable


def test_a_version_with_themes_keeps_its_own(tmp_path: Path) -> None:
    stored = of_yaml(tmp_path, theme="contract", says={"any": "{value} then"})
    now = Catalogue("mart", (Feature("tickets_last_90d", "numeric", "L", "count", "r", "l", theme="support"),))
    assert stored.with_themes(now)["tickets_last_90d"] == stored["tickets_last_90d"]


def test_sentences_may_go_on_naming_a_feature_that_a_model_does_without() -> None:
    catalogue = shipped(target_of("risk").mart)
    trained = catalogue.without({"mrr"})
    assert "mrr" not in trained
    assert "mrr" in {slot.name for slot in parse(trained["plan_tier"].says["any"]).slots}  # type: ignore[index]
    assert Catalogue.from_json(trained.to_json()).tellable["mrr"].format == "usd"
