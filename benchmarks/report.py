"""What the weekly report costs: how long a page takes to make, how large it is, and how long until its list can be used.

    python -m benchmarks.report --home HOME [--weeks 1] [--customers 10000] [--shots DIR]

HOME has published Mondays and is left as it is. With --customers the newest Monday is grown to so many by repeating its rows
under other identifiers. The time to the list is from the start of navigation to the first drawn rows, by the page's own mark, in
headless Chromium from the disk; the best and the median of five. --shots keeps pictures of it to look at: desktop light and dark,
phone, a customer, and what is printed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow as pa
from playwright.sync_api import Browser

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.report.data import WeekReport, read_week
from churn_pipeline.delivery.report.page import library, render
from tests.support.browser import headless, opened

DESK = {"width": 1280, "height": 900}
SHOTS = {
    "light": {"viewport": DESK},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--weeks", type=int, default=1, help="newest Mondays to make a page of (1)")
    parser.add_argument("--customers", type=int, help="grow the newest Monday to so many")
    parser.add_argument("--shots", type=Path, help="keep pictures here")
    arguments = parser.parse_args()

    settings = Settings(home=arguments.home)
    with (
        tempfile.TemporaryDirectory() as scratch,
        duckdb.connect(str(settings.published_database), read_only=True) as published,
        duckdb.connect(str(settings.warehouse)) as warehouse,
    ):
        began = time.perf_counter()
        vega = library(Path(scratch))
        print(f"chart library, once a home: {time.perf_counter() - began:.2f} s")
        days = [
            day for (day,) in published.execute("select distinct snapshot_date from predictions order by 1").fetchall()
        ][-arguments.weeks :]
        seconds = []
        for day in days:
            began = time.perf_counter()
            report = read_week(published, warehouse, day)
            page = render(report, vega)
            seconds.append(time.perf_counter() - began)
        print(f"{len(days)} pages of {report.customers.num_rows:,}: {sum(seconds):.1f} s, slowest {max(seconds):.2f} s")
        if arguments.customers:
            report = grown(report, arguments.customers)
            began = time.perf_counter()
            page = render(report, vega)
            print(f"rendered for {report.customers.num_rows:,}: {time.perf_counter() - began:.2f} s")
        path = Path(scratch) / "report.html"
        path.write_text(page, encoding="utf-8")
        print(f"page: {path.stat().st_size / 1e6:.2f} MB")
        with headless() as browser:
            measure(browser, path)
            if arguments.shots:
                arguments.shots.mkdir(parents=True, exist_ok=True)
                shoot(browser, path, arguments.shots)
    return 0


def grown(report: WeekReport, customers: int) -> WeekReport:
    """The report with its rows repeated under other identifiers and ranks until there are so many."""
    from dataclasses import replace

    import numpy as np

    rows = np.arange(customers) % report.customers.num_rows
    table = report.customers.take(pa.array(rows))
    ids = [f"{customer}-{at}" for at, customer in enumerate(table["customer_id"].to_pylist())]
    for name, values in (("customer_id", ids), ("priority_rank", list(range(1, customers + 1)))):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    by_row: dict[int, list[tuple]] = {}
    for ticket in report.tickets:
        by_row.setdefault(ticket[0], []).append(ticket[1:])
    return replace(
        report,
        customers=table,
        probabilities=report.probabilities[rows],
        contributions=report.contributions[rows],
        call_ranks=report.call_ranks[rows],
        usage=report.usage[rows],
        tickets=[(at, *ticket) for at, row in enumerate(rows) for ticket in by_row.get(int(row), ())],
    )


def measure(browser: Browser, path: Path) -> None:
    """Prints the time to the list, to the first detail with its charts, and of a search."""
    timings: dict[str, list[float]] = {"list": [], "detail": [], "search": []}
    for _ in range(5):
        with opened(browser, path, viewport=DESK) as watched:
            page = watched.page
            page.wait_for_selector("html[data-drawn]", state="attached")
            timings["list"].append(page.evaluate("performance.getEntriesByName('list')[0].startTime"))
            began = time.perf_counter()
            page.locator("#rows .open").first.click()
            page.wait_for_selector("#detail[data-drawn]")
            timings["detail"].append(1000 * (time.perf_counter() - began))
            page.keyboard.press("Escape")
            timings["search"].append(
                page.evaluate(
                    "() => { const box = document.getElementById('search'); const began = performance.now(); box.value = 'an';"
                    " box.dispatchEvent(new Event('input')); return performance.now() - began; }"
                )
            )
    for name, times in timings.items():
        print(f"{name}: best {min(times):.0f} ms, median {statistics.median(times):.0f} ms")


def shoot(browser: Browser, path: Path, folder: Path) -> None:
    """Takes the pictures."""
    for name, context in SHOTS.items():
        with opened(browser, path, **context) as watched:
            page = watched.page
            page.wait_for_selector("html[data-drawn]", state="attached")
            page.screenshot(path=folder / f"{name}.png")
            for part in ("since", "calls", "written", "revenue", "growth", "health", "drift"):
                page.evaluate(f"document.getElementById('{part}').scrollIntoView()")
                page.screenshot(path=folder / f"{name}_{part}.png")
            page.locator("#rows .open").first.click()
            page.wait_for_selector("#detail[data-drawn]")
            page.screenshot(path=folder / f"{name}_customer.png")
            page.pdf(path=folder / f"{name}_customer.pdf", prefer_css_page_size=True)
            page.keyboard.press("Escape")
            page.pdf(path=folder / f"{name}.pdf", prefer_css_page_size=True)


if __name__ == "__main__":
    sys.exit(main())
