"""The weekly report as people meet it: opened from the disk in a real browser, with mouse and keyboard, whatever customers are called."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from playwright.sync_api import Browser, Page, expect

from churn_pipeline.core.formatting import usd
from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.report import page as rendering
from churn_pipeline.delivery.report.data import read_week
from churn_pipeline.delivery.report.write import Written, page_of, write_reports
from tests.conftest import TINY_BEFORE
from tests.support import money
from tests.support.browser import Watched, opened
from tests.support.homes import copy_of, query

LATER = TINY_BEFORE + timedelta(days=7)
CAPACITY = 30
SCRIPT = "</script><script>alert(2)</script><!--"
NAMES = {
    1: '<img src=x onerror="alert(1)">',
    2: SCRIPT,
    3: "=cmd|' /C calc'!A0",
    4: "\u202egnp.exe שלום",
    5: "x" * 300,
    6: "{{ 7 * 7 }} & \"both\" 'quotes'",
}
OWNER = '<b onmouseover=alert(3)>Ana</b> "Q"'
ODD_ID = "C/../#%41&<i>7"
LEFT_OUT = (9, 10)
NOTICES = (
    "customers: 16 of 1,500 values of plan_tier are none of free, starter, growth, enterprise, custom and are blank: 'pro' (10), "
    f"'{SCRIPT}' (6)",
    "usage_events: event type '<img src=x onerror=alert(4)>*_~<!channel>[red]{{ 7 * 7 }}' is new: 40 rows in the week before",
    *(f"support_tickets: notice {number}" for number in range(6)),
)


@pytest.fixture(scope="module")
def settings(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A scored home whose first customers have hostile names, with a replay a week later and two who are not to be called."""
    home = copy_of(tiny_home, tmp_path_factory.mktemp("report") / "home").model_copy(update={"call_capacity": CAPACITY})
    with duckdb.connect(str(home.published_database)) as con:
        ids = dict(con.execute("select priority_rank, customer_id from predictions").fetchall())
        for rank, name in NAMES.items():
            con.execute("update customers set company_name = ? where customer_id = ?", [name, ids[rank]])
        for table in ("predictions", "customers"):
            con.execute(f"update {table} set customer_id = ? where customer_id = ?", [ODD_ID, ids[7]])
        con.execute("update predictions set csm_owner = ? where priority_rank in (1, 3, 40)", [OWNER])
        con.execute("update predictions set csm_owner = null where priority_rank = 4")
        con.execute("update predictions set snoozed_until = ? where priority_rank = 9", [LATER])
        con.execute("update predictions set is_holdout = true where priority_rank = 10")
        con.execute(
            """
            update predictions set is_expansion_candidate = true, expansion_rank = 0, expansion_propensity = 0.5,
                   churn_drivers = [{'feature': 'f', 'label': $text, 'value': $text, 'contribution': 0.5, 'sentence': $text}]
            where priority_rank = 2
            """,
            {"text": SCRIPT},
        )
        con.executemany(
            "insert into notices values (?, ?, 'feed', 'usage_events', ?)",
            [(TINY_BEFORE, 100 + number, notice) for number, notice in enumerate(NOTICES)],
        )
        con.execute("delete from notices where position < 100")
        con.execute(
            f"insert into predictions select * replace (date '{LATER}' as snapshot_date, 'as_of' as scoring_mode) from predictions"
        )
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute("update landing.support_tickets set topic = ? where customer_id = ?", [SCRIPT, ids[1]])
    return home


@pytest.fixture(scope="module")
def written(settings: Settings) -> Written:
    with duckdb.connect(str(settings.warehouse)) as con:
        return write_reports(con, settings, [TINY_BEFORE, LATER])


@pytest.fixture
def desk(browser: Browser, written: Written) -> Iterator[Watched]:
    """The page on a desk; whatever the test does with it, nothing is loaded, no script of a customer runs, nothing goes wrong."""
    with opened(browser, written.pages[TINY_BEFORE], viewport={"width": 1280, "height": 900}) as watched:
        watched.page.wait_for_selector("html[data-drawn]", state="attached")
        yield watched
        assert (watched.requests, watched.dialogs, watched.errors) == ([], [], [])


def names(page: Page) -> list[str]:
    return page.locator("#rows .open").all_text_contents()


def listed(page: Page) -> list[int]:
    """Ranks of all pages of the list, from the one shown on."""
    ranks: list[int] = []
    while True:
        ranks += [int(text) for text in page.locator("#rows td.rank").all_text_contents()]
        if page.locator("#next").is_disabled():
            return ranks
        page.locator("#next").click()


def called(settings: Settings, where: str = "true") -> list[int]:
    sql = f"""
        select priority_rank from predictions
        where snapshot_date = '{TINY_BEFORE}' and snoozed_until is null and is_holdout is distinct from true and {where}
        order by priority_rank
    """
    return [rank for (rank,) in query(settings.published_database, sql)]


def choose(page: Page, rank: int) -> None:
    page.locator(f"#rows tr:has(td.rank:text-is('{rank}')) .open").click()
    page.wait_for_selector("#detail[data-drawn]")


def test_a_run_writes_the_page_the_index_and_the_call_lists(tiny_home: Settings) -> None:
    assert page_of(tiny_home, TINY_BEFORE).is_file()
    assert f'href="{TINY_BEFORE}.html"' in (tiny_home.published / "report" / "index.html").read_text(encoding="utf-8")
    assert (tiny_home.published / "call_lists" / str(TINY_BEFORE) / "all.csv").is_file()


def test_hostile_names_are_text_in_list_and_detail_and_nothing_of_them_runs(desk: Watched) -> None:
    page = desk.page
    assert names(page)[:6] == list(NAMES.values())
    assert page.locator("#rows img, #rows script, #rows b, #detail img, #expansion script").count() == 0
    expect(page.locator("#expansion .open").first).to_have_text(SCRIPT)
    for rank in (1, 2, 5):
        choose(page, rank)
        expect(page.locator("#detail-name")).to_have_text(NAMES[rank])
        if rank == 2:
            expect(page.locator("#why li").first).to_contain_text(SCRIPT)
            expect(page.locator("#table-waterfall tbody th").first).to_have_text(SCRIPT)
        page.keyboard.press("Escape")
    assert page.title() == f"Weekly report, Monday {TINY_BEFORE}"


def test_a_long_name_does_not_push_the_page_out_of_its_width(browser: Browser, written: Written) -> None:
    for width in (1280, 390):
        with opened(browser, written.pages[TINY_BEFORE], viewport={"width": width, "height": 800}) as watched:
            watched.page.wait_for_selector("html[data-drawn]", state="attached")
            assert watched.page.evaluate("document.documentElement.scrollWidth") <= width
            choose(watched.page, 5)
            assert watched.page.evaluate("document.getElementById('detail').scrollWidth") <= width


def test_the_policy_of_the_page_stops_scripts_that_are_not_its_own_and_every_request(desk: Watched) -> None:
    page = desk.page
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.evaluate(
        "document.head.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'reached', () => 'refused')") == "refused"
    assert page.evaluate("window.ran") is None
    assert all("Content Security Policy" in error for error in desk.errors) and len(desk.errors) >= 3
    # What was refused above is what was asked for above.
    desk.errors.clear()
    desk.requests.clear()


def test_the_list_is_the_call_list_in_the_order_of_the_table(desk: Watched, settings: Settings) -> None:
    assert listed(desk.page) == called(settings)


def test_this_weeks_calls_are_those_of_the_file_and_those_left_out_are_shown_apart(
    desk: Watched, settings: Settings, written: Written
) -> None:
    desk.page.locator("#show").select_option("week")
    with written.call_lists[TINY_BEFORE][0].open(encoding="utf-8", newline="") as file:
        in_file = [int(row["priority_rank"]) for row in csv.DictReader(file)]
    assert listed(desk.page) == in_file == called(settings)[:CAPACITY]
    desk.page.locator("#show").select_option("out")
    assert listed(desk.page) == list(LEFT_OUT)


def test_the_owner_filter_shows_exactly_the_owners_customers(desk: Watched, settings: Settings) -> None:
    desk.page.get_by_label("Owner").select_option(label=OWNER)
    assert listed(desk.page) == called(settings, f"csm_owner = '{OWNER}'") == [1, 3, 40]
    desk.page.get_by_label("Owner").select_option(label="Without an owner")
    assert listed(desk.page) == called(settings, "csm_owner is null")


@pytest.mark.parametrize(
    ("button", "column", "first"),
    [("90 days", "churn_probability_90d", "descending"), ("Change", "probability_change", "descending"), ("Owner", "csm_owner", "ascending")],
)  # fmt: skip
def test_a_header_sorts_both_ways_and_says_so(
    desk: Watched, settings: Settings, button: str, column: str, first: str
) -> None:
    head = desk.page.locator("#list th", has_text=button)
    for direction in (first, {"ascending": "descending", "descending": "ascending"}[first]):
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", direction)
        assert desk.page.locator("#list th[aria-sort]").count() == 1
        values = dict(
            query(
                settings.published_database,
                f"select priority_rank, {column} from predictions where snapshot_date = '{TINY_BEFORE}'",
            )
        )
        cells = [values[rank] for rank in listed(desk.page)]
        known = [value if isinstance(value, str) else round(value, 4) for value in cells if value is not None]
        assert cells[len(known) :] == [None] * (len(cells) - len(known)), "nothing goes last"
        if column != "csm_owner":
            assert known == sorted(known, reverse=direction == "descending")
        else:
            groups = [value for at, value in enumerate(known) if not at or known[at - 1] != value]
            assert len(groups) == len(set(groups))


def test_the_keyboard_alone_searches_sorts_opens_and_closes(desk: Watched, settings: Settings) -> None:
    page = desk.page
    page.locator("#search").focus()
    page.keyboard.type("c/../#%41")
    expect(page.locator("#count")).to_have_text("1 customer")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail[data-drawn]")
    expect(page.locator("#detail-id")).to_have_text(ODD_ID)
    expect(page.locator("#detail-name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).not_to_be_visible()
    expect(page.locator("#rows .open").first).to_be_focused()

    page.locator("#search").fill("")
    page.keyboard.press("ArrowDown")
    ranks = called(settings)
    for key, at in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", 99), ("ArrowDown", 100), ("ArrowUp", 99), ("PageDown", 100)):  # fmt: skip
        page.keyboard.press(key)
        focused = page.evaluate("document.activeElement.closest('tr').querySelector('.rank').textContent")
        assert int(focused) == ranks[at], key
    # One stop for the tabulator, however long the list.
    assert page.locator("#rows .open[tabindex='0']").count() == 1
    page.locator("#list th button").nth(5).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#list th", has_text="90 days")).to_have_attribute("aria-sort", "descending")


def test_the_address_keeps_the_customer_and_opens_them_again(desk: Watched, browser: Browser, written: Written) -> None:
    choose(desk.page, 7)
    fragment = desk.page.evaluate("location.hash").removeprefix("#")
    with opened(browser, written.pages[TINY_BEFORE], fragment) as again:
        again.page.wait_for_selector("#detail[data-drawn]")
        expect(again.page.locator("#detail-id")).to_have_text(ODD_ID)
        again.page.keyboard.press("Escape")
        # The browser tells of the closing when it comes to it.
        again.page.wait_for_function("location.hash === ''")
    with opened(browser, written.pages[TINY_BEFORE], "customer=%E0%A4%A") as broken:
        expect(broken.page.locator("#rows tr").first).to_be_visible()
        assert not broken.errors


def test_the_detail_says_what_the_warehouse_knew(desk: Watched, settings: Settings) -> None:
    rank = called(settings, "csm_owner is not null")[7]
    ((customer, probability, rate),) = query(
        settings.published_database,
        f"select customer_id, churn_probability_90d, mrr from predictions where snapshot_date = '{TINY_BEFORE}' and priority_rank = {rank}",
    )
    ((events,),) = query(
        settings.warehouse,
        f"""
        select coalesce(sum(events), 0) from intermediate.int_customer_days
        where customer_id = '{customer}' and known_date < '{TINY_BEFORE}' and event_date >= date '{TINY_BEFORE}' - 182
        """,
    )
    ((tickets,),) = query(
        settings.warehouse,
        f"select count(*) from landing.support_tickets where customer_id = '{customer}' and created_date >= date '{TINY_BEFORE}' - 90",
    )
    choose(desk.page, rank)
    page = desk.page
    facts = page.locator("#facts").inner_text()
    assert f"{probability:.1%}" in facts and usd(rate) in facts
    assert page.locator("#detail svg").count() == 3
    shown = page.locator("#table-usage tbody td:nth-child(2)").all_text_contents()
    assert sum(int(text.replace(",", "")) for text in shown) == events
    assert page.locator("#tickets tbody tr").count() == tickets
    last = page.locator("#table-waterfall tbody tr:last-child td").nth(1).text_content()
    assert last is not None and float(last.rstrip("%")) == pytest.approx(100 * probability, abs=0.2)


def test_the_script_writes_money_as_python_does(desk: Watched) -> None:
    shown = desk.page.evaluate("amounts => amounts.map(usd)", [amount for amount, _ in money.EXAMPLES])
    assert shown == [text for _, text in money.EXAMPLES]


def test_money_in_the_list_and_in_the_charts_has_the_one_style(desk: Watched, settings: Settings) -> None:
    ((at_risk,),) = query(
        settings.published_database,
        f"select revenue_at_risk from predictions where snapshot_date = '{TINY_BEFORE}' and priority_rank = {called(settings)[0]}",
    )
    assert desk.page.locator("#rows td.risk").first.text_content() == usd(at_risk)
    axis = [text for text in desk.page.locator("#chart-tiers svg text").all_text_contents() if text.startswith("$")]
    assert axis and all(
        re.fullmatch(r"\$(\d{1,3}|\d,\d{3}|\d{2,3}K|\d\.\d\dM|\d\d\.\dM|\d{3}M)", text) for text in axis
    ), axis


def test_nothing_that_became_known_on_the_monday_or_later_is_on_its_page(settings: Settings, written: Written) -> None:
    with (
        duckdb.connect(str(settings.published_database), read_only=True) as published,
        duckdb.connect(str(settings.warehouse)) as con,
    ):
        before = read_week(published, con, TINY_BEFORE)
        con.execute("begin")
        for table in ("intermediate.int_customer_days", "landing.support_tickets"):
            day = "event_date" if "days" in table else "created_date"
            con.execute(f"insert into {table} select * replace ({day} as {day}, date '{TINY_BEFORE}' as known_date) from {table} where {day} < '{TINY_BEFORE}'")  # fmt: skip
        con.execute(f"update landing.support_tickets set resolved_date = '{TINY_BEFORE}' where not coalesce(resolved_date < '{TINY_BEFORE}', false)")  # fmt: skip
        con.execute(f"insert into monitoring.judgements values ('{LATER}', 'act', ['later'], '{{}}', 'run')")
        after = read_week(published, con, TINY_BEFORE)
        con.execute("rollback")
    assert (before.usage == after.usage).all() and before.usage.sum() > 0
    assert before.tickets == after.tickets and before.tickets
    assert rendering.render(before, rendering.Library("", ""), capacity=5) == rendering.render(after, rendering.Library("", ""), capacity=5)  # fmt: skip


def test_the_same_monday_gives_the_same_page(settings: Settings, written: Written) -> None:
    page = written.pages[TINY_BEFORE].read_bytes()
    with duckdb.connect(str(settings.warehouse)) as con:
        write_reports(con, settings, [TINY_BEFORE])
    assert written.pages[TINY_BEFORE].read_bytes() == page


def test_a_replay_says_that_it_is_one_and_the_monday_of_the_day_does_not(browser: Browser, written: Written) -> None:
    for day, notices in ((TINY_BEFORE, 0), (LATER, 1)):
        with opened(browser, written.pages[day]) as watched:
            assert watched.page.locator("#replay").count() == notices


def test_what_was_found_out_is_text_on_the_first_screen_and_no_more_than_six_lines(desk: Watched) -> None:
    notices = desk.page.locator("#notices")
    assert notices.locator("li").all_text_contents() == [
        *NOTICES[:5],
        f"and 3 more: churn show --week {TINY_BEFORE} --notices",
    ]
    below = notices.bounding_box()
    tiles = desk.page.locator(".tiles").bounding_box()
    assert below is not None and tiles is not None
    # The figures follow it, and are on the first screen too.
    assert below["y"] + below["height"] <= tiles["y"] and tiles["y"] + tiles["height"] < 900


def test_a_quiet_week_says_nothing_about_its_data(browser: Browser, written: Written) -> None:
    with opened(browser, written.pages[LATER]) as watched:
        assert watched.page.locator("#notices").count() == 0


def test_the_page_a_week_later_is_made_anew_where_there_is_one(settings: Settings, written: Written) -> None:
    later = page_of(settings, LATER)
    with duckdb.connect(str(settings.warehouse)) as con:
        again = write_reports(con, settings, [TINY_BEFORE])
        assert set(again.pages) == {TINY_BEFORE, LATER}
        later.unlink()
        without = write_reports(con, settings, [TINY_BEFORE])
        assert set(without.pages) == {TINY_BEFORE} and not later.exists()
        index = without.index.read_text(encoding="utf-8") if without.index else ""
        assert str(LATER) in index and f"{LATER}.html" not in index
        write_reports(con, settings, [LATER])


def test_the_index_leads_to_every_page_and_a_page_back(browser: Browser, written: Written) -> None:
    assert written.index is not None
    with opened(browser, written.index) as watched:
        assert watched.page.locator("tbody a").all_text_contents()[::2] == [str(LATER), str(TINY_BEFORE)]
        watched.page.get_by_role("link", name=str(LATER), exact=True).click()
        watched.page.get_by_role("link", name="All weeks").click()
        expect(watched.page.get_by_role("heading", name="Weekly reports")).to_be_visible()


def test_what_is_printed_is_this_weeks_calls_on_white(browser: Browser, written: Written) -> None:
    with opened(browser, written.pages[TINY_BEFORE], color_scheme="dark") as watched:
        page = watched.page
        page.wait_for_selector("html[data-drawn]", state="attached")
        expect(page.locator("#rows tr")).to_have_count(100)
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.evaluate(
            "addEventListener('beforeprint', () => (window.printed = document.querySelectorAll('#rows tr').length))"
        )
        assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
        assert page.evaluate("window.printed") == CAPACITY
        expect(page.locator("#rows tr")).to_have_count(100)
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)" != dark
        expect(page.locator("#search")).to_be_hidden()
        drawn = page.locator("#chart-tiers svg").bounding_box()
        assert drawn and drawn["width"] > 300 and drawn["height"] > 100


def test_everything_has_a_name_and_every_chart_a_table(desk: Watched) -> None:
    page = desk.page
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, a, [role=img]')].filter(one => !(one.labels?.length || "
        "one.textContent.trim() || one.getAttribute('aria-label'))).map(one => one.id || one.outerHTML)"
    )
    assert unnamed == []
    assert page.locator("[role=img]").count() == page.locator("figure:has([role=img]):has(table)").count() >= 4
    ids = re.findall(r'\bid="([^"]+)"', page.content())
    assert len(ids) == len(set(ids))


def test_a_damaged_copy_of_the_chart_library_is_made_anew(settings: Settings, written: Written) -> None:
    (kept,) = (settings.data / "report").glob("*.gz")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:1000])
    assert rendering.library(kept.parent).packed
    assert kept.read_bytes() == whole


def test_the_page_needs_nothing_but_itself(written: Written) -> None:
    text = written.pages[TINY_BEFORE].read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!#|\.\./|index\.html|\d{4}-\d\d-\d\d\.html)', text)
    assert "http://" not in text.replace("http-equiv", "") and "https://" not in text
    assert Path(written.pages[TINY_BEFORE]).parent == Path(str(written.index)).parent
