from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from churn_pipeline.core.settings import REPOSITORY, Settings, render_docs


def test_the_settings_page_is_rendered_from_the_settings() -> None:
    page = (REPOSITORY / "docs/settings.md").read_text(encoding="utf-8")
    assert page == render_docs(), "run: python -m churn_pipeline.core.settings > docs/settings.md"


def test_the_settings_page_explains_every_setting_and_names_no_path_of_this_machine() -> None:
    page = render_docs()
    assert str(REPOSITORY) not in page
    for name, field in Settings.model_fields.items():
        assert field.description
        assert f"`CHURN_{name.upper()}`" in page


def test_a_variable_that_is_not_read_any_more_is_refused_and_says_where_it_went(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHURN_CALL_CAPACITY", "50")
    with pytest.raises(
        ValueError, match="CHURN_CALL_CAPACITY is not read any more: .*call_capacity in dbt_project/seeds"
    ):
        Settings(home=tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("publish_url", "postgresql://churn:change-me@postgres:5432/predictions"),
        ("slack_token", "xoxb-change-me"),
        ("slack_webhook", "https://hooks.slack.com/services/Change_Me"),
        ("ui_password", "changeme and more"),
        ("mlflow_tracking_uri", "https://churn:change-me@mlflow.example.com"),
        ("api_tokens", "dashboard:change-me-change-me-change-me"),
    ],
)
def test_a_secret_of_the_example_is_refused_by_its_name_and_without_its_value(
    name: str, value: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(home=tmp_path, **{name: value})
    (problem,) = refused.value.errors()
    assert problem["loc"] == (name,)
    assert "still change-me, which everybody knows; 'make env' writes a new secret" in problem["msg"]
    assert value not in str(refused.value)


def test_every_setting_that_is_a_secret_is_held_against_the_example(tmp_path: Path) -> None:
    secrets = {name for name, field in Settings.model_fields.items() if field.annotation == (SecretStr | None)}
    assert secrets >= {"publish_url", "slack_token", "slack_webhook", "ui_password"}
    for name in secrets:
        with pytest.raises(ValidationError, match="still change-me"):
            Settings(home=tmp_path, **{name: "change-me"})


def test_a_folder_may_be_called_what_it_likes(tmp_path: Path) -> None:
    assert Settings(home=tmp_path / "change-me").home.name == "change-me"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("sixteen-characters", "number 1 is no NAME:TOKEN"),
        ("ada:sixteen-characters,", "number 2 is no NAME:TOKEN"),
        ("ada:sixteen characters", "number 1 is no NAME:TOKEN"),
        ("ada lovelace:sixteen-characters", "number 1 is no NAME:TOKEN"),
        ("ada:fifteen-charact", "the token of 'ada' is shorter than 16 characters"),
        ("ada:sixteen-characters, ada:other-sixteen-characters", "number 2, 'ada', is given twice"),
        ("ada:sixteen-characters,bo:sixteen-characters", "number 2, 'bo', is given twice"),
    ],
)
def test_tokens_of_the_api_are_named_long_and_each_of_one_holder_and_no_message_shows_one(
    value: str, why: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(home=tmp_path, api_tokens=value)
    assert why in str(refused.value)
    assert "characters" not in str(refused.value).replace("16 characters", "") and "charact-" not in str(refused.value)


def test_tokens_of_the_api_are_read_by_name(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, api_tokens=" ada:sixteen.~+/-chars== ,bo:other-sixteen_chars ")
    assert settings.tokens_of_api == {"ada": "sixteen.~+/-chars==", "bo": "other-sixteen_chars"}
    assert "sixteen" not in repr(settings)
    assert Settings(home=tmp_path, api_tokens=" ").tokens_of_api == {}
