from pathlib import Path

import pytest

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
