"""The page of the replay report: whole, safe, and readable without its pictures."""

from __future__ import annotations

import re
from datetime import date
from html.parser import HTMLParser

import pytest

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.monitoring import replay_page
from churn_pipeline.monitoring.replay import ReplayReport, replay_report
from tests.support.homes import UNUSED
from tests.unit.monitoring.replayed import LATEST, MONDAY, SIX, history, say, score, warehouse

SETTINGS = Settings(home=UNUSED, bootstrap_replicates=50, min_train_churners=5)
HOSTILE = '<script>alert("1")</script>\'&<img src=x onerror=alert(2)>'


def build(last: date, latest: date = LATEST, reason: str = "") -> ReplayReport:
    con = warehouse(usage_until=latest)
    score(con, *SIX)
    history(con)
    if reason:
        say(con, MONDAY + WEEK, "refused", reason)
    return replay_report(con, SETTINGS, MONDAY, last, latest=latest, capacity=2)


@pytest.fixture(scope="module")
def page() -> str:
    return replay_page.render(build(MONDAY + 2 * WEEK, reason=HOSTILE))


class Page(HTMLParser):
    """Collects tags with their attributes, and the text outside of style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_hostile_reason_is_text_and_nothing_else(page: str) -> None:
    parsed = Page(page)
    assert HOSTILE in parsed.text
    assert not {"script", "img"} & {tag for tag, _ in parsed.tags}


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    for tag, attributes in Page(page).tags:
        assert tag not in ("link", "iframe", "object", "embed"), tag
        for name in ("src", "href", "xlink:href", "srcset"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert not re.search(r"@import|url\((?!#)", page)


def test_every_id_is_unique_and_every_reference_finds_one(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    referred = set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', page)) | set(
        re.findall(r'aria-labelledby="([^"]+)"', page)
    )
    assert referred <= set(ids)


def test_every_picture_has_words_and_every_header_a_scope(page: str) -> None:
    tags = Page(page).tags
    pictures = [attributes for tag, attributes in tags if attributes.get("role") == "img"]
    assert len(pictures) == 3
    assert all(attributes["aria-label"] for attributes in pictures)
    # Each in a wide and a narrow form; a screen reader hears the words instead.
    drawn = [attributes for tag, attributes in tags if tag == "svg"]
    assert [attributes["aria-hidden"] for attributes in drawn] == ["true"] * 6
    assert all(attributes.get("scope") for tag, attributes in tags if tag == "th")


def test_the_pictures_take_every_colour_from_the_page(page: str) -> None:
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        assert not re.findall(r"#[0-9a-f]{6}\b", svg)
    used = set(re.findall(r"var\(--([a-z]+)\)", page))
    light = set(re.findall(r"--([a-z]+):", page.split("prefers-color-scheme")[0]))
    dark = set(re.findall(r"--([a-z]+):", page.split("prefers-color-scheme")[1].split("* {")[0]))
    assert used <= light == dark


def test_empty_weeks_stay_in_the_tables_with_their_reason(page: str) -> None:
    rows = re.findall(r'<tr class="empty">.*?</tr>', page, flags=re.DOTALL)
    # Two tables, each with the refused Monday and the one that nobody scored.
    assert len(rows) == 4
    assert sum("not scored" in row and str(MONDAY + 2 * WEEK) in row for row in rows) == 2
    assert sum("refused: &lt;script&gt;" in row for row in rows) == 2


def test_the_deciles_of_each_judged_monday_stand_in_a_table_of_their_horizon(page: str) -> None:
    tables = dict(
        re.findall(r'aria-label="Calibration by decile within (\d+) days, by Monday">(.*?)</table>', page, re.DOTALL)
    )
    assert set(tables) == {"30", "90"}
    report = build(MONDAY + 2 * WEEK)
    for horizon, table in tables.items():
        (row,) = re.findall(r'<th scope="row">([\d-]+)</th>(.*?)</tr>', table, re.DOTALL)
        assert row[0] == str(MONDAY)
        shown = re.findall(r"([\d.]+)%", row[1])
        deciles = report.weeks[0].deciles[f"churn_{horizon}d"]
        assert sum(decile.rows for decile in deciles) == len(SIX)
        assert [float(share) / 100 for share in shown] == pytest.approx(
            [share for decile in deciles for share in (decile.observed, decile.forecast)], abs=0.0005
        )


def test_the_same_report_gives_the_same_page() -> None:
    report = build(MONDAY)
    assert replay_page.render(report) == replay_page.render(report)


def test_a_report_without_a_judged_monday_is_a_page_without_lists() -> None:
    report = build(MONDAY + WEEK, latest=MONDAY + 5 * WEEK)
    page = replay_page.render(report)
    assert "can be judged yet" in page
    assert "the 90-day window is open until 2026-06-14" in page
    assert "Who was found" not in page
    # The 30-day window has closed, so its calibration is there.
    assert set(replay_page.figures(report)) == {"calibration"}
    nothing = build(MONDAY, latest=MONDAY)
    assert "the 30-day window is open until 2026-04-15" in replay_page.render(nothing)
    assert replay_page.figures(nothing) == {}


def test_what_is_not_defined_is_a_dash_and_what_has_a_reason_names_it() -> None:
    con = warehouse()
    score(con, *SIX, features=False)
    con.execute("update policy.predictions set is_flagged = false")
    page = replay_page.render(replay_report(con, SETTINGS, MONDAY, MONDAY, latest=LATEST, capacity=2))
    row = re.findall(rf'<tr>\s*<th scope="row">{MONDAY}</th>.*?</tr>', page, flags=re.DOTALL)
    assert re.findall(r">([^<>]*)</td>", row[0])[4:7] == ["\N{EN DASH}", "\N{EN DASH}", "1.3"]
    assert re.findall(r">([^<>]*)</td>", row[1])[2:7] == ["0", "0", "3", "\N{EN DASH}", "0%"]
    assert f"{MONDAY}: no rule and no logistic regression" in page


def test_whole_lists_are_a_page_with_their_lengths_and_with_the_best_possible() -> None:
    con = warehouse()
    score(con, *SIX)
    con.execute("alter table policy.predictions add column is_on_call_list boolean")
    con.execute("alter table policy.predictions add column call_rank bigint")
    con.execute(
        "update policy.predictions set is_on_call_list = customer_id <= 'c', call_rank = ascii(customer_id) - 96"
    )
    page = replay_page.render(replay_report(con, SETTINGS, MONDAY, MONDAY, latest=LATEST))
    row = re.findall(rf'<tr>\s*<th scope="row">{MONDAY}</th>.*?</tr>', page, flags=re.DOTALL)[0]
    cells = re.findall(r">([^<>]*)</td>", row)
    # Customers, left, calls; then the revenue: expected, left, list, its share, best possible, revenue alone.
    assert cells[:3] == ["6", "4", "3"]
    assert cells[10:16] == ["$1,470", "$1,400", "$1,100", "79%", "$1,400", "$1,300"]
    assert "at most" not in page
    assert "Whether the money left that was expected to" in page


def test_the_charts_are_figures_for_the_asset_too() -> None:
    drawn = replay_page.figures(build(MONDAY + WEEK))
    assert set(drawn) == {"churners", "revenue", "calibration"}
    lists, _ = drawn["churners"].axes
    assert [line.get_label() for line in lists.lines[:4]] == [
        "the list", "logistic regression", "the rule", "chance (expected)",
    ]  # fmt: skip
    assert lists.lines[0].get_ydata()[0] == 1
