"""What a publication to PostgreSQL costs.

    python -m benchmarks.postgres --home HOME [--customers 100000]

HOME has published Mondays and is left as it is. The newest Monday's rows are repeated under other identifiers until there are so many
customers, names and outcomes with them, and published to a server of its own (Debian's, on a loopback port, without fsync). Each
publication is a process: times are without Python's start, the server's processor time is not in them, and memory is the most that the
process ever held.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb
import psycopg

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.postgres.publish import publish
from tests.support.postgres import Cluster


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--customers", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Cluster() as cluster:
        settings = Settings(home=Path(folder))
        day = grow(Settings(home=arguments.home), settings, arguments.customers)
        database = cluster.fresh_database()
        print(f"{arguments.customers:,} customers of one Monday", flush=True)
        for what, mondays in (
            ("into an empty schema", []),
            ("the same Monday again", [day]),
            ("nothing has changed", []),
        ):
            with multiprocessing.get_context("spawn").Pool(1) as process:
                seconds, busy, memory, rows = process.apply(measured, (database.url, settings.home, mondays))
            print(
                f"{what}: {seconds:.1f} s, {busy:.1f} s of processor, at most {memory:.2f} GB, {rows:,} predictions",
                flush=True,
            )
        with psycopg.connect(database.url) as con:
            sizes = con.execute(
                "select pg_size_pretty(pg_total_relation_size('churn.predictions')), count(*) from churn.predictions"
            ).fetchone()
        print(f"churn.predictions: {sizes[0] if sizes else '?'}, the Monday that was replaced not yet vacuumed away")
    return 0


def grow(source: Settings, into: Settings, customers: int) -> date:
    """Copies what a home has published and gives its newest Monday so many customers; returns that Monday."""
    into.published.mkdir(parents=True)
    for file in (source.published_database, source.monitoring_database):
        shutil.copy(file, into.published)
    with duckdb.connect(str(into.published_database)) as con:
        ((day, rows),) = con.execute(
            "select snapshot_date, count(*) from predictions group by 1 order by 1 desc limit 1"
        ).fetchall()
        copies = -(-customers // rows)
        con.execute("drop view if exists drivers")
        con.execute("delete from predictions where snapshot_date <> ?", [day])
        con.execute(
            f"insert into predictions select t.* replace (customer_id || '~' || copy as customer_id) "
            f"from predictions as t, range(1, {copies}) as copies (copy) limit {customers - rows}"
        )
        con.execute(
            f"insert into customers select t.* replace (customer_id || '~' || copy as customer_id) from customers as t, "
            f"range(1, {copies}) as copies (copy)"
        )
    with duckdb.connect(str(into.monitoring_database)) as con:
        con.execute(
            f"insert into prediction_outcomes select t.* replace (customer_id || '~' || copy as customer_id) "
            f"from prediction_outcomes as t, range(1, {copies}) as copies (copy)"
        )
    monday: date = day
    return monday


def measured(url: str, home: Path, mondays: list[date]) -> tuple[float, float, float, int]:
    """Seconds, seconds of processor and memory (GB) of a publication, and how many predictions it wrote."""
    began, busy = time.perf_counter(), time.process_time()
    done = publish(url, Settings(home=home), mondays)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    # Not getrusage, which begins with what the process held that this one was forked from.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return seconds, busy, int(status["VmHWM"].split()[0]) / 2**20, sum(done.rows.values())


if __name__ == "__main__":
    sys.exit(main())
