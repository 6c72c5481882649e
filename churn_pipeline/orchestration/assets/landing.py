"""Raw files to typed tables, once a run, whichever Mondays the run is for."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import dagster as dg

from churn_pipeline.contract import TABLES, Acceptance, currencies, land, suppression, value_ledger
from churn_pipeline.core import notices
from churn_pipeline.core.dbt_project import seed_file
from churn_pipeline.core.notices import Notice
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.home import Home, expected_errors, root_run, run_mondays
from churn_pipeline.orchestration.keys import landing_key, raw_key
from churn_pipeline.orchestration.partitions import note_first_monday

# Whoever starts a run, in the shell or in the UI, accepts by these tags of it that the book jumps: why, and who.
ACCEPT_TAG, ACCEPTED_BY_TAG = "churn/accept-change", "churn/accepted-by"


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            landing_key(name),
            deps=[raw_key(name)],
            **about("landing"),
            description=f"{table.meaning} Typed, deduplicated, without what quarantine holds.",
            kinds={"duckdb"},
        )
        for name, table in TABLES.items()
    ]
    + [
        dg.AssetSpec(
            landing_key(value_ledger.SOURCE),
            deps=[raw_key("customers")],
            **about("landing"),
            description="Changes of plan and price that a landing saw. It only grows.",
            kinds={"duckdb"},
        )
    ],
    name="landing",
)
def landing(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> Iterator[dg.MaterializeResult]:
    """Brings what is new in databases and object stores, then lands what is new in all raw tables, in one transaction."""
    from churn_pipeline.sources import sources_of
    from churn_pipeline.sources.fetch import fetch, landed_from

    settings = home.settings
    with expected_errors(), connect(settings) as con:
        sources, register = sources_of(settings), suppression.load(settings)
        fetched = fetch(
            sources,
            settings.fetched,
            os.environ,
            context.log.info,
            now=settings.clock(),
            register=register,
        )
        if sources.remote and settings.raw is None:
            # A home whose tables all lie elsewhere has no raw files.
            settings.raw_dir.mkdir(parents=True, exist_ok=True)
        report = land(
            con,
            settings.raw_dir,
            now=settings.clock(),
            timezone=settings.timezone,
            run_id=context.run.run_id,
            max_bad_share=settings.max_bad_share,
            max_bad_rows=settings.max_bad_rows,
            progress=context.log.info,
            register=register,
            max_book_change=settings.max_book_change,
            acceptance=acceptance(context.run.tags),
            sources=landed_from(sources, settings.fetched),
            life_gap_days=settings.life_gap_days,
            booking_delay_days=settings.booking_delay_days,
            rates=seed_file(settings.dbt_source, settings.policy, currencies.SEED),
        )
        note_first_monday(con, settings)
        remarks = [Notice("landing", "raw", notice) for notice in report.notices]
        notices.record(con, "landing", dict.fromkeys(run_mondays(context, settings), remarks), run_id=root_run(context))
    for notice in report.notices:
        context.log.warning(notice)
    for sentence in report.recognised:
        context.log.info(sentence)
    for name, table in report.to_dict()["tables"].items():
        yield dg.MaterializeResult(
            asset_key=landing_key(name),
            metadata={
                "dagster/row_count": table.pop("rows_total"),
                **{key: value for key, value in table.items() if value},
                **({"fetched": asdict(fetched.tables[name])} if name in fetched.tables else {}),
            },
        )
    yield dg.MaterializeResult(asset_key=landing_key(value_ledger.SOURCE))


def acceptance(tags: Mapping[str, str]) -> Acceptance | None:
    """Whose word a run carries that a book that jumps is right; None where it carries none.

    Raises:
        InputError: it gives no reason.
    """
    if ACCEPT_TAG not in tags:
        return None
    return Acceptance(tags[ACCEPT_TAG], tags.get(ACCEPTED_BY_TAG, "somebody in the Dagster UI"))
