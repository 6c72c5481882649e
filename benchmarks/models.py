"""How good the models are on companies of several makes, on Mondays after their training, beside what could be known.

    python -m benchmarks.models --work DIR health:1 terms:1 /data/oulad@2015-07-20
    python -m benchmarks.models --work DIR --refusals 20 health:1 health:2 terms:1 terms:2

A company is `FAMILY:SEED` (of `churn simulate`), or a folder of raw tables and the Monday before which its data end, with `oracle.parquet`
beside the folder or none. It is landed and built into marts by the pipeline's own job; a copy of that home is then trained as of some
training Mondays, oldest first, by the pipeline's own `lifecycle.train`, each target in a process of its own. `--work` keeps companies and
marts; models are thrown away.

Every Monday from a training on is judged with that training's models until the next one, as far as its labels are known by the end of the
data. Nothing of it was known at the training. All customers are judged, those who were called too. *serves* is the model in force on each
Monday by the ledger; the kinds are trained on the same weeks, whichever was chosen. With an oracle:

- share of AUC: (AUC - 0.5) over the oracle's; share of AP: average precision over the oracle's; on the same rows;
- excess Brier: mean squared distance to the true probability, in units of 0.0001. It is what the Brier score is expected to be above the
  oracle's, without the luck of who left;
- true level: mean probability over the mean true one. Level is the mean over what was observed.

Slope, ECE and intervals are those of `modeling/evaluate.py`: 95 %, resampled by customer.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core import calendar
from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.formatting import markdown_table
from churn_pipeline.core.model_kinds import KINDS
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, Target
from churn_pipeline.core.warehouse import connect
from churn_pipeline.simulate import FAMILIES, Simulation, simulate, write

if TYPE_CHECKING:
    import duckdb

    from churn_pipeline.modeling.evaluate import Estimate
    from churn_pipeline.modeling.fit import TrainingResult
    from churn_pipeline.modeling.model import ScoringModel

SERVES = "serves"
FIGURES = (
    "auc", "average_precision", "auc_share", "ap_share", "excess_brier", "level", "true_level", "calibration_slope", "ece",
)  # fmt: skip
HEADS = ("AUC", "AP", "share of AUC", "share of AP", "excess Brier", "level", "true level", "slope", "ECE")
_SCALE = {"excess_brier": 1e4}
_DIGITS = {"excess_brier": 1, "level": 2, "true_level": 2, "calibration_slope": 2, "ece": 4}
KEYS = ["snapshot_date", "customer_id"]

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Company:
    """A company on disk.

    Attributes:
        name: in the tables, and of its folder.
        raw: the folder of its raw tables.
        until: the Monday before which its data end.
        oracle: the true probabilities; None where nobody knows them.
        folder: what is kept of it.
    """

    name: str
    raw: Path
    until: date
    oracle: Path | None
    folder: Path

    def settings(self, home: str) -> Settings:
        noon = datetime(self.until.year, self.until.month, self.until.day, 12, tzinfo=UTC)
        return Settings(home=self.folder / home, raw=self.raw, now=noon)


@dataclass(frozen=True)
class Training:
    """What one training came to.

    Attributes:
        company, target, monday: which one.
        verdict: promoted, refused (by the gate), or none (no model, or none needed).
        kind: of the model; None without one.
        reason: of the verdict.
        seconds: of `lifecycle.train`.
        megabytes: most memory that its process held until its end.
        scores: snapshot_date, customer_id, label and a probability by kind, of the Mondays that it is judged on; None where it is not.
    """

    company: str
    target: str
    monday: date
    verdict: str
    kind: str | None
    reason: str
    seconds: float
    megabytes: float
    scores: pd.DataFrame | None = None


def company_of(text: str, options: argparse.Namespace) -> Company:
    """Reads what was asked for, and simulates it unless it is there."""
    family, _, seed = text.partition(":")
    if family in FAMILIES and seed.isdigit():
        name = f"{family}-{seed}-{options.customers}x{options.weeks}"
        folder = options.work.resolve() / name
        if not (folder / "oracle.parquet").exists():
            simulation = Simulation(
                customers=options.customers, weeks=options.weeks, until=options.until, seed=int(seed), family=family
            )
            write(simulate(simulation), folder)
        return Company(f"{family} {seed}", folder / "raw", options.until, folder / "oracle.parquet", folder)
    raw, at, until = text.rpartition("@")
    if not at:
        raise SystemExit(f"'{text}' is neither FAMILY:SEED, FAMILY one of {', '.join(FAMILIES)}, nor FOLDER@MONDAY")
    oracle = Path(raw).resolve().parent / "oracle.parquet"
    name = re.sub(r"\W+", "-", Path(raw).resolve().name)
    return Company(
        name, Path(raw).resolve(), calendar.parse_monday(until), oracle if oracle.exists() else None,
        options.work.resolve() / name,
    )  # fmt: skip


def build(company: Company) -> Settings:
    """Lands the company and builds all marts up to its last Monday, what is there already excepted; trains nothing."""
    import dagster as dg

    from churn_pipeline.orchestration.definitions import TRAINING_JOB, build_defs
    from churn_pipeline.orchestration.execute import prepare_home

    settings = company.settings("home")
    prepare_home(settings)
    job = build_defs(settings).resolve_job_def(TRAINING_JOB)
    keys = [key for key in job.asset_layer.executable_asset_keys if key.path[0] != "models"]
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        job.execute_in_process(
            instance=instance,
            partition_key=str(company.until),
            asset_selection=keys,
            # The one that says nothing.
            run_config={"loggers": {"progress": {}}},
        )
    return settings


def fresh_copy(company: Company) -> Settings:
    """A copy of the built home to train in: verdicts depend on what the ledger says of earlier trainings."""
    from churn_pipeline.orchestration.execute import prepare_home

    settings = company.settings("trained")
    shutil.rmtree(settings.home, ignore_errors=True)
    shutil.copytree(build(company).home, settings.home)
    prepare_home(settings)
    return settings


def newest_closed(settings: Settings, until: date) -> dict[str, date]:
    """The newest Monday whose labels are known by the end of the data, by target."""
    from churn_pipeline.features import frames

    with connect(settings) as con:
        return {target.name: frames.newest_due(con, target, until) for target in TARGETS.values()}


def train(
    settings: Settings, company: str, target: Target, monday: date, judged: tuple[date, date] | None, until: date
) -> Training:
    """One training, as the pipeline makes it; in this process.

    Args:
        settings: the home.
        company: its name.
        target: what is predicted.
        monday: the training Monday.
        judged: first and last Monday to be judged; None judges nothing.
        until: by when their labels are known.
    """
    from churn_pipeline.modeling import ledger, lifecycle

    with connect(settings) as con:
        ledger.create(con)
        began = time.perf_counter()
        try:
            trained = lifecycle.train(
                con, settings, target, monday, run_id="benchmark", who="benchmark", progress=lambda _: None
            )
        except RefusedError as refusal:
            lifecycle.note_refusal(con, settings, target, monday, str(refusal), run_id="benchmark", who="benchmark")
            seconds = time.perf_counter() - began
            return Training(company, target.name, monday, "none", None, str(refusal), seconds, peak_megabytes())
        seconds, megabytes = time.perf_counter() - began, peak_megabytes()
        scores = _scores(con, settings, target, trained.result, judged, until) if judged else None
    row = trained.row
    return Training(
        company, target.name, monday, "promoted" if row.promoted else "refused", trained.result.model.kind, row.reason, seconds,
        megabytes, scores,
    )  # fmt: skip


def _scores(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    target: Target,
    result: TrainingResult,
    judged: tuple[date, date],
    until: date,
) -> pd.DataFrame:
    from churn_pipeline.modeling import lifecycle

    frame = labelled(con, target, judged, until)
    models = lifecycle.kinds_of(con, settings, result)
    return frame[[*KEYS, "label"]].assign(**{kind: model.probability(frame) for kind, model in models.items()})


def labelled(con: duckdb.DuckDBPyConnection, target: Target, judged: tuple[date, date], until: date) -> pd.DataFrame:
    """Everybody on some Mondays, with features and label; those who were called too."""
    from churn_pipeline.features import frames
    from churn_pipeline.features.splits import Span

    span = Span(*judged)
    frame = frames.training_frame(con, frames.settled(con, target, until), until, whole=[span], first=span.first)
    return frame[span.rows(frame)].reset_index(drop=True)


def peak_megabytes() -> float:
    """Most memory that this process held. Not what getrusage says, which begins with that of the process before it."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) / 1024


def alone[T](work: Any) -> T:
    """What a function returns in a process of its own, so that its memory is its own too."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work).result()


def serving(
    settings: Settings, target: Target, judged: tuple[date, date], until: date
) -> tuple[pd.DataFrame, float | None]:
    """The probabilities of the model in force on each Monday, and the milliseconds to explain a customer by the newest one."""
    from churn_pipeline.modeling import ledger
    from churn_pipeline.modeling.store import ModelStore

    models, parts, milliseconds = ModelStore(settings), [], None
    with connect(settings) as con:
        frame = labelled(con, target, judged, until)
        for day, rows in frame.groupby("snapshot_date", sort=True):
            row = ledger.model_for(con, target.name, pd.Timestamp(day).date())
            if row is None:
                continue
            model: ScoringModel = models.load(row)
            parts.append(rows[[*KEYS, "label"]].assign(**{SERVES: model.probability(rows)}))
            began = time.perf_counter()
            model.explain(rows)
            milliseconds = 1e3 * (time.perf_counter() - began) / len(rows)
    scores = pd.concat(parts, ignore_index=True) if parts else frame[[*KEYS, "label"]].head(0).assign(**{SERVES: []})
    return scores, milliseconds


def with_truth(scores: pd.DataFrame, target: str, oracle: Path | None) -> pd.DataFrame:
    """The scores with the true probability as ``truth``. Whom the oracle does not know has left, though nobody knows it yet."""
    if oracle is None:
        return scores
    import duckdb

    with duckdb.connect() as con:
        con.register("scores", scores)
        return con.execute(
            f"""
            select scores.*, p_{target} as truth
            from scores
            inner join '{oracle}' as oracle
                on oracle.customer_id = scores.customer_id and oracle.snapshot_date = scores.snapshot_date::date
            order by scores.snapshot_date, scores.customer_id
            """
        ).df()


def figures(rows: pd.DataFrame, probability: str, replicates: int, seed: int = 1) -> dict[str, Estimate]:
    """All figures of one column of probabilities; those that need ``truth`` only where it is a column.

    Args:
        rows: snapshot_date, customer_id, label, and the column.
        probability: its name.
        replicates: resamples of customers.
        seed: of the resamples.
    """
    from churn_pipeline.modeling.evaluate import Resamples, estimate, evaluate

    label, week = rows["label"].to_numpy(dtype=np.float64), rows["snapshot_date"].to_numpy()
    p = rows[probability].to_numpy(dtype=np.float64)
    resamples = Resamples.draw(rows["customer_id"], replicates, seed)
    ours = evaluate(label, p, week, resamples, float(label.mean()))
    wanted = {name: ours.replicates[name] for name in FIGURES if name in ours.replicates}
    columns: dict[str, Floats] = {"rows": np.ones(len(rows)), "label": label, "probability": p}
    if "truth" in rows.columns:
        truth = rows["truth"].to_numpy(dtype=np.float64)
        # The oracle rounds to six digits, and 0 has no log-odds.
        best = evaluate(label, np.clip(truth, 1e-6, 1 - 1e-6), week, resamples, float(label.mean()))
        columns |= {"truth": truth, "distance": (p - truth) ** 2}
        wanted["auc_share"] = (ours.replicates["auc"] - 0.5) / (best.replicates["auc"] - 0.5)
        wanted["ap_share"] = ours.replicates["average_precision"] / best.replicates["average_precision"]
    total = resamples.sums(columns)
    if "truth" in total:
        wanted["excess_brier"] = total["distance"] / total["rows"]
        wanted["true_level"] = total["probability"] / total["truth"]
    wanted["level"] = total["probability"] / np.maximum(total["label"], 1e-9)
    return {name: estimate(values) for name, values in wanted.items()}


def raised_share(shorter: pd.DataFrame, longer: pd.DataFrame, probability: str) -> float | None:
    """Of the customers and Mondays in both, the share for whom the shorter horizon has the larger probability; None without any."""
    both = shorter.merge(longer, on=KEYS, suffixes=("_short", "_long")).dropna(
        subset=[f"{probability}_short", f"{probability}_long"]
    )
    return float((both[f"{probability}_short"] > both[f"{probability}_long"]).mean()) if len(both) else None


def training_mondays(options: argparse.Namespace, settings: Settings, until: date) -> list[date]:
    """The training Mondays to make, oldest first: of the judged Mondays that were named, else one every ``--judged`` weeks."""
    if options.judge:
        return sorted({calendar.training_monday(day, settings.training_cadence_weeks) for day in options.judge})
    newest = min(newest_closed(settings, until).values()) - (options.judged - 1) * calendar.WEEK
    return sorted(
        {
            calendar.training_monday(newest - turn * options.judged * calendar.WEEK, settings.training_cadence_weeks)
            for turn in range(options.trainings)
        }
    )


def measure(company: Company, options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[Training]]:
    """Trains and judges one company; rows of the table, and the trainings."""
    settings = fresh_copy(company)
    mondays = training_mondays(options, settings, company.until)
    closed = newest_closed(settings, company.until)
    ends = [*(day - calendar.WEEK for day in mondays[1:]), mondays[-1] + (options.judged - 1) * calendar.WEEK]
    trainings: list[Training] = []
    for monday, end in zip(mondays, ends, strict=True):
        for target in TARGETS.values():
            judged = (monday, min(end, closed[target.name]))
            trainings.append(
                alone(
                    partial(
                        train, settings, company.name, target, monday, judged if judged[0] <= judged[1] else None,
                        company.until,
                    )
                )
            )  # fmt: skip
            made = trainings[-1]
            say(
                f"{company.name} {made.target} {made.monday}: {made.verdict} {made.kind or ''} {made.seconds:.1f} s {made.reason[:200]}"
            )
    rows: list[dict[str, Any]] = []
    judged_rows: dict[str, pd.DataFrame] = {}
    for target in TARGETS.values():
        parts = [made.scores for made in trainings if made.target == target.name and made.scores is not None]
        served, milliseconds = serving(
            settings, target, (mondays[0], min(ends[-1], closed[target.name])), company.until
        )
        scores = served
        if parts:
            scores = pd.concat(parts, ignore_index=True).merge(served.drop(columns="label"), on=KEYS, how="left")
        if options.judge:
            scores = scores[pd.to_datetime(scores["snapshot_date"]).isin(pd.to_datetime(pd.Series(options.judge)))]
        scores = with_truth(scores, target.name, company.oracle)
        judged_rows[target.name] = scores
        for kind in [name for name in (*KINDS, SERVES) if name in scores.columns]:
            there = scores[scores[kind].notna()]
            row = {
                "company": company.name,
                "target": target.name,
                "kind": kind,
                "rows": len(there),
                "share_of_rows": len(there) / len(scores) if len(scores) else 0.0,
                "departures": int(there["label"].sum()),
                "explain_ms": milliseconds if kind == SERVES else None,
                "figures": _estimates(there, kind, options.replicates),
                "by_monday": {
                    str(pd.Timestamp(day).date()): _estimates(part, kind, options.replicates)
                    for day, part in there.groupby("snapshot_date")
                }
                if options.judge
                else {},
            }
            rows.append(row)
    for row in rows:
        shorter = [name for name, other in TARGETS.items() if other in _shorter(row["target"])]
        row["raised"] = (
            raised_share(judged_rows[shorter[-1]], judged_rows[row["target"]], row["kind"])
            if shorter and row["kind"] in judged_rows[shorter[-1]].columns
            else None
        )
    shutil.rmtree(settings.home)
    return rows, [Training(**{**vars(made), "scores": None}) for made in trainings]


def _shorter(target: str) -> Sequence[Target]:
    from churn_pipeline.core.targets import shorter_than

    return shorter_than(TARGETS[target])


def _estimates(rows: pd.DataFrame, kind: str, replicates: int) -> dict[str, dict[str, float]]:
    if rows["label"].nunique() < 2:
        return {}
    return {name: asdict(value) for name, value in figures(rows, kind, replicates).items()}


def _cell(name: str, estimates: dict[str, dict[str, float]]) -> str | None:
    if name not in estimates:
        return None
    scale, digits = _SCALE.get(name, 1.0), _DIGITS.get(name, 3)
    value, low, high = (scale * estimates[name][part] for part in ("value", "low", "high"))
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def tables(rows: Sequence[dict[str, Any]], trainings: Sequence[Training]) -> Iterator[str]:
    """The table of all figures in Markdown, that of single Mondays where some were named, and what the trainings cost."""
    yield markdown_table(
        ["company", "target", "kind", "rows", "events", *HEADS, "p30 > p90"],
        [
            (
                row["company"], row["target"], row["kind"],
                f"{row['rows']:,}" + (f" ({row['share_of_rows']:.0%})" if row["share_of_rows"] < 1 else ""),
                f"{row['departures']:,}",
                *(_cell(name, row["figures"]) for name in FIGURES),
                None if row["raised"] is None else f"{row['raised']:.2%}",
            )
            for row in rows
        ],
    )  # fmt: skip
    if days := [(row, day, estimates) for row in rows for day, estimates in row["by_monday"].items()]:
        yield markdown_table(
            ["company", "target", "kind", "Monday", *HEADS],
            [
                (row["company"], row["target"], row["kind"], day, *(_cell(name, estimates) for name in FIGURES))
                for row, day, estimates in days
            ],
        )
    explained = {(row["company"], row["target"]): row["explain_ms"] for row in rows if row["kind"] == SERVES}
    yield markdown_table(
        ["company", "target", "training Monday", "verdict", "kind", "seconds", "peak MB", "explaining, ms a customer"],
        [
            (
                made.company, made.target, made.monday, made.verdict, made.kind, f"{made.seconds:.1f}", f"{made.megabytes:,.0f}",
                None if (cost := explained.get((made.company, made.target))) is None else f"{cost:.3f}",
            )
            for made in trainings
        ],
    )  # fmt: skip


def refusals(company: Company, count: int) -> list[Training]:
    """Makes the newest training Mondays of a company, oldest first, as if it had lived through them."""
    settings = fresh_copy(company)
    newest = calendar.training_monday(company.until, settings.training_cadence_weeks)
    mondays = [newest - turn * settings.training_cadence_weeks * calendar.WEEK for turn in reversed(range(count))]
    made = alone(partial(_train_all, settings, company, mondays))
    shutil.rmtree(settings.home)
    return made


def _train_all(settings: Settings, company: Company, mondays: Sequence[date]) -> list[Training]:
    trainings = []
    for monday in mondays:
        for target in TARGETS.values():
            trainings.append(train(settings, company.name, target, monday, None, company.until))
            made = trainings[-1]
            say(f"{made.company} {made.target} {made.monday}: {made.verdict} {made.kind or ''} {made.seconds:.1f} s")
    return trainings


def refusal_tables(trainings: Sequence[Training]) -> Iterator[str]:
    """How many trainings were refused by company and target, and why."""
    groups: dict[tuple[str, str], list[Training]] = {}
    for made in trainings:
        groups.setdefault((made.company, made.target), []).append(made)
        groups.setdefault(("all", made.target), []).append(made)
    yield markdown_table(
        ["company", "target", "trainings", "promoted", "refused", "no model", "kinds", "seconds a training"],
        [
            (
                company, target, len(group), *(sum(made.verdict == verdict for made in group) for verdict in ("promoted", "refused", "none")),
                ", ".join(
                    f"{kind} {sum(made.kind == kind for made in group)}"
                    for kind in sorted({made.kind for made in group if made.kind is not None})
                ),
                f"{np.mean([made.seconds for made in group]):.1f}",
            )
            for (company, target), group in sorted(groups.items(), key=lambda item: (item[0][0] == "all", item[0]))
        ],
    )  # fmt: skip
    yield "\n".join(
        f"- {made.company} {made.target} {made.monday}: {made.reason}"
        for made in trainings
        if made.verdict == "refused"
    )


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("companies", nargs="+", metavar="COMPANY", help="FAMILY:SEED, or FOLDER@MONDAY")
    parser.add_argument("--work", type=Path, required=True, help="folder for companies and their marts; kept")
    parser.add_argument(
        "--customers", type=int, default=4_000, help="that ever signed up with a simulated company (4000)"
    )
    parser.add_argument("--weeks", type=int, default=104, help="of a simulated company (104)")
    parser.add_argument(
        "--until", type=calendar.parse_monday, default=date(2026, 11, 16), help="where simulated data end"
    )
    parser.add_argument("--trainings", type=int, default=3, help="training Mondays of each company (3)")
    parser.add_argument("--judged", type=int, default=13, help="Mondays judged after each training (13)")
    parser.add_argument(
        "--judge", type=calendar.parse_monday, nargs="+", default=[], metavar="MONDAY", help="judge these Mondays only"
    )
    parser.add_argument("--replicates", type=int, default=200, help="resamples behind every interval (200)")
    parser.add_argument(
        "--refusals", type=int, metavar="N", help="make the newest N training Mondays and count refusals"
    )
    parser.add_argument("--out", type=Path, help="write the tables (.md) and all figures (.json) under this name")
    options = parser.parse_args()
    companies = [company_of(text, options) for text in options.companies]
    rows: list[dict[str, Any]] = []
    trainings: list[Training] = []
    for company in companies:
        if options.refusals:
            trainings += refusals(company, options.refusals)
        else:
            more_rows, more_trainings = measure(company, options)
            rows, trainings = rows + more_rows, trainings + more_trainings
    text = "\n\n".join(refusal_tables(trainings) if options.refusals else tables(rows, trainings))
    say(f"\n{text}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
        measured = {"rows": rows, "trainings": [asdict(made) for made in trainings]}
        options.out.with_suffix(".json").write_text(json.dumps(measured, default=str, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
