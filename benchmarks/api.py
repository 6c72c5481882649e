"""How long `churn serve` takes to answer, and whether it keeps up.

    python benchmarks/api.py --work DIR --from DATABASE [--customers 10000] [--mondays 52] [--seconds 60] [--rate 200]

``--from`` is a published churn.duckdb, of any size. Its newest Monday is copied until there are so many active customers, under new ids, on
so many Mondays, with their names, features and policy; nothing is trained. `--work` keeps what was made.

The real server runs as a process, without a limit, and a generator of load as another, over one connection that is kept open. First one
request after the other, each route `--requests` times, for the times; beside them `/health`, which answers a constant from the same server: the
floor below which no route can be. Then single predictions at ``--rate`` a second for ``--seconds``, on four connections, each sent when it is
due whether or not those before it were answered.

What was measured stands in docs/quality.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

from churn_pipeline.core.formatting import markdown_table
from churn_pipeline.core.settings import Settings

BY_ROUTE = {
    "prediction": "/v1/customers/{id}/prediction",
    "360": "/v1/customers/{id}",
    "expansion (200 or 422)": "/v1/customers/{id}/expansion",
    "brief (200 or 422)": "/v1/customers/{id}/brief",
    "list page, 50 of the tier that is commonest": "/v1/customers?limit=50&tier={tier}",
    "list page, 200": "/v1/customers?limit=200",
    "list page, the last ones": "/v1/customers?limit=200&on_list=false&candidates=true",
    "floor: a constant": "/health",
}
CONNECTIONS = 4
WARMING = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--from", dest="source", type=Path)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--mondays", type=int, default=52)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=200)
    # The generator of load, as the process that this one starts.
    parser.add_argument("--load", nargs=2, metavar=("PLAN", "ADDRESS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        print(json.dumps(asyncio.run(load(json.loads(Path(given.load[0]).read_text()), given.load[1]))))
        return
    settings = Settings(home=given.work / f"home-{given.customers}-{given.mondays}")
    if not settings.published_database.exists():
        if given.source is None:
            parser.error("--from names a published churn.duckdb to copy customers from")
        start = time.perf_counter()
        make(given.source, settings, given.customers, given.mondays)
        size = settings.published_database.stat().st_size / 1e6
        print(f"made {settings.published_database} ({size:,.0f} MB) in {time.perf_counter() - start:.0f} s")
    ids, tier = known(settings)
    plan = {
        "paths": {
            name: [path.format(id=who, tier=tier) for who in _sample(ids, given.requests + WARMING)]
            for name, path in BY_ROUTE.items()
        },
        "rate": given.rate,
        "seconds": given.seconds,
        "due": [f"/v1/customers/{who}/prediction" for who in _sample(ids, int(given.rate * given.seconds))],
    }
    written = given.work / "plan.json"
    written.write_text(json.dumps(plan))
    print(f"load of the machine before: {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors, {len(ids):,} customers")
    with server(settings, given.work) as (process, address, ready_after):
        print(f"ready after {ready_after:.1f} s")
        busy = _processor_seconds(process.pid)
        done = subprocess.run(
            [sys.executable, __file__, "--work", str(given.work), "--load", str(written), address],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        report = json.loads(done.stdout)
        report["server"] = _processor_seconds(process.pid) - busy
        memory = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024  # type: ignore[index]
    print(f"load of the machine after: {os.getloadavg()[0]:.2f}")
    show(report, memory)


def make(source: Path, settings: Settings, customers: int, mondays: int) -> None:
    """A published database of so many customers and Mondays, each a copy of one that is there."""
    settings.published.mkdir(parents=True, exist_ok=True)
    database = settings.published_database.with_suffix(".making")
    shutil.copyfile(source, database)
    with duckdb.connect(str(database)) as con:
        newest, there = con.execute(
            "select max(snapshot_date), count(*) filter (where snapshot_date = (select max(snapshot_date) from predictions)) from predictions"
        ).fetchall()[0]
        copies = -(-customers // there)
        new_id = "printf('C%07d', (row_number() over (partition by copy order by customer_id) - 1) * $copies + copy)"
        for table, extra in (
            ("predictions", f", priority_rank = (priority_rank - 1) * {copies} + copy + 1"),
            ("customer_weeks", ""),
        ):
            if not con.execute("select 1 from duckdb_tables() where table_name = ?", [table]).fetchall():
                continue
            replaced = (
                extra.replace(", priority_rank = ", ", ").replace(" + copy + 1", " + copy + 1 as priority_rank")
                if extra
                else ""
            )
            con.execute(
                f"create temp table everybody as select * replace ({new_id.replace('$copies', str(copies))} as customer_id{replaced}) "
                f"from (from {table} where snapshot_date = ?) cross join range(?) as copies(copy)",
                [newest, copies],
            )
            con.execute("alter table everybody drop copy")
            con.execute(f"delete from everybody where customer_id > printf('C%07d', {customers - 1})")
            con.execute(f"delete from {table}")
            for week in reversed(range(mondays)):
                con.execute(
                    f"insert into {table} by name select * replace (snapshot_date - 7 * ?::integer as snapshot_date) from everybody "
                    "order by customer_id",
                    [week],
                )
            con.execute("drop table everybody")
        con.execute(
            "insert into customers by name select distinct customer_id, 'Company ' || customer_id as company_name, csm_owner "
            "from predictions where customer_id not in (select customer_id from customers)"
        )
        con.execute("checkpoint")
    database.replace(settings.published_database)


def known(settings: Settings) -> tuple[list[str], str]:
    """Who is there on the newest Monday, and the tier that most of them have."""
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        where = "where snapshot_date = (select max(snapshot_date) from predictions)"
        ids = [who for (who,) in con.execute(f"select customer_id from predictions {where} order by 1").fetchall()]
        return ids, con.execute(f"select mode(risk_tier) from predictions {where}").fetchall()[0][0]


@contextmanager
def server(settings: Settings, work: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, float]]:
    """`churn serve` as a process, ready; its address and how long it took to be."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHURN_")}
    start = time.perf_counter()
    with (work / "serve.out").open("wb") as out, (work / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "churn_pipeline.cli.commands", "serve", "--port", "0", "--home", str(settings.home)],
            env=environment | {"CHURN_API_RATE": "0"},
            stdout=out,
            stderr=log,
        )
    try:
        while not (match := re.search(r"http://\S+", (work / "serve.out").read_text())):
            if process.poll() is not None:
                raise SystemExit((work / "serve.log").read_text())
            time.sleep(0.02)
        while asyncio.run(_status(match[0], "/ready")) != 200:
            time.sleep(0.05)
        yield process, match[0], time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()


async def _status(address: str, path: str) -> int:
    try:
        connection = await Connection.open(address)
    except OSError:
        return 0
    return await connection.get(path)


@dataclass
class Connection:
    """An HTTP/1.1 connection that is kept open. A client that did more would measure itself."""

    host: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, address: str) -> Connection:
        parts = urlsplit(address)
        return cls(parts.netloc, *await asyncio.open_connection(parts.hostname, parts.port, limit=2**22))

    async def get(self, path: str) -> int:
        """Asks and reads the whole answer; its status."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if length is None:
            raise ValueError(f"an answer without a length: {head!r}")
        await self.reader.readexactly(int(length[1]))
        return int(head[9:12])


async def load(plan: dict, address: str) -> dict:
    """What the generator measured."""
    connection = await Connection.open(address)
    times: dict[str, list[float]] = {}
    statuses: dict[str, list[int]] = {}
    for name, paths in plan["paths"].items():
        taken, given = [], []
        for path in paths:
            start = time.perf_counter()
            given.append(await connection.get(path))
            taken.append(time.perf_counter() - start)
        times[name], statuses[name] = taken[WARMING:], sorted(set(given))

    due, begun = plan["due"], time.perf_counter()
    used = _own_seconds()
    late: list[float] = []
    answered: list[int] = []

    async def client(number: int) -> None:
        own = await Connection.open(address)
        for place in range(number, len(due), CONNECTIONS):
            at = begun + place / plan["rate"]
            if (wait := at - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            answered.append(await own.get(due[place]))
            # From when it was due, so that a server that stood still is not forgiven what it kept waiting.
            late.append(time.perf_counter() - at)

    await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))
    return {
        "times": times,
        "statuses": statuses,
        "late": late,
        "answered": {str(status): answered.count(status) for status in sorted(set(answered))},
        "lasted": time.perf_counter() - begun,
        "generator": _own_seconds() - used,
        "rate": plan["rate"],
    }


def show(report: dict, memory: float) -> None:
    """Prints what was measured."""
    rows = [
        [name, str(len(times)), "/".join(map(str, report["statuses"][name])), *_milliseconds(times)]
        for name, times in report["times"].items()
    ]
    print(markdown_table(["route", "requests", "status", "p50 ms", "p95 ms", "p99 ms", "longest ms"], rows))
    answered = ", ".join(f"{count:,} x {status}" for status, count in report["answered"].items())
    p50, p95, p99, longest = _milliseconds(report["late"])
    print(
        f"\n{report['rate']:.0f} predictions a second for {report['lasted']:.1f} s: {answered}; from when each was due p50 {p50} ms, "
        f"p95 {p95} ms, p99 {p99} ms, longest {longest} ms; processor of the generator meanwhile {report['generator']:.1f} s\n"
        f"processor of the server, both parts: {report['server']:.1f} s; most memory {memory:,.0f} MB"
    )


def _milliseconds(times: Sequence[float]) -> list[str]:
    ordered = sorted(times)
    return [f"{1000 * ordered[min(int(len(ordered) * share), len(ordered) - 1)]:.2f}" for share in (0.5, 0.95, 0.99, 1)]


def _sample(ids: Sequence[str], number: int) -> list[str]:
    return random.Random(7).choices(ids, k=number)


def _own_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
