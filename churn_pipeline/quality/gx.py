"""Great Expectations: judging a frame by a suite. The only module that imports it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from churn_pipeline.quality.suites import BREAKING, WHERE, Expected, Suite

if TYPE_CHECKING:
    import pandas as pd

# Unexpected values that a result keeps: enough to see a pattern, few enough to read.
SAMPLE = 10


@dataclass(frozen=True)
class ExpectationResult:
    """What became of one expectation.

    Attributes:
        observed: what was found instead, in words; empty where it was met.
        rows: a sample of failing rows as the frame has them, at most ``SAMPLE``; of a condensed frame all of them.
        count: how many of them there are.
    """

    expected: Expected
    passed: bool
    observed: str
    rows: tuple[Mapping[str, Any], ...] = ()
    count: int = 0


@dataclass(frozen=True)
class FailingRows:
    """A sample of rows that do not meet an expectation: keys and the columns concerned, no personal data.

    Attributes:
        rule: what they do not meet, in words.
        total: how many there are; ``rows`` has at most ``SAMPLE``.
    """

    rule: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    total: int


@dataclass(frozen=True)
class SuiteResult:
    """A suite's verdicts.

    Attributes:
        run: which landing or Monday was judged, in words.
        document: Great Expectations' own result as JSON values, which the Data Docs are made of.
    """

    suite: Suite
    run: str
    verdicts: tuple[ExpectationResult, ...]
    document: dict[str, Any]

    @property
    def failed(self) -> list[ExpectationResult]:
        return [verdict for verdict in self.verdicts if not verdict.passed]


def load() -> Any:
    """Imports Great Expectations with its usage statistics switched off, which it decides when it is imported."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    return great_expectations


def ephemeral_context() -> Any:
    """A context that lives in memory: no project folder, no temporary site, no network, no progress bars."""
    gx = load()
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    return gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            # Its default makes a temporary folder for every context and leaves it behind.
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        ),
    )


def expectation(expected: Expected) -> Any:
    """The expectation as an object of Great Expectations."""
    load()
    import great_expectations.expectations as classes
    from great_expectations.expectations.row_conditions import Column

    arguments = dict(expected.arguments)
    if where := arguments.pop(WHERE, None):
        arguments["row_condition"] = Column(where[0]) == where[1]
    return getattr(classes, expected.type)(**arguments, description=expected.sentence, meta={"name": expected.name})


def judge(suite: Suite, frame: pd.DataFrame, *, run: str, keys: list[str]) -> SuiteResult:
    """Judges a frame.

    Args:
        suite: what is expected of it.
        frame: what is judged; it may hold no personal data, because failing values are shown.
        run: name of the landing or Monday, shown in the Data Docs.
        keys: columns of the frame by which failing rows are named.

    Raises:
        RuntimeError: an expectation could not be evaluated, which is a defect and no verdict.
    """
    gx = load()
    context = ephemeral_context()
    made = context.suites.add(gx.ExpectationSuite(name=suite.name))
    made.expectations = [expectation(expected) for expected in suite.expectations]
    made.save()
    asset = context.data_sources.add_pandas("warehouse").add_dataframe_asset(run)
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=suite.name, data=asset.add_batch_definition_whole_dataframe("rows"), suite=made)
    )
    result = definition.run(
        batch_parameters={"dataframe": frame},
        result_format={
            "result_format": "SUMMARY",
            "unexpected_index_column_names": keys,
            # A condensed frame has a row for each Monday of the run, and every one that fails is told of.
            "partial_unexpected_count": max(SAMPLE, len(frame)) if suite.condensed else SAMPLE,
        },
        # Without a time of its own a run named by a date would get that date for one.
        run_id=gx.RunIdentifier(run_name=run, run_time=datetime.now(UTC)),
    )
    # Results come in an order of Great Expectations' own.
    by_name = {validation.expectation_config.meta["name"]: validation for validation in result.results}
    verdicts = tuple(_verdict(expected, by_name[expected.name], suite.condensed) for expected in suite.expectations)
    return SuiteResult(suite, run, verdicts, result.to_json_dict())


def _verdict(expected: Expected, result: Any, condensed: bool) -> ExpectationResult:
    info = result.exception_info or {}
    for entry in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if entry.get("raised_exception"):
            raise RuntimeError(f"'{expected.name}' could not be evaluated: {entry.get('exception_message')}")
    if result.success:
        return ExpectationResult(expected, True, "")
    details = result.to_json_dict()["result"]
    rows = tuple(
        {name: _plain(value) for name, value in row.items()}
        for row in (details.get("partial_unexpected_index_list") or ())[: None if condensed else SAMPLE]
    )
    if condensed and rows:
        observed = in_words(rows[:3])
    elif "unexpected_count" in details:
        some = ", ".join(_short(value) for value in details.get("partial_unexpected_list", [])[:3])
        observed = f"{details['unexpected_count']:,} of {details.get('element_count', 0):,} rows do not: {some}."
    elif str(expected.arguments.get("column", "")).startswith(BREAKING):
        observed = f"{_short(details.get('observed_value'))} rows do not."
    else:
        observed = f"Found {_short(details.get('observed_value'))}."
    return ExpectationResult(expected, False, observed, rows, int(details.get("unexpected_count", 0)))


def in_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was found in rows of a condensed frame, as a sentence."""
    return "Found " + "; ".join(_row(row) for row in rows) + "."


def _row(row: Mapping[str, Any]) -> str:
    """A row of a condensed frame: a bare value, or what is compared, on which Monday."""
    given = {name: value for name, value in row.items() if value is not None}
    if len(given) == 1:
        return _short(next(iter(given.values())))
    return ", ".join(f"{name} {_short(value)}" for name, value in given.items())


def _plain(value: Any) -> Any:
    """A value of numpy's as one of Python's."""
    return value.item() if hasattr(value, "item") else value


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:.6g}"
    if isinstance(value, list):
        return "(" + ", ".join(_short(item) for item in value) + ")"
    return str(value)
