"""What scoring one Monday costs, with the reasons that people read and without them.

    python -m benchmarks.scoring --home HOME [--customers 100000]

HOME has published Mondays and is left as it is. The newest Monday's rows are repeated under other identifiers until there are so many customers;
those of the Monday before likewise. Times are wall clock and of the processor, which a busy machine lengthens less; memory is the most that the
process ever held, and the digest is of
everything that was scored: a change that only makes it faster prints the same.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sys
import time
from pathlib import Path
from unittest import mock

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, target_of
from churn_pipeline.features.catalogue import read_catalogue
from churn_pipeline.features.frames import scoring_frame
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.scoring import score


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--customers", type=int, default=100_000)
    arguments = parser.parse_args()

    settings = Settings(home=arguments.home)
    with duckdb.connect(str(settings.published_database), read_only=True) as published:
        ((day,),) = published.execute("select max(snapshot_date) from predictions").fetchall()
    models = {}
    for target in TARGETS:
        versions = sorted((settings.data / "models" / target).glob("*"), key=lambda folder: int(folder.name))
        if versions:
            models[target] = ScoringModel.load(versions[-1], threads=2)
    with duckdb.connect(str(settings.warehouse), read_only=True) as warehouse:
        frames = {
            target: grown(scoring_frame(warehouse, TARGETS[target], day), arguments.customers) for target in models
        }
        before = grown(scoring_frame(warehouse, target_of("risk"), day - WEEK), arguments.customers)
    catalogue = read_catalogue(settings.dbt_project / "models" / "marts" / f"{target_of('risk').mart}.yml")

    def measured(what: str) -> None:
        began, worked = time.perf_counter(), time.process_time()
        scored = score.score_monday(day, models, frames, before, catalogue)
        seconds, processor = time.perf_counter() - began, time.process_time() - worked
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{what}: {seconds:.1f} s, {processor:.1f} s of processor, at most {memory:.2f} GB, digest {digest(scored.scores)}",
            flush=True,
        )

    rows = len(frames[target_of("risk").name])
    print(f"{rows:,} customers on {day}, models {', '.join(models)}")
    with (
        mock.patch.object(score, "reasons", lambda _, frame, __: [[] for _ in range(len(frame))]),
        mock.patch.object(score, "change_parts", lambda *_: {}),
        mock.patch.object(score, "change_column", lambda _, known: pa.nulls(len(known), score.CHANGE_TYPE)),
    ):
        measured("without reasons and what changed by theme")
    measured("with them")
    return 0


def grown(frame: pd.DataFrame, customers: int) -> pd.DataFrame:
    """The rows repeated under other identifiers until there are so many, in the order of their identifiers."""
    if frame.empty:
        return frame
    repeats = -(-customers // len(frame))
    larger = pd.concat([frame] * repeats, ignore_index=True)
    larger["customer_id"] = np.repeat([f"{number:05d}-" for number in range(repeats)], len(frame)) + larger[
        "customer_id"
    ].astype(str)
    return larger.head(customers)


def digest(table: pa.Table) -> str:
    """Sixteen characters that say whether two tables have the same content."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
