"""Great Expectations: judging a frame. The only module that imports it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from churn_pipeline.quality.results import SAMPLE, Judgement, Verdict, short, unexpected
from churn_pipeline.quality.suites import WHERE, OfCandidates

if TYPE_CHECKING:
    import pandas as pd


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


def expectation(expected: OfCandidates) -> Any:
    """The expectation as an object of Great Expectations."""
    load()
    import great_expectations.expectations as classes
    from great_expectations.expectations.row_conditions import Column

    arguments = dict(expected.arguments)
    if where := arguments.pop(WHERE, None):
        arguments["row_condition"] = Column(where[0]) == where[1]
    return getattr(classes, expected.type)(**arguments, description=expected.sentence, meta={"name": expected.name})


def judge(
    of: str, expectations: Sequence[OfCandidates], frame: pd.DataFrame, *, run: str, keys: list[str]
) -> Judgement:
    """Judges a frame.

    Args:
        of: what the frame holds, in words.
        expectations: what is expected of it.
        frame: what is judged; it may hold no personal data, because failing values are shown.
        run: which Monday, in words.
        keys: columns of the frame by which failing rows are named.

    Raises:
        RuntimeError: an expectation could not be evaluated, which is a defect and no verdict.
    """
    gx = load()
    context = ephemeral_context()
    made = context.suites.add(gx.ExpectationSuite(name=of))
    made.expectations = [expectation(expected) for expected in expectations]
    made.save()
    asset = context.data_sources.add_pandas("warehouse").add_dataframe_asset(run)
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name=of, data=asset.add_batch_definition_whole_dataframe("rows"), suite=made)
    )
    result = definition.run(
        batch_parameters={"dataframe": frame},
        result_format={
            "result_format": "SUMMARY",
            "unexpected_index_column_names": keys,
            "partial_unexpected_count": SAMPLE,
        },
        # Without a time of its own a run named by a date would get that date for one.
        run_id=gx.RunIdentifier(run_name=run, run_time=datetime.now(UTC)),
    )
    # Results come in an order of Great Expectations' own.
    by_name = {validation.expectation_config.meta["name"]: validation for validation in result.results}
    return Judgement(of, run, tuple(_verdict(expected, by_name[expected.name]) for expected in expectations))


def _verdict(expected: OfCandidates, result: Any) -> Verdict:
    info = result.exception_info or {}
    for entry in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if entry.get("raised_exception"):
            raise RuntimeError(f"'{expected.name}' could not be evaluated: {entry.get('exception_message')}")
    if result.success:
        return Verdict(expected, True)
    details = result.to_json_dict()["result"]
    rows = tuple(
        {name: _plain(value) for name, value in row.items()}
        for row in (details.get("partial_unexpected_index_list") or ())[:SAMPLE]
    )
    if "unexpected_count" in details:
        values = details.get("partial_unexpected_list", [])
        observed = unexpected(details["unexpected_count"], details.get("element_count", 0), values)
    else:
        observed = f"Found {short(details.get('observed_value'))}."
    return Verdict(expected, False, observed, rows, int(details.get("unexpected_count", 0)))


def _plain(value: Any) -> Any:
    """A value of numpy's as one of Python's."""
    return value.item() if hasattr(value, "item") else value
