"""How often drift monitoring alarms without reason, and whether it catches what `churn simulate --shock` does.

    python benchmarks/drift.py --work DIR [--customers 4000] [--seeds 1 2 3 4 5]

For every seed a company is simulated (130 weeks, growth, Christmas, August), landed and built into marts by the
pipeline's own job, and for every training Monday of the last 52 Mondays the three models are trained as the pipeline
does. Each of the 52 Mondays is then judged with the models that were in use. For every seed and kind of shock the
company is simulated once more with the shock, and the Mondays from the first that is 7 days after its beginning are
judged; models and references stay those of the undisturbed company. The shocks begin at other times of year for every
seed and kind (`BEGINS`). `--work` keeps what was built, about 100 MB a company; a second run only judges.

Measured, each company 4,000 signed up, 1,300 to 1,900 of them active, 52 Mondays up to 2026-11-16:

| undisturbed companies | Mondays | none | watch | act | highest score (act from 0.10) | prediction, in limits |
|---|---|---|---|---|---|---|
| seeds 1 to 5, 130 weeks, on which the constants were chosen | 260 | 253 | 7 | 0 | 0.055 | 0.71 |
| seed 6, 130 weeks, and seed 11, 104 weeks, untouched before | 104 | 104 | 0 | 0 | 0.000 | 0.60 |

| shock, seeds 1 to 5 | act on the 1st Monday | its score there | act on the first 6 | the same, last week unknown |
|---|---|---|---|---|
| usage | 5 of 5 | 0.33 to 0.44 | 25 of 25 | 25 of 25 |
| tier | 5 of 5 | 1.61 to 2.77 | 21 of 29 | 16 of 29 |
| feed | 5 of 5 | 1.34 to 1.58 | 27 of 27 | 27 of 27 |
| score | 5 of 5 | 1.27 to 1.88 | 26 of 26 | 26 of 26 |

Seed 11 (104 weeks): 4 of 4 on the 1st Monday, the lowest score 0.22 (usage). A tier shock is over in a week as far as
last week can tell, and the growing book moves the mix of plans nearly as far from the training weeks by itself.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import get_args

import pandas as pd

from churn_pipeline.core import calendar
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features.splits import Span
from churn_pipeline.modeling import lifecycle
from churn_pipeline.modeling.fit import fit
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.reference import (
    FeatureWeek,
    Reference,
    build_reference,
    contribution_shares,
    training_mondays,
)
from churn_pipeline.modeling.reference_week import EXPLAINED, EXPLAINED_EVERY
from churn_pipeline.monitoring.drift import DriftReport, Level, assess, worst
from churn_pipeline.simulate import SHOCK_KINDS, Simulation, parse_shock, simulate, write

CADENCE = 4
JUDGED = 52
# Mondays after its beginning on which a shock is looked at.
AFTER = 6
# Weeks before the end at which each seed's shock begins, by kind; seed 1 takes the first.
BEGINS = {
    "usage": (1, 8, 17, 29, 41),
    "tier": (13, 25, 37, 5, 21),
    "feed": (33, 3, 10, 44, 19),
    "score": (23, 39, 2, 15, 30),
}
# A shock leaves everything before it as it was, to the bit, except opportunities after a tier shock: their draws depend
# on the plan at the time.
_SAME = ["customer_id", "plan_tier", "mrr", "events_last_7d", "avg_adoption_score"]


@dataclass(frozen=True)
class Plan:
    """What is simulated."""

    work: Path
    customers: int
    weeks: int
    until: date

    def folder(self, seed: int, shock: str | None) -> Path:
        return self.work / f"s{seed}_{self.customers}_{shock.replace('@', '-') if shock else 'calm'}"


def build_company(plan: Plan, seed: int, shock: str | None) -> Path:
    """Simulates a company and leaves its marts as churn.parquet and expansion.parquet, unless they are there."""
    folder = plan.folder(seed, shock)
    if (folder / "expansion.parquet").exists():
        return folder
    import dagster as dg

    from churn_pipeline.core.warehouse import connect
    from churn_pipeline.orchestration.definitions import TRAINING_JOB, build_defs
    from churn_pipeline.orchestration.execute import prepare_home

    shutil.rmtree(folder, ignore_errors=True)
    shocks = (parse_shock(shock),) if shock else ()
    company = simulate(
        Simulation(customers=plan.customers, weeks=plan.weeks, until=plan.until, seed=seed, shocks=shocks)
    )
    write(company, folder)
    settings = _settings(folder)
    prepare_home(settings)
    job = build_defs(settings).resolve_job_def(TRAINING_JOB)
    keys = [key for key in job.asset_layer.executable_asset_keys if key.path[0] != "models"]
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        job.execute_in_process(instance=instance, partition_key=str(plan.until), asset_selection=keys)
    with connect(settings) as con:
        for name in ("churn", "expansion"):
            con.execute(
                f"copy (from marts.mart_customer_{name}_features order by snapshot_date, customer_id) "
                f"to '{folder / name}.parquet'"
            )
    shutil.rmtree(folder / "raw")
    if shock:
        shutil.rmtree(folder / "home")
    return folder


def train_models(plan: Plan, seed: int) -> None:
    """Trains every model that was in use on one of the judged Mondays, unless it is there."""
    from churn_pipeline.core.warehouse import connect

    folder = plan.folder(seed, None)
    settings = _settings(folder)
    for monday in sorted({calendar.training_monday(day, CADENCE) for day in judged(plan)}):
        for target in TARGETS.values():
            where = folder / "models" / f"{target.name}_{monday}"
            if (where / "facts.json").exists():
                continue
            with connect(settings) as con:
                made = lifecycle.material(con, settings, target, monday)
            result = fit(target, made.frame, monday, made.catalogue, settings, made.histories)
            result.model.save(where)
            learned = result.slices["refit_train"]
            facts = {"train": [str(learned.first), str(learned.last)]}
            (where / "facts.json").write_text(json.dumps(facts | {"importance": dict(result.importance)}))


class Book:
    """The marts of one company by Monday, as the models of another (its undisturbed twin) see them."""

    def __init__(self, plan: Plan, seed: int, shock: str | None) -> None:
        self._models = plan.folder(seed, None) / "models"
        self._frames = {
            target.name: _by_monday(plan.folder(seed, None), target.mart.split("_")[2]) for target in TARGETS.values()
        }
        if shock:
            begin = plan.until - int(shock.partition("@")[2]) * calendar.WEEK
            for name, target in TARGETS.items():
                shocked = _by_monday(plan.folder(seed, shock), target.mart.split("_")[2])
                for day, frame in shocked.items():
                    if day >= begin:
                        self._frames[name] = {**self._frames[name], day: frame}
                    elif not frame[_SAME].equals(self._frames[name][day][_SAME]):
                        raise AssertionError(f"{plan.folder(seed, shock)} differs on {day}, before the shock")

    def first(self, target: str) -> date:
        return min(self._frames[target])

    @cache  # noqa: B019 - a book lives as long as one company is judged
    def model(self, target: str, monday: date) -> tuple[ScoringModel, Mapping]:
        where = self._models / f"{target}_{monday}"
        return ScoringModel.load(where), json.loads((where / "facts.json").read_text())

    def week(self, target: str, training_monday: date, day: date, *, explain: bool = True) -> FeatureWeek:
        frame = self._frames[target][day]
        model, _ = self.model(target, training_monday)
        shares = None
        if explain:
            some = frame.iloc[:: max(1, len(frame) // EXPLAINED)]
            shares = contribution_shares(model.catalogue.names, model.contributions(some)[0])
        return FeatureWeek(day, frame, model.probability(frame), shares)

    def reference(self, target: str, training_monday: date) -> Reference:
        path = self._models / f"{target}_{training_monday}" / "reference.json"
        if not path.exists():
            model, facts = self.model(target, training_monday)
            spans = [Span(*map(date.fromisoformat, facts[name])) for name in ("train",)]
            weeks = training_mondays(*spans, first=self.first(target))
            built = build_reference(
                target,
                training_monday,
                model.catalogue,
                (
                    self.week(target, training_monday, day, explain=number % EXPLAINED_EVERY == 0)
                    for number, day in enumerate(weeks)
                ),
                facts["importance"],
            )
            path.write_text(built.to_json())
        return Reference.from_json(path.read_text())

    def judge(self, day: date, *, with_last_week: bool = True) -> dict[str, DriftReport]:
        trained = calendar.training_monday(day, CADENCE)
        return {
            target: assess(
                self.reference(target, trained),
                self.week(target, trained, day),
                self.week(target, trained, day - calendar.WEEK, explain=False) if with_last_week else None,
            )
            for target in TARGETS
        }


def judged(plan: Plan) -> list[date]:
    """The Mondays to judge, oldest first."""
    return [plan.until - number * calendar.WEEK for number in reversed(range(JUDGED))]


def calm(plan: Plan, seeds: list[int]) -> Iterator[str]:
    """The table of undisturbed Mondays."""
    yield "| seed | Mondays | none | watch | act | highest score | prediction, in limits | acted on |"
    yield "|---|---|---|---|---|---|---|---|"
    total, acts, seconds, assessed = 0, 0, 0.0, 0
    for seed in seeds:
        book = Book(plan, seed, None)
        levels, scores, ratios, acted, why = [], [], [], [], []
        for day in judged(plan):
            for target in TARGETS:
                book.reference(target, calendar.training_monday(day, CADENCE))
            began = time.perf_counter()
            reports = book.judge(day)
            seconds, assessed = seconds + time.perf_counter() - began, assessed + 1
            levels.append(worst([report.verdict for report in reports.values()]))
            scores.append(max(report.score for report in reports.values()))
            ratios.append(max(report.prediction.ratio for report in reports.values()))
            if levels[-1] == "act":
                acted.append(str(day))
                why += [
                    f"    {day} {name}: {r.score:.3f} {r.reasons}" for name, r in reports.items() if r.verdict == "act"
                ]
        total, acts = total + len(levels), acts + levels.count("act")
        counts = " | ".join(str(levels.count(level)) for level in get_args(Level))
        dates = ", ".join(acted) or "-"
        yield f"| {seed} | {len(levels)} | {counts} | {max(scores):.3f} | {max(ratios):.2f} | {dates} |"
        yield from why
    yield f"act on {acts} of {total} undisturbed Mondays ({acts / total:.2%}); {seconds / assessed:.2f} s a Monday"


def shocks(plan: Plan, seeds: list[int]) -> Iterator[str]:
    """The table of shocks."""
    yield "| shock | seed | begins | score, 1st Monday | prediction, in limits | from the 1st on | without last week |"
    yield "|---|---|---|---|---|---|---|"
    caught, there = 0, 0
    for kind in SHOCK_KINDS:
        for seed in seeds:
            weeks = BEGINS[kind][(seed - 1) % len(BEGINS[kind])]
            begin = plan.until - weeks * calendar.WEEK
            build_company(plan, seed, f"{kind}@{weeks}")
            book = Book(plan, seed, f"{kind}@{weeks}")
            days = [
                begin + timedelta(days=7 * n)
                for n in range(1, AFTER + 1)
                if begin + timedelta(days=7 * n) <= plan.until
            ]
            reports_by_day = [book.judge(day) for day in days]
            blind = [worst([r.verdict for r in book.judge(day, with_last_week=False).values()]) for day in days]
            verdicts = [worst([report.verdict for report in reports.values()]) for reports in reports_by_day]
            score = max(report.score for report in reports_by_day[0].values())
            ratio = max(report.prediction.ratio for report in reports_by_day[0].values())
            caught, there = caught + (verdicts[0] == "act"), there + 1
            cells = (kind, seed, begin, f"{score:.2f}", f"{ratio:.2f}", " ".join(verdicts), " ".join(blind))
            yield f"| {' | '.join(map(str, cells))} |"
    yield f"act on the first Monday after {caught} of {there} shocks"


def _by_monday(folder: Path, name: str) -> dict[date, pd.DataFrame]:
    frame = pd.read_parquet(folder / f"{name}.parquet")
    days = pd.to_datetime(frame["snapshot_date"]).dt.date
    return {day: frame[days == day].reset_index(drop=True) for day in days.unique()}


def _settings(folder: Path) -> Settings:
    return Settings(
        home=folder / "home",
        raw=folder / "raw",
        now=datetime.now(UTC),
        threads=1,
        bootstrap_replicates=50,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for companies and models; kept")
    parser.add_argument("--customers", type=int, default=4_000, help="that ever signed up; about 1,500 are active")
    parser.add_argument("--weeks", type=int, default=130)
    parser.add_argument("--until", type=date.fromisoformat, default=date(2026, 11, 16))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--only", choices=("calm", "shocks"))
    options = parser.parse_args()
    plan = Plan(options.work.resolve(), options.customers, options.weeks, options.until)
    for seed in options.seeds:
        build_company(plan, seed, None)
        train_models(plan, seed)
    tables = [table for table in (calm, shocks) if options.only in (None, table.__name__)]
    for table in tables:
        for line in table(plan, options.seeds):
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
