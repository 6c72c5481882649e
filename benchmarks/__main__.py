"""What the pipeline costs beside the least that the same work can cost, measured in one run on one machine.

    make bench                                  10,000 customers who ever signed up, 104 weeks: about 11 million events
    make bench BENCH='--customers 100000'       ten times as many
    make bench-million                          1,000,000 customers, 200 million events, history_weeks 60
    make bench BENCH='--only landing,scoring'   some parts
    make bench BENCH='--quick'                  whether all of this works, in two minutes

It simulates a company, runs its first Monday (which trains), and a week later the next Monday, which has nothing to train, as processes of the
`churn` command. Seconds of steps come from Dagster's own record of these runs. Beside them stands a floor: the same work done as plainly as possible,
in this run, on this machine. A ratio says how far the pipeline is from it, whatever the machine; seconds compare only on one machine that does
nothing else.

Parts are landing, marts, training, scoring, publication and orchestration. Companies are kept in --work by what made them, and are used again; homes
are thrown away.

Exit code 1: something failed, or --quick took more than four times the processor seconds that are written in benchmarks/__main__.py.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import duckdb

from churn_pipeline.core.formatting import markdown_table
from tests.support.truncation import truncate

WEEK = timedelta(days=7)
CHURN = [sys.executable, "-W", "ignore", "-c", "from churn_pipeline.cli.commands import main; main()"]
# The first Monday is on the training grid; the second has nothing to train, and the data end with it.
FIRST = date(2026, 10, 26)
UNTIL = FIRST + WEEK
PARTS = ("landing", "marts", "training", "scoring", "publication", "orchestration")
# Parts of a Monday that no floor is measured for, by the first words of their steps.
WITHOUT_FLOOR = (
    "monitoring",
    "landing_quality",
    "landing__",
    "weekly_report",
    "data_docs",
    "slack",
    "published",
    "expansion_briefs",
)
# Processor seconds of --quick on two cores; it fails at four times as many.
WRITTEN = {"company": 1.2, "first Monday": 40.0, "Monday, nothing to train": 19.0}
SLACK = 4.0


@dataclass(frozen=True)
class Cost:
    """What a process took, its own children included; ``memory`` is the most that one of them held, in MB."""

    wall: float
    processor: float
    memory: float


@dataclass(frozen=True)
class Row:
    """One line of the table; what was not measured is None."""

    what: str
    seconds: float | None = None
    floor: float | None = None
    target: str = ""
    memory: float | None = None
    processor: float | None = None
    value: str = ""

    @property
    def ratio(self) -> float | None:
        return self.seconds / self.floor if self.seconds is not None and self.floor else None


@dataclass(frozen=True)
class Size:
    """How large the company is."""

    customers: int = 10_000
    weeks: int = 104
    use: float = 1.0
    seed: int = 7

    def options(self) -> list[str]:
        return [
            *("--customers", str(self.customers), "--weeks", str(self.weeks), "--use", str(self.use)),
            *("--seed", str(self.seed), "--until", str(UNTIL), "--no-oracle"),
        ]


QUICK = Size(customers=1_000, weeks=40)
MILLION = Size(customers=1_000_000, weeks=60, use=0.29)


@dataclass
class Bench:
    """One measurement: where it works, and what it has found so far."""

    work: Path
    scratch: Path
    size: Size
    parts: Sequence[str]
    repeat: int
    rows: list[Row] = field(default_factory=list)
    loose: list[Row] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)

    first: date = FIRST
    second: date = UNTIL

    def tell(self, sentence: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {sentence}", file=sys.stderr, flush=True)

    def world(self) -> Path:
        """The raw tables of the company, simulated unless the same one is kept."""
        simulator = Path(__file__).parents[1] / "churn_pipeline" / "simulate"
        content = hashlib.sha256(" ".join(self.size.options()).encode())
        for source in sorted(simulator.rglob("*.py")):
            content.update(source.read_bytes())
        folder = self.work / f"company-{content.hexdigest()[:16]}"
        if not (folder / "cost.json").exists():
            self.tell(f"company of {self.size.customers:,} customers over {self.size.weeks} weeks")
            cost = cost_of([*CHURN, "simulate", "--out", str(folder), *self.size.options()], dict(os.environ))
            (folder / "cost.json").write_text(json.dumps(asdict(cost)))
            self.costs["company"] = cost
            self.rows.append(
                Row(
                    "simulating the company",
                    cost.wall,
                    None,
                    "10,000: 8 s; 1 M: 30 min, 4 GiB",
                    cost.memory,
                    cost.processor,
                )
            )
        return folder / "raw"

    def environment(self, home: Path, raw: Path, now: date, **more: str) -> dict[str, str]:
        """Of a process of the pipeline at noon of a day; nothing of the caller's own settings is in it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHURN_")}
        return kept | {"CHURN_HOME": str(home), "CHURN_RAW": str(raw), "CHURN_NOW": f"{now}T12:00:00+00:00"} | more

    def run(
        self, what: str, home: Path, raw: Path, monday: date, *options: str, now: date | None = None, **more: str
    ) -> Cost:
        self.tell(what)
        return cost_of([*CHURN, "run", *options], self.environment(home, raw, now or monday, **more))


def cost_of(command: Sequence[str], environment: dict[str, str]) -> Cost:
    """Runs a process to its end; ends this one with what it said when it fails."""
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            tail = said.read().decode(errors="replace")[-3_000:]
            sys.exit(f"{' '.join(command[-6:])} ended with {process.returncode}:\n{tail}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def steps_of(home: Path) -> dict[str, float]:
    """Seconds of each step of the newest run of a home, as Dagster recorded them."""
    logs = [path for path in (home / "data/dagster/history/runs").glob("*.db") if path.stem != "index"]
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    with sqlite3.connect(f"file:{newest}?mode=ro", uri=True) as con:
        events = con.execute(
            "select dagster_event_type, step_key, timestamp from event_logs"
            " where dagster_event_type in ('STEP_START', 'STEP_SUCCESS') order by id"
        ).fetchall()
    begun: dict[str, datetime] = {}
    seconds: dict[str, float] = {}
    for kind, step, moment in events:
        at = datetime.fromisoformat(moment)
        if kind == "STEP_START":
            begun[step] = at
        else:
            seconds[step] = (at - begun[step]).total_seconds()
    return seconds


def total(steps: dict[str, float], *beginnings: str) -> float:
    """Seconds of the steps whose names begin so."""
    return sum(seconds for name, seconds in steps.items() if name.startswith(beginnings))


@contextmanager
def timed(measured: list[float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    measured.append(time.perf_counter() - began)


def median_of(times: int, work: Callable[[], object]) -> float:
    """Median seconds of a few repetitions."""
    measured: list[float] = []
    for _ in range(times):
        with timed(measured):
            work()
    return statistics.median(measured)


def landing_floor(raw: Path, before: date, scratch: Path) -> float:
    """One CREATE TABLE AS of the events: the columns of `landing.usage_events`, typed as landing does, in the order of the file."""

    def land() -> None:
        path = scratch / "floor.duckdb"
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path), config={"threads": 2}) as con:
            con.execute(
                f"""create table usage_events as
                    select event_id, customer_id, timestamp as event_at, timestamp::date as event_date, lower(event_type) as event_type,
                        round(feature_adoption_score * 1e6)::bigint as adoption_micros, timestamp::date as known_date
                    from read_parquet('{raw}/usage_events.parquet') where timestamp < '{before}'"""
            )

    return median_of(1, land)


def features_floor(home: Path, monday: date) -> float:
    """One query for the windows of one Monday, as in `int_usage_windows`, from the customer-days that it needs."""
    with duckdb.connect(str(home / "data/warehouse.duckdb"), read_only=True, config={"threads": 2}) as con:
        query = f"""
            with aged as (
                select *, date '{monday}' - event_date as age from intermediate.int_customer_days
                where event_date >= date '{monday}' - 90 and event_date < date '{monday}' and known_date < date '{monday}'
            )
            select customer_id,
                sum(events) filter (where age <= 7), sum(events) filter (where age <= 14), sum(events) filter (where age between 8 and 28),
                sum(events) filter (where age <= 30), sum(events) filter (where age between 31 and 60), sum(events), sum(events * age),
                bit_count(bit_or(1::ubigint << least(age, 45)::integer) filter (where age <= 30)),
                bit_count(bit_or(1::ubigint << least(age, 45)::integer) filter (where age <= 45))
                    + bit_count(bit_or(1::ubigint << greatest(age - 45, 0)::integer) filter (where age > 45)),
                sum(retention_signals) filter (where age <= 30), sum(adoption_micros) filter (where age <= 30),
                sum(adoption_scores) filter (where age <= 30), sum(adoption_micros) filter (where age > 30),
                sum(adoption_scores) filter (where age > 30), bit_count(bit_or(event_type_bits) filter (where age <= 30)),
                sum(premium_trials) filter (where age <= 30), sum(limit_hits) filter (where age <= 30)
            from aged group by customer_id"""
        return median_of(3, lambda: con.sql(query).to_arrow_table())


def scoring_floor(home: Path, monday: date) -> tuple[float, int, int]:
    """Bare predict and pred_contribs of the newest boosters on ready matrices; seconds, customers, and how many targets have trees."""
    from churn_pipeline.core.targets import TARGETS
    from churn_pipeline.features.frames import scoring_frame
    from churn_pipeline.modeling.model import ScoringModel

    seconds, customers, trees = 0.0, 0, 0
    with duckdb.connect(str(home / "data/warehouse.duckdb"), read_only=True) as con:
        for name, target in TARGETS.items():
            versions = sorted((home / "data/models" / name).glob("*"), key=lambda folder: int(folder.name))
            frame = scoring_frame(con, target, monday)
            customers = max(customers, len(frame))
            if not versions:
                continue
            model = ScoringModel.load(versions[-1], threads=2)
            booster = model.booster
            if booster is None:
                continue
            matrix = model.encoder.dmatrix(model.encoder.matrix(frame), threads=2)
            trees += 1

            def score(booster=booster, matrix=matrix) -> None:  # type: ignore[no-untyped-def]
                booster.predict(matrix)
                booster.predict(matrix, pred_contribs=True)

            seconds += median_of(1, score)
    return seconds, customers, trees


def write_floor(home: Path, monday: date, scratch: Path) -> float:
    """One COPY of the Monday's published rows to Parquet."""
    with duckdb.connect(str(home / "data/published/churn.duckdb"), read_only=True) as con:
        con.execute(f"create temp table rows as select * from predictions where snapshot_date = '{monday}'")
        return median_of(
            3, lambda: con.execute(f"copy rows to '{scratch}/floor.parquet' (format parquet, compression zstd)")
        )


def measure(bench: Bench) -> None:
    """Fills the table."""
    raw = bench.world()
    home, second, first = bench.scratch / "home", bench.second, bench.first
    with duckdb.connect() as con:
        ((events,),) = con.execute(
            f"select count(*) from read_parquet('{raw}/usage_events.parquet') where timestamp < '{second}'"
        ).fetchall()
    million = bench.size.customers >= 1_000_000
    more = {"CHURN_HISTORY_WEEKS": "60"} if million else {}

    # Each Monday has its own export under the same names, as from a source that replaces its files: days after it would be another story, for
    # a customers table that already has the plans and prices of the future changes every earlier week.
    whole, raw = raw, bench.scratch / "raw"
    truncate(whole, raw, first)
    cost = bench.run(f"first Monday, {first}", home, raw, first, **more)
    shutil.rmtree(raw)
    shutil.copytree(whole, raw)
    bench.costs["first Monday"] = cost
    trained = steps_of(home)
    bench.rows.append(
        Row(
            "first Monday, start to exit",
            cost.wall,
            None,
            "1 M: 45 min, 12 GiB" if million else "",
            cost.memory,
            cost.processor,
        )
    )
    costs, records = [], []
    for turn in range(bench.repeat):
        copy = bench.scratch / f"home-{turn}"
        shutil.copytree(home, copy)
        costs.append(
            bench.run(
                f"next Monday, {second}, nothing to train: {turn + 1} of {bench.repeat}", copy, raw, second, **more
            )
        )
        records.append(steps_of(copy))
        if turn:
            shutil.rmtree(copy)
    monday = Cost(
        *(statistics.median(values) for values in zip(*(asdict(cost).values() for cost in costs), strict=True))
    )
    bench.costs["Monday, nothing to train"] = monday
    steps = {name: statistics.median(record.get(name, 0.0) for record in records) for name in records[0]}
    ran = bench.scratch / "home-0"

    bench.tell("floors")
    floors: dict[str, float] = {}
    weekly_scoring, active, trees = scoring_floor(ran, second)
    bench.facts |= {
        "active customers": f"{active:,}",
        "events before the Monday": f"{events:,}",
        "targets with trees": str(trees),
    }
    floors["scoring"], floors["write"] = weekly_scoring, write_floor(ran, second, bench.scratch)
    floors["features"] = features_floor(ran, second)
    if "orchestration" in bench.parts:
        command = ["-W", "ignore", "-m", "benchmarks.empty_job", str(bench.scratch / "empty"), str(second)]
        # The second one: the first makes the home, which a Monday finds there.
        _, empty = (
            cost_of([sys.executable, *command], bench.environment(bench.scratch / "empty", raw, second))
            for _ in range(2)
        )
        floors["orchestration"] = empty.wall
        bench.rows.append(
            Row("orchestration: the same job with nothing in it", empty.wall, None, "", empty.memory, empty.processor)
        )

    with_floor = total(steps, *WITHOUT_FLOOR)
    target = {10_000: "10 s", 100_000: "45 s, 3 GB", 1_000_000: "8 min, 8 GiB"}.get(bench.size.customers, "")
    if "orchestration" in floors:
        bench.rows.append(
            Row("Monday, nothing to train: start to exit", monday.wall, None, target, monday.memory, monday.processor)
        )
        bench.rows.append(
            Row(
                "  without the parts that have no floor",
                monday.wall - with_floor,
                sum(floors.values()),
                "1.5 x",
                None,
                None,
            )
        )
    else:
        bench.rows.append(
            Row("Monday, nothing to train: start to exit", monday.wall, None, target, monday.memory, monday.processor)
        )
    bench.loose += [
        Row(name, seconds)
        for name, seconds in sorted(steps.items(), key=lambda step: -step[1])
        if name.startswith(WITHOUT_FLOOR)
    ]

    if "landing" in bench.parts:
        bench.rows.append(
            Row("landing, everything new", trained["landing"], landing_floor(raw, first, bench.scratch), "2 x")
        )
        again = bench.run("the same Monday again: nothing new to land", ran, raw, second, **more)
        bench.rows.append(Row("landing, nothing new", steps_of(ran)["landing"], None, "1 s", again.memory))
    if "marts" in bench.parts:
        with duckdb.connect(str(ran / "data/warehouse.duckdb"), read_only=True) as con:
            ((mondays,),) = con.execute(
                "select count(distinct snapshot_date) from marts.mart_customer_churn_features"
            ).fetchall()
        built = mondays - 1
        bench.rows.append(
            Row(f"marts, {built} Mondays", total(trained, "dbt_features"), floors["features"] * built, "1.5 x")
        )
        bench.rows.append(Row("marts, one Monday", total(steps, "dbt_features"), floors["features"], ""))
    if "training" in bench.parts:
        bench.rows.append(
            Row("training, three targets", total(trained, "models__"), None, "100,000: 90 s, 3 GB", cost.memory)
        )
    if "scoring" in bench.parts:
        bench.rows.append(Row("scoring with drivers and themes", steps["score"], weekly_scoring or None, "1.3 x"))
        bench.rows.append(
            Row("policy and predictions", total(steps, "dbt_candidates", "dbt_predictions"), floors["write"], "")
        )
    if "publication" in bench.parts:
        bench.rows.append(Row("publication, files", steps["published"], None, ""))
        page = (ran / "data/published/report" / f"{second}.html").stat().st_size / 1e6
        bench.rows.append(Row("report, the page", None, None, "15 MB", value=f"{page:.1f} MB"))


def machine() -> dict[str, str]:
    """What the figures depend on beside the code."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("duckdb", "xgboost", "dagster", "dbt-core", "dbt-duckdb", "numpy")
    )
    return {
        "machine": f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f} at the end",
        "versions": f"Python {platform.python_version()}, {packages}",
    }


def text_of(bench: Bench) -> str:
    """The table and what it was measured on, in Markdown; it reads as plain text too."""

    def number(value: float | None, form: str) -> str | None:
        return None if value is None else format(value, form)

    facts = (
        {"customers who ever signed up": f"{bench.size.customers:,}", "weeks": str(bench.size.weeks)}
        | bench.facts
        | machine()
    )
    rows = [
        (
            row.what,
            row.value or (number(row.seconds, ".2f") or "") + " s",
            number(row.floor, ".2f"),
            number(row.ratio, ".2f"),
            row.target,
            number(row.memory, ",.0f"),
            number(row.processor, ".1f"),
        )
        for row in bench.rows
    ]
    heads = ["what", "measured", "floor, s", "ratio", "target", "peak MB", "processor s"]
    loose = [(row.what, number(row.seconds, ".2f")) for row in bench.loose]
    return "\n".join(
        [
            *(f"- {name}: {fact}" for name, fact in facts.items()),
            "",
            markdown_table(heads, rows),
            "",
            "Steps of the Monday that no floor is measured for:",
            "",
            markdown_table(["step", "s"], loose),
        ]
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="a company of 1,000: does it work, and at what order of cost"
    )
    parser.add_argument(
        "--million",
        action="store_true",
        help="1,000,000 customers, 60 weeks, 200 million events; hours, and 60 GB of disk",
    )
    parser.add_argument("--customers", type=int, help="who ever signed up (10,000)")
    parser.add_argument("--weeks", type=int, help="of history (104)")
    parser.add_argument("--use", type=float, help="how much customers do, 1 as usual; less makes fewer events")
    parser.add_argument("--only", help=f"parts, with commas between them: {', '.join(PARTS)}")
    parser.add_argument(
        "--repeat", type=int, help="how often the Monday is run, of which the median is taken (3; 1 from 100,000 on)"
    )
    parser.add_argument(
        "--work", type=Path, help="where companies are kept (a folder below the system's temporary one)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured, too")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="write the table between the markers of this page, such as docs/benchmarks.md",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    reader = parser()
    given = reader.parse_args(arguments)
    base = QUICK if given.quick else MILLION if given.million else Size()
    size = Size(given.customers or base.customers, given.weeks or base.weeks, given.use or base.use)
    parts = given.only.split(",") if given.only else list(PARTS)
    for part in parts:
        if part not in PARTS:
            reader.error(f"no part is called {part}; there are {', '.join(PARTS)}")
    work = given.work or Path(tempfile.gettempdir()) / "churn-benchmarks"
    work.mkdir(parents=True, exist_ok=True)
    repeat = given.repeat or (1 if given.quick or size.customers >= 100_000 else 3)
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        bench = Bench(work, Path(scratch), size, parts, repeat)
        measure(bench)
    text = text_of(bench)
    print(text)
    if given.markdown:
        insert(given.markdown, text)
    if given.json:
        found = {
            "rows": [asdict(row) | {"ratio": row.ratio} for row in bench.rows],
            "without floor": [asdict(row) for row in bench.loose],
        }
        given.json.write_text(json.dumps(found | {"facts": bench.facts | machine()}, indent=1))
    return judged(bench.costs) if given.quick else 0


def judged(costs: dict[str, Cost]) -> int:
    """The exit code of --quick: 1 where something took four times the processor seconds that are written."""
    slow = [
        f"{what}: {costs[what].processor:.1f} processor seconds, more than {SLACK:g} times the {written:g} that are written"
        for what, written in WRITTEN.items()
        if what in costs and costs[what].processor > SLACK * written
    ]
    for sentence in slow:
        print(sentence, file=sys.stderr)
    return int(bool(slow))


BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def insert(page: Path, text: str) -> None:
    """Replaces what stands between the markers of a page."""
    content = page.read_text(encoding="utf-8")
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page} has no markers {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
