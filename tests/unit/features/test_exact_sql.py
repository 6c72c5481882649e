"""The SQL of the marts is exact: what threads deliver in another order, and what another engine rounds otherwise, has the same bits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from churn_pipeline.core.settings import REPOSITORY

PROJECT = REPOSITORY / "dbt_project"
FILES = sorted(
    path
    for folder in ("models/staging", "models/intermediate", "models/marts", "macros/features")
    for path in (PROJECT / folder).glob("*.sql")
)
# Means and moments of doubles depend on the order of the rows, logarithms and roots on the machine, the rest on the order or on the engine.
INEXACT = re.compile(
    r"\b(?:avg|mean|favg|fsum|kahan_sum|stddev\w*|var_\w+|variance|corr|covar_\w+|regr_\w+|median|quantile\w*|mad|skewness|kurtosis\w*"
    r"|exp|ln|log\d*|pow|power|sqrt|cbrt|round|random|hash|first|last|any_value|arbitrary|list|string_agg)\s*\("
)


def inexact(sql: str) -> Iterator[str]:
    """Calls in SQL whose value is not the same bits wherever and in whatever order it is worked out."""
    code = re.sub(r"--[^\n]*", "", sql)
    yield from (match[0] for match in INEXACT.finditer(code))
    for match in re.finditer(r"\bsum\s*\(", code):
        argument = _up_to_its_end(code[match.end() :])
        # Whole numbers: columns, and products of them.
        if not re.fullmatch(r"[\w.*\s]+", argument) or re.search(r"\d\.|\bdouble\b|\bmrr\b", argument):
            yield f"sum({argument})"


def _up_to_its_end(code: str) -> str:
    depth = 1
    for place, character in enumerate(code):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if not depth:
            return code[:place]
    return code


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_marts_add_up_whole_numbers_only_and_call_nothing_that_rounds_or_depends_on_the_order(path: Path) -> None:
    assert list(inexact(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "sql",
    ["avg(x)", "sum(score / 2)", "sum(x::double)", "sum(0.5 * x)", "sum(plans.mrr)", "exp(-age)", "any_value (x)"],
)
def test_what_is_not_exact_is_found(sql: str) -> None:
    assert len(list(inexact(f"select {sql} -- avg(y)"))) == 1
