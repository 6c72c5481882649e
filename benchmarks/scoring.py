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
from churn_pipeline.scoring.themes import THEME_TYPE


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

    def measured(what: str) -> float:
        began, worked = time.perf_counter(), time.process_time()
        digest = hashlib.sha256()
        for batch in score.score_monday(day, models, frames, before, catalogue).batches():
            digest.update(content(batch))
        seconds, processor = time.perf_counter() - began, time.process_time() - worked
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{what}: {seconds:.1f} s, {processor:.1f} s of processor, at most {memory:.2f} GB, digest {digest.hexdigest()[:16]}",
            flush=True,
        )
        return processor

    rows = len(frames[target_of("risk").name])
    print(f"{rows:,} customers on {day}, models {', '.join(models)}")
    floor = bare(models, {**frames, "the Monday before": before})
    with (
        mock.patch.object(score, "reasons", lambda _, frame, *__: pa.array([[]] * len(frame), THEME_TYPE)),
        mock.patch.object(score, "change_parts", lambda *_: {}),
        mock.patch.object(score, "change_column", lambda _, known: pa.nulls(len(known), score.CHANGE_TYPE)),
    ):
        measured("without reasons and what changed by theme")
    print(f"{measured('with them') / floor:.2f} times the floor")
    return 0


def bare(models: dict[str, ScoringModel], frames: dict[str, pd.DataFrame]) -> float:
    """Seconds of processor of XGBoost alone, on matrices that are ready: predictions and contributions of every target, and contributions
    of the Monday before."""
    risk = target_of("risk").name
    total = 0.0
    for name, frame in frames.items():
        model = models[name if name in models else risk]
        if model.booster is None or frame.empty:
            continue
        matrix = model.encoder.dmatrix(model.encoder.matrix(frame), threads=model.threads)
        worked = time.process_time()
        if name in models:
            model.booster.predict(matrix, output_margin=True)
        model.booster.predict(matrix, pred_contribs=True)
        total += time.process_time() - worked
    print(f"floor, XGBoost alone: {total:.1f} s of processor", flush=True)
    return total


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


def content(table: pa.Table) -> bytes:
    """Equal for two tables with the same content."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()


if __name__ == "__main__":
    sys.exit(main())
