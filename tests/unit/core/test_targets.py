"""A target is one declaration, and what cannot follow from it is refused, naming it."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from churn_pipeline.core import dbt_targets
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.core.targets import ROLES, TARGETS, Target, check_targets, in_reports, shorter_than, target_of

PROJECT = REPOSITORY / "dbt_project"
CHURN_90D = TARGETS["churn_90d"]
CHURN_180D = Target(
    name="churn_180d",
    event="churn",
    horizon_days=180,
    mart=CHURN_90D.mart,
    stagger_weeks=26,
    required=False,
    rule=CHURN_90D.rule,
    question="leaves within the next 180 days",
    title="Churn within 180 days",
)
# What is made of the declaration, what was published once and for all, and the simulator, which has columns of its own.
MAY_NAME_TARGETS = (
    "churn_pipeline/core/targets.py",
    # Speaks of tables as they were.
    "churn_pipeline/core/home_migrations.py",
    "churn_pipeline/delivery/postgres/",
    "churn_pipeline/simulate/",
    "dbt_project/macros/generated/",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the dbt project."""
    return Path(shutil.copytree(PROJECT, tmp_path / "dbt_project"))


def test_what_dbt_has_to_know_is_generated_from_the_declaration() -> None:
    dbt_targets.check(PROJECT)


def test_a_target_has_regular_columns_unless_it_declares_others() -> None:
    assert CHURN_180D.columns == ("churn_probability_180d", "churn_180d_model_version", "churn_180d_model_kind")
    assert target_of("expansion").columns == (
        "expansion_propensity",
        "expansion_model_version",
        "expansion_model_kind",
    )


def test_people_read_first_what_the_list_is_ranked_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "churn_180d", CHURN_180D)
    assert [target.name for target in in_reports()] == ["churn_90d", "churn_180d", "churn_30d", "expansion_90d"]
    assert [target.name for target in shorter_than(CHURN_180D)] == ["churn_30d", "churn_90d"]


def test_a_declaration_without_its_dbt_files_is_refused_and_one_command_writes_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS, "churn_180d", CHURN_180D)
    with pytest.raises(InputError, match=r"predictions\.yml.*core/targets\.py.*make generate"):
        dbt_targets.check(project)
    dbt_targets.write(project)
    dbt_targets.check(project)
    assert dbt_targets.write(project) == []
    columns = re.findall(r"- name: (\w+)", (project / dbt_targets.PREDICTIONS).read_text(encoding="utf-8"))
    published = re.findall(r"- name: (\w+)", (PROJECT / dbt_targets.PREDICTIONS).read_text(encoding="utf-8"))
    assert columns == [*published, *CHURN_180D.columns]


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (replace(CHURN_180D, horizon_days=0), "churn_180d' is 0 days"),
        (replace(CHURN_180D, stagger_weeks=0), "churn_180d' keeps one snapshot in 0 weeks"),
        (replace(CHURN_180D, probability_column="expansion_propensity"), "expansion_propensity belongs to both"),
        (replace(CHURN_180D, version_column="churn_30d_model_version"), "churn_30d_model_version belongs to both"),
        (replace(CHURN_180D, kind_column="churn_30d_model_kind"), "churn_30d_model_kind belongs to both"),
        (replace(CHURN_180D, horizon_days=90), "'churn_90d' and 'churn_180d' are one"),
        (replace(CHURN_180D, event="growth"), "about 'growth'"),
        (replace(CHURN_180D, name="churn_half_year"), "declared under another name, 'churn_180d'"),
        (
            replace(CHURN_180D, probability_column="p; drop table"),
            "'p; drop table' of the target 'churn_180d' is no name",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_target_that_cannot_be_followed_is_refused(
    target: Target, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_targets()
    monkeypatch.setitem(TARGETS, "churn_180d", target)
    with pytest.raises(InputError, match=re.escape(problem)):
        check_targets()


def test_a_column_that_predictions_has_anyway_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "churn_180d", replace(CHURN_180D, probability_column="risk_score"))
    with pytest.raises(InputError, match="risk_score of the target 'churn_180d'"):
        dbt_targets.check(project)


@pytest.mark.parametrize(
    ("role", "name", "problem"),
    [
        ("risk", "churn_180d", "'risk' names 'churn_180d', which is no target"),
        ("flag", "expansion_90d", "'flag' needs a target about churn"),
        ("expansion", "churn_90d", "'expansion' needs a target about expansion"),
    ],
)
def test_a_role_without_its_target_is_refused(
    role: str, name: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROLES, role, name)
    with pytest.raises(InputError, match=re.escape(problem)):
        check_targets()


def test_who_decides_about_everybody_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "churn_180d", CHURN_180D)
    monkeypatch.setitem(ROLES, "risk", "churn_180d")
    with pytest.raises(InputError, match="'churn_180d' has to be required"):
        check_targets()


def test_no_target_is_named_outside_its_declaration() -> None:
    names = {name for t in TARGETS.values() for name in (t.name, *t.columns)}
    named = re.compile(rf"\b({'|'.join(sorted(names))})\b")
    files = [
        *(REPOSITORY / "churn_pipeline").rglob("*.py"),
        *(REPOSITORY / "churn_pipeline").rglob("*.j2"),
        *PROJECT.rglob("*.sql"),
    ]
    assert len(files) > 150
    hits = {
        f"{path.relative_to(REPOSITORY)}: {match[0]}"
        for path in files
        if not path.relative_to(REPOSITORY).as_posix().startswith(MAY_NAME_TARGETS)
        for match in named.finditer(path.read_text(encoding="utf-8"))
    }
    assert hits == set()
