"""The weekly report as people meet it: opened from the disk in a real browser, with mouse and keyboard, whatever customers are called."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from playwright.sync_api import Browser, Page, expect

from churn_pipeline.core.formatting import in_points, signed_usd, usd
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import target_of
from churn_pipeline.delivery.report import page as rendering
from churn_pipeline.delivery.report import words
from churn_pipeline.delivery.report.data import read_week, totals
from churn_pipeline.delivery.report.write import Written, page_of, write_reports
from churn_pipeline.privacy.files import page as erase_page
from churn_pipeline.privacy.files import unpacked
from churn_pipeline.privacy.matching import Traces
from tests.conftest import TINY_BEFORE
from tests.support import money
from tests.support.browser import Watched, opened
from tests.support.homes import copy_of, query

LATER = TINY_BEFORE + timedelta(days=7)
EVE = TINY_BEFORE - timedelta(days=1)
# A Monday from before there was a call list; no model of expansion was in force then either.
NO_LIST = TINY_BEFORE - timedelta(days=7)
CAPACITY = 60
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
# By priority_rank of the first Monday with a list.
SNOOZED, HELD_OUT, RESTING = 9, 10, 11
WRITTEN = tuple(range(101, 113))
# A week later: who became urgent, who no longer is, who left, and who is new.
ROSE, FELL, GONE_CALLED, GONE = 80, 12, 20, 150
NEW_ID = "NEW-1"
NOTICES = (
    "customers: 16 of 1,500 values of plan_tier are none of free, starter, growth, enterprise, custom and are blank: 'pro' (10), "
    f"'{SCRIPT}' (6)",
    "usage_events: event type '<img src=x onerror=alert(4)>*_~<!channel>[red]{{ 7 * 7 }}' is new: 40 rows in the week before",
    *(f"support_tickets: notice {number}" for number in range(6)),
)


@pytest.fixture(scope="module")
def settings(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A scored home whose first customers have hostile names, with a Monday before that has no list and a replay a week later."""
    home = copy_of(tiny_home, tmp_path_factory.mktemp("report") / "home")
    with duckdb.connect(str(home.published_database)) as con:
        ids = dict(con.execute("select priority_rank, customer_id from predictions").fetchall())
        for rank, name in NAMES.items():
            con.execute("update customers set company_name = ? where customer_id = ?", [name, ids[rank]])
        for table in ("predictions", "customers"):
            con.execute(f"update {table} set customer_id = ? where customer_id = ?", [ODD_ID, ids[7]])
        con.execute("update predictions set csm_owner = ? where priority_rank in (1, 3, 40)", [OWNER])
        con.execute("update predictions set csm_owner = null where priority_rank = 4")
        con.execute(
            f"""
            update predictions set is_on_call_list = false, call_rank = null, call_reason = null, is_holdout = false, resting_until = null,
                   snoozed_until = null, action_kind = 'none';
            update predictions set snoozed_until = date '{LATER}' where priority_rank = {SNOOZED};
            update predictions set is_holdout = true where priority_rank = {HELD_OUT};
            update predictions set resting_until = date '{LATER}' where priority_rank = {RESTING};
            update predictions set is_on_call_list = true, call_rank = place, call_reason = 'at_risk', action_kind = 'csm_call',
                   recommended_action = 'Call number ' || place || ' today.'
            from (
                select customer_id, row_number() over (order by priority_rank) as place from predictions
                where priority_rank not in ({SNOOZED}, {HELD_OUT}, {RESTING})
            ) as places
            where places.customer_id = predictions.customer_id and place <= {CAPACITY};
            update predictions set risk_tier = 'HIGH', action_kind = 'no_call', play = 'Written outreach',
                   recommended_action = 'Write to number ' || priority_rank || '.'
            where priority_rank in {WRITTEN};
            update predictions set risk_tier = 'LOW' where priority_rank in ({ROSE}, {HELD_OUT});
            update predictions set risk_tier = 'HIGH' where priority_rank = {FELL};
            """
        )
        con.execute(
            """
            update predictions set is_expansion_candidate = true, expansion_rank = 0, expansion_propensity = 0.5,
                   churn_drivers = [{'feature': 'f', 'label': $text, 'value': $text, 'contribution': 0.5, 'sentence': $text}],
                   churn_themes = [{
                       'theme': 'usage', 'label': 'Usage', 'contribution': 0.5, 'share': 1.0, 'sentence': $text, 'features': ['f']
                   }],
                   talking_points = [{'theme': 'usage', 'ask': $text, 'offer': 'An hour.', 'avoid': null}]
            where priority_rank = 2
            """,
            {"text": SCRIPT},
        )
        con.executemany(
            "insert into notices values (?, ?, 'feed', 'usage_events', ?)",
            [(TINY_BEFORE, 100 + number, notice) for number, notice in enumerate(NOTICES)],
        )
        con.execute("delete from notices where position < 100")
        growth = target_of("expansion")
        con.execute(
            f"""
            insert into predictions by name
            select * replace (
                date '{NO_LIST}' as snapshot_date, null as is_on_call_list, null as call_rank, null as call_reason,
                null as {growth.probability_column}, null as {growth.version_column}, null as is_expansion_candidate
            ) from predictions
            """
        )
        con.execute(
            "insert into promotions by name select 1000 as seq, ? as target, false as promoted, ?::date as effective_from, "
            "?::date as labels_closed_by, 'refused: Too few upgrades' as reason, 'test' as who",
            [growth.name, NO_LIST, NO_LIST],
        )
        _a_week_later(con)
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute("update landing.support_tickets set topic = ? where customer_id = ?", [SCRIPT, ids[1]])
        con.execute(
            "insert into landing.interventions by name select 'i' as intervention_id, ? as customer_id, ?::timestamp as at, ?::date as at_date, "
            "'call' as kind, 'Ana' as owner, ? as outcome, ?::date as known_date",
            [ids[1], EVE, EVE, SCRIPT, EVE],
        )
    return home


def _a_week_later(con: duckdb.DuckDBPyConnection) -> None:
    """The same customers a week later, of whom some moved; what moved came from usage, but for 100 dollars of the model each."""
    con.execute(
        f"""
        insert into predictions by name
        select * replace (date '{LATER}' as snapshot_date, 'as_of' as scoring_mode, risk_tier as previous_risk_tier, 0.0 as probability_change)
        from predictions where snapshot_date = '{TINY_BEFORE}' and priority_rank not in ({GONE_CALLED}, {GONE});
        insert into predictions by name
        select * replace (
            '{NEW_ID}' as customer_id, 10000 as priority_rank, 'CRITICAL' as risk_tier, null as previous_risk_tier, null as probability_change
        )
        from predictions where snapshot_date = '{LATER}' and priority_rank = {ROSE};
        update predictions set risk_tier = 'CRITICAL', churn_probability_90d = 0.9 where snapshot_date = '{LATER}' and priority_rank in ({ROSE}, {HELD_OUT});
        update predictions set risk_tier = 'LOW', churn_probability_90d = 0.01 where snapshot_date = '{LATER}' and priority_rank = {FELL};
        update predictions set churn_probability_90d = churn_probability_90d + 0.01 * (priority_rank - 25)
        where snapshot_date = '{LATER}' and priority_rank between 21 and 30;
        update predictions set revenue_at_risk = annual_revenue * churn_probability_90d where snapshot_date = '{LATER}';
        update predictions as now set
            probability_change = now.churn_probability_90d - earlier.churn_probability_90d,
            change_parts = [
                {{'part': 'usage', 'label': 'Usage', 'points': 0.07, 'revenue': now.revenue_at_risk - earlier.revenue_at_risk - 100}},
                {{'part': 'model_and_data', 'label': 'Model and corrected data', 'points': 0.0, 'revenue': 100.0}}
            ]
        from predictions as earlier
        where now.snapshot_date = '{LATER}' and earlier.snapshot_date = '{TINY_BEFORE}' and now.customer_id = earlier.customer_id
            and now.revenue_at_risk <> earlier.revenue_at_risk
        """
    )


@pytest.fixture(scope="module")
def written(settings: Settings) -> Written:
    with duckdb.connect(str(settings.warehouse)) as con:
        return write_reports(con, settings, [NO_LIST, TINY_BEFORE, LATER])


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
    sql = f"select call_rank from predictions where snapshot_date = '{TINY_BEFORE}' and is_on_call_list and {where} order by call_rank"
    return [rank for (rank,) in query(settings.published_database, sql)]


def of_rank(settings: Settings, rank: int, columns: str = "customer_id", monday: date = TINY_BEFORE) -> tuple:
    """Columns of whoever had a priority_rank."""
    ((*values,),) = query(
        settings.published_database,
        f"select {columns} from predictions where snapshot_date = '{monday}' and priority_rank = {rank}",
    )
    return tuple(values)


def choose_nth(page: Page, place: int) -> None:
    page.locator("#rows .open").nth(place).click()
    page.wait_for_selector("#detail[data-drawn]")


def printed_pages(page: Page) -> int:
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


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
        if rank == 1:
            expect(page.locator("#first-facts")).to_contain_text(SCRIPT)
        if rank == 2:
            expect(page.locator("#why li").first).to_contain_text(SCRIPT)
            expect(page.locator("#talk dd").first).to_have_text(SCRIPT)
            expect(page.locator("#drivers li").first).to_contain_text(SCRIPT)
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


def test_the_list_is_that_of_the_file(desk: Watched, settings: Settings, written: Written) -> None:
    with written.call_lists[TINY_BEFORE][0].open(encoding="utf-8", newline="") as file:
        in_file = [int(row["call_rank"]) for row in csv.DictReader(file)]
    assert listed(desk.page) == in_file == called(settings)


def test_a_line_of_the_list_says_why_and_what_to_do_and_names_no_play(desk: Watched, settings: Settings) -> None:
    line = desk.page.locator("#rows tr").nth(1)
    expect(line.locator(".reason")).to_have_text(f"Likely to leave. {SCRIPT}")
    expect(line.locator(".action")).to_have_text("Call number 2 today.")


def test_the_reason_beside_an_instruction_is_not_the_fact_that_the_instruction_says(
    settings: Settings, written: Written, tmp_path: Path
) -> None:
    database = tmp_path / "published.duckdb"
    shutil.copy(settings.published_database, database)
    sentences = ("Renews in 5 days (28 Nov 2026)", "Little activity: 4 events in 30 days")
    with duckdb.connect(str(database)) as published, duckdb.connect(str(settings.warehouse)) as con:
        published.execute(
            """
            update predictions set recommended_action = $action, churn_themes = list_transform($sentences::varchar[], lambda sentence: {
                'theme': 'usage', 'label': 'Usage', 'contribution': 0.5, 'share': 0.5, 'sentence': sentence, 'features': ['f']
            }) where priority_rank = 3
            """,
            {"action": "Call today: the contract ends in 5 days (28 Nov 2026).", "sentences": list(sentences)},
        )
        customers = read_week(published, con, TINY_BEFORE).customers.to_pylist()
    assert [row["reason"] for row in customers if row["priority_rank"] == 3] == [sentences[1]]


def test_who_is_urgent_and_not_called_is_a_short_list_of_its_own_with_their_play(
    desk: Watched, settings: Settings
) -> None:
    rows = desk.page.locator("#written-rows tbody tr:visible")
    shown = [row.locator(".open").get_attribute("data-id") for row in rows.all()]
    expected = [of_rank(settings, rank)[0] for rank in WRITTEN]
    assert shown == expected[:10]
    expect(rows.first).to_contain_text(f"Written outreach. Write to number {WRITTEN[0]}.")
    desk.page.get_by_role("button", name="All 12 in the list").click()
    assert desk.page.locator("#rows tr").count() == len(WRITTEN)


def test_the_owner_is_chosen_over_the_figures_which_follow_and_is_kept_in_the_address(
    desk: Watched, browser: Browser, settings: Settings, written: Written
) -> None:
    page = desk.page
    sums = {
        owner: (count, usd(revenue))
        for owner, count, revenue in query(
            settings.published_database,
            f"select csm_owner, count(*), sum(revenue_at_risk) from predictions where snapshot_date = '{TINY_BEFORE}' group by 1",
        )
    }
    chosen = {OWNER: "#owner=%3Cb%20onmouseover%3Dalert(3)%3EAna%3C%2Fb%3E%20%22Q%22", None: "#owner="}
    for owner, address in chosen.items():
        page.get_by_label("Customers of").select_option(label=owner or "nobody (without an owner)")
        where = "csm_owner is null" if owner is None else f"csm_owner = '{owner}'"
        assert listed(page) == called(settings, where)
        shown = [page.locator(f".tiles [data-figure={name}]").text_content() for name in ("customers", "at-risk")]
        assert shown == [f"{sums[owner][0]:,}", sums[owner][1]]
        assert page.evaluate("location.hash") == address
        # A jump within the page does not forget whose customers these are.
        page.get_by_role("link", name="Revenue", exact=True).click()
        page.wait_for_function("address => location.hash === address", arg=address)
    with opened(browser, written.pages[TINY_BEFORE], chosen[OWNER].removeprefix("#")) as again:
        again.page.wait_for_selector("html[data-drawn]", state="attached")
        assert listed(again.page) == called(settings, f"csm_owner = '{OWNER}'") == [1, 3, 37]


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
                f"select call_rank, {column} from predictions where snapshot_date = '{TINY_BEFORE}'",
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
    page.locator("#show").select_option("all")
    page.locator("#search").focus()
    page.keyboard.press("ArrowDown")
    everybody = [
        customer
        for (customer,) in query(
            settings.published_database,
            f"select customer_id from predictions where snapshot_date = '{TINY_BEFORE}' order by call_rank nulls last, priority_rank",
        )
    ]
    for key, at in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", 99), ("ArrowDown", 100), ("ArrowUp", 99), ("PageDown", 100)):  # fmt: skip
        page.keyboard.press(key)
        focused = page.evaluate("document.activeElement.closest('tr').querySelector('.open').dataset.row")
        assert int(focused) == at, key
        page.keyboard.press("Enter")
        expect(page.locator("#detail-id")).to_have_text(everybody[at])
        page.keyboard.press("Escape")
    # One stop for the tabulator, however long the list.
    assert page.locator("#rows .open[tabindex='0']").count() == 1
    page.locator("#list th button").nth(4).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#list th", has_text="90 days")).to_have_attribute("aria-sort", "descending")


def test_whoever_goes_on_at_once_after_a_closing_is_not_brought_back(desk: Watched) -> None:
    page = desk.page
    page.locator("#show").select_option("all")
    for closing in ("document.getElementById('close').click()", "document.getElementById('detail').close()"):
        page.locator("#rows .open").first.click()
        page.wait_for_selector("#detail[data-drawn]")
        page.evaluate(f"{closing}; document.querySelectorAll('#rows .open')[2].click()")
        expect(page.locator("#detail[data-drawn]")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#rows .open").nth(2)).to_be_focused()


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
    rank = called(settings, "csm_owner is not null and call_rank > 8")[0]
    ((customer, probability, rate, renewal),) = query(
        settings.published_database,
        f"select customer_id, churn_probability_90d, mrr, days_to_renewal from predictions where snapshot_date = '{TINY_BEFORE}' and call_rank = {rank}",
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
    facts = page.locator("#first-facts").inner_text()
    assert f"{probability:.1%}" in facts and f"{usd(12 * rate)} a year" in facts
    assert ("no contract on file" if renewal is None else f"in {renewal} days") in facts
    assert page.locator("#detail svg").count() == 3
    shown = page.locator("#table-usage tbody td:nth-child(2)").all_text_contents()
    assert sum(int(text.replace(",", "")) for text in shown) == events
    assert page.locator("#tickets tbody tr").count() == tickets
    last = page.locator("#table-waterfall tbody tr:last-child td").nth(1).text_content()
    assert last is not None and float(last.rstrip("%")) == pytest.approx(100 * probability, abs=0.1)


def test_open_tickets_of_whatever_age_and_the_last_contact_are_on_top(settings: Settings, written: Written) -> None:
    with (
        duckdb.connect(str(settings.published_database), read_only=True) as published,
        duckdb.connect(str(settings.warehouse)) as con,
    ):
        customer = of_rank(settings, 5)[0]
        con.execute("begin")
        con.execute("delete from landing.support_tickets where customer_id = ?", [customer])
        for number, (age, priority, resolved) in enumerate(
            ((400, "critical", None), (3, "low", None), (20, "low", 1), (5, "critical", -1))
        ):
            con.execute(
                f"""
                insert into landing.support_tickets by name
                select * replace (
                    'open-{number}' as ticket_id, '{customer}' as customer_id, date '{TINY_BEFORE}' - {age} as created_date,
                    date '{TINY_BEFORE}' - {age} as known_date, '{priority}' as priority, date '{TINY_BEFORE}' - {resolved or "null"}::integer as resolved_date
                ) from landing.support_tickets limit 1
                """
            )
        for day, outcome in ((NO_LIST, "first"), (EVE, "last"), (TINY_BEFORE, "later")):
            con.execute(
                "insert into landing.interventions by name select ? as intervention_id, ? as customer_id, ?::timestamp as at, "
                "?::date as at_date, 'visit' as kind, 'Ana' as owner, ? as outcome, ?::date as known_date",
                [outcome, customer, day, day, outcome, day],
            )
        rows = read_week(published, con, TINY_BEFORE).customers.to_pylist()
        con.execute("rollback")
    (row,) = (row for row in rows if row["customer_id"] == customer)
    # One was resolved the day before; one is resolved only later, so it was open.
    assert (row["open_tickets"], row["open_critical_tickets"]) == (3, 2)
    assert (row["contact_on"], row["contact_kind"], row["contact_outcome"]) == (str(EVE), "visit", "last")  # fmt: skip


def test_what_is_not_on_file_is_said_to_be_that_and_not_0(settings: Settings, written: Written) -> None:
    with (
        duckdb.connect(str(settings.published_database), read_only=True) as published,
        duckdb.connect(str(settings.warehouse)) as con,
    ):
        con.execute("begin")
        con.execute("delete from landing.support_tickets; delete from landing.interventions")
        report = read_week(published, con, TINY_BEFORE)
        con.execute("rollback")
    assert (
        report.customers["open_tickets"].null_count
        == report.customers["contact_on"].null_count
        == report.customers.num_rows
    )
    assert "table interventions" in " ".join(words.worth(report))


def test_where_no_revenue_is_known_nothing_is_in_dollars_and_nothing_unknown_is_0(
    browser: Browser, settings: Settings, written: Written, tmp_path: Path
) -> None:
    database, page_file = tmp_path / "published.duckdb", tmp_path / f"{LATER}.html"
    shutil.copy(settings.published_database, database)
    with duckdb.connect(str(database)) as published, duckdb.connect(str(settings.warehouse)) as con:
        published.execute(
            """
            update predictions set mrr = null, annual_revenue = null, revenue_at_risk = null, expected_arr_uplift = null,
                   churn_themes = list_filter(churn_themes, lambda theme: not contains(theme.sentence, '$')),
                   churn_drivers = list_filter(churn_drivers, lambda driver: not contains(driver.sentence, '$')),
                   expansion_drivers = list_filter(expansion_drivers, lambda driver: not contains(driver.sentence, '$')),
                   change_parts = list_transform(change_parts, lambda part: {
                       'part': part.part, 'label': part.label, 'points': part.points, 'revenue': null::double
                   })
            """
        )
        moved = published.execute(
            f"""
            select customer_id, probability_change from predictions where snapshot_date = '{LATER}' and not is_holdout and snoozed_until is null
                and round(probability_change, 9) <> 0 order by abs(probability_change) desc, customer_id limit 10
            """
        ).fetchall()
        # Forecasts of revenue are made of what customers pay.
        con.execute("begin")
        for table in ("forecast", "retention"):
            con.execute(f"delete from monitoring.{table}")
        report = read_week(published, con, LATER)
        con.execute("rollback")
    page_file.write_text(rendering.render(report, rendering.library(settings.data / "report")), encoding="utf-8")
    with opened(browser, page_file, viewport={"width": 1280, "height": 900}) as watched:
        page = watched.page
        page.wait_for_selector("html[data-drawn]", state="attached")
        page.evaluate("for (const part of document.querySelectorAll('main details')) part.open = true")
        assert not re.search(r"\$\d", page.locator("main").inner_text())
        expect(page.locator("[data-figure=calls-words]")).to_contain_text("whoever is likelier to leave comes first")
        rows = page.locator("#movers tbody tr:visible")
        shown = [
            (row.locator(".open").get_attribute("data-id"), row.locator("strong").inner_text()) for row in rows.all()
        ]
        assert shown == [(customer, in_points(change)) for customer, change in moved]
        page.locator("#movers .open").first.click()
        page.wait_for_selector("#detail[data-drawn]")
        expect(page.locator("#changed tbody tr").last).to_contain_text("In all")
        assert not re.search(r"\$\d", page.locator("#detail").inner_text())
        assert watched.errors == []


def test_the_contributions_of_the_themes_add_up_for_every_customer(settings: Settings, written: Written) -> None:
    with (
        duckdb.connect(str(settings.published_database), read_only=True) as published,
        duckdb.connect(str(settings.warehouse)) as con,
    ):
        report = read_week(published, con, TINY_BEFORE)
    bias, log_odds = (report.customers[name].to_numpy() for name in ("bias", "log_odds"))
    known = bias == bias
    assert known.sum() >= report.customers.num_rows - 1
    assert abs(bias + report.contributions.sum(axis=1) / 10_000 - log_odds)[known].max() < 0.001
    assert (report.contributions[known] != 0).sum(axis=1).min() >= 3


def test_one_goes_on_to_the_next_customer_of_the_list_and_comes_back_to_the_last(desk: Watched) -> None:
    page = desk.page
    choose(page, 3)
    expect(page.locator("#place")).to_have_text(f"3 of {CAPACITY}")
    page.get_by_role("button", name="Next customer").click()
    expect(page.locator("#detail-name")).to_have_text(NAMES[4])
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#detail-name")).to_have_text(NAMES[2])
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#before")).to_be_disabled()
    page.wait_for_selector("#detail[data-drawn]")
    assert page.locator("#detail svg").count() == 3
    page.keyboard.press("Escape")
    expect(page.locator("#rows .open").first).to_be_focused()
    assert page.evaluate("location.hash") == ""


def test_outside_the_list_one_goes_on_in_the_order_of_the_chosen_owner(
    desk: Watched, browser: Browser, settings: Settings, written: Written
) -> None:
    page = desk.page
    customer, owner = of_rank(settings, WRITTEN[0], "customer_id, csm_owner")
    everybody = query(
        settings.published_database,
        f"select customer_id, csm_owner from predictions where snapshot_date = '{TINY_BEFORE}' order by call_rank nulls last, priority_rank",
    )
    of_owner = [who for who, whose in everybody if whose == owner]
    page.get_by_label("Customers of").select_option(label=owner)
    page.locator(f'#written-rows .open[data-id="{customer}"]').click()
    at = of_owner.index(customer)
    for key, place in ((None, at), ("ArrowRight", at + 1), ("ArrowRight", at + 2), ("ArrowLeft", at + 1)):
        if key:
            page.keyboard.press(key)
        expect(page.locator("#detail-id")).to_have_text(of_owner[place])
        expect(page.locator("#place")).to_have_text(f"{place + 1} of {len(of_owner)}")
    page.keyboard.press("Escape")
    # One who is somebody else's, as an address may name them, is one of all.
    at, stranger = next((at, who) for at, (who, whose) in enumerate(everybody) if whose != owner and at > CAPACITY)
    fragment = page.evaluate("location.hash").removeprefix("#") + f"&customer={stranger}"
    with opened(browser, written.pages[TINY_BEFORE], fragment) as again:
        again.page.wait_for_selector("#detail[data-drawn]")
        expect(again.page.locator("#detail-id")).to_have_text(stranger)
        expect(again.page.locator("#place")).to_have_text(f"{at + 1} of {len(everybody)}")


def test_what_to_say_is_copied_as_text(desk: Watched) -> None:
    page = desk.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    choose(page, 2)
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert (
        copied.splitlines()[1] == "Call number 2 today."
        and f"  Ask: {SCRIPT}" in copied
        and "  Offer: An hour." in copied
    )
    assert "Avoid" not in copied, "what the seed leaves empty is not said"


def test_earlier_weeks_lead_to_the_page_of_that_week(browser: Browser, written: Written) -> None:
    with opened(browser, written.pages[LATER]) as watched:
        page = watched.page
        page.wait_for_selector("html[data-drawn]", state="attached")
        page.locator("#rows .open").nth(1).click()
        page.wait_for_selector("#detail[data-drawn]")
        weeks = page.locator("#table-history tbody tr")
        assert weeks.locator("td:nth-child(3)").all_text_contents() == ["call 2", "call 2", "no list"]
        weeks.nth(1).get_by_role("link").click()
        page.wait_for_url(f"**/{TINY_BEFORE}.html#customer=*")
        expect(page.locator("#detail-name")).to_have_text(NAMES[2])


def test_links_to_other_weeks_and_to_the_file_of_the_list_are_of_the_chosen_owner(
    browser: Browser, written: Written
) -> None:
    with opened(browser, written.pages[LATER]) as watched:
        page = watched.page
        page.wait_for_selector("html[data-drawn]", state="attached")
        files = {}
        for owner in (OWNER, None, "everybody"):
            page.get_by_label("Customers of").select_option(label=owner or "nobody (without an owner)")
            link = page.get_by_role("link", name="Call list as CSV").get_attribute("href") or ""
            with (written.pages[LATER].parent / link).open(encoding="utf-8", newline="") as file:
                files[owner] = len(list(csv.DictReader(file)))
            assert page.locator("#rows tr").count() == files[owner] > 0
        page.get_by_label("Customers of").select_option(label=OWNER)
        page.locator("#rows .open").first.click()
        page.locator("#table-history a").first.click()
        page.wait_for_url(f"**/{TINY_BEFORE}.html#owner=*&customer=*")
        expect(page.locator("#place")).to_have_text(f"1 of {files[OWNER]}")
        page.keyboard.press("Escape")
        page.get_by_role("link", name=f"Monday {NO_LIST}").click()
        page.wait_for_url(f"**/{NO_LIST}.html#owner=*")
        expect(page.get_by_label("Customers of").locator("option:checked")).to_have_text(OWNER)


def test_a_monday_that_was_not_published_is_a_gap_in_every_chart_and_named_in_the_table(
    browser: Browser, settings: Settings, written: Written, tmp_path: Path
) -> None:
    first, last = NO_LIST - timedelta(days=7), LATER + timedelta(days=7)
    database = tmp_path / "published.duckdb"
    shutil.copy(settings.published_database, database)
    with duckdb.connect(str(database)) as published, duckdb.connect(str(settings.warehouse)) as con:
        published.execute(f"delete from predictions where snapshot_date = '{TINY_BEFORE}'")
        for day, like in ((first, NO_LIST), (last, LATER)):
            published.execute(
                f"insert into predictions by name select * replace (date '{day}' as snapshot_date) from predictions where snapshot_date = '{like}'"
            )
        con.execute("begin")
        con.execute(
            f"""
            delete from monitoring.forecast;
            insert into monitoring.forecast by name
            select date '{first}' + 7 * week::integer as snapshot_date, 90 as horizon_days, 'all' as dimension, 'all' as value, 9 as customers,
                   9e6 as revenue, 1e6 as expected, 5e5 as low, 2e6 as high, 0 as past_mondays, 0 as past_covered
            from range(5) as weeks(week) where week <> 2
            """
        )
        report = read_week(published, con, last)
        con.execute("rollback")
    page_file = tmp_path / f"{last}.html"
    page_file.write_text(rendering.render(report, rendering.library(settings.data / "report")), encoding="utf-8")
    steps_between = """marks => {
        const lefts = [...document.querySelectorAll(marks)].map(mark => Math.round(mark.getBoundingClientRect().left));
        const places = [...new Set(lefts)].sort((a, b) => a - b);
        return places.slice(1).map((place, at) => place - places[at]);
    }"""
    charts = ("#chart-tiers svg .role-mark.mark-rect path", '[data-rows="forecast"] svg .role-mark.mark-rule line')
    with opened(browser, page_file, viewport={"width": 1280, "height": 900}) as watched:
        page = watched.page
        page.wait_for_selector("html[data-drawn]", state="attached")
        for marks in charts:
            usual, gap, after = page.evaluate(steps_between, marks)
            assert usual == pytest.approx(after, abs=1) and gap == pytest.approx(2 * usual, abs=2), marks
        page.locator("#rows .open").first.click()
        page.wait_for_selector("#detail[data-drawn]")
        lines = page.locator("#chart-history svg .role-mark.mark-line path").all()
        parts = [part for line in lines for part in (line.get_attribute("d") or "").split("M") if part]
        assert [part.count("L") for part in parts] == [1, 1], "two Mondays, a gap, two Mondays"
        rows = [row.inner_text().split("\t") for row in page.locator("#table-history tbody tr").all()]
        assert [row[0] for row in rows] == [str(last - timedelta(weeks=week)) for week in range(5)]
        assert [row[1] == "not published" for row in rows] == [False, False, True, False, False]
        assert watched.errors == []


def test_nobody_reads_a_risk_score(written: Written) -> None:
    for page in written.pages.values():
        text = page.read_text(encoding="utf-8")
        assert not re.search("risk.?score", text, re.IGNORECASE)
        assert not any(re.search("risk.?score", packed, re.IGNORECASE) for packed in unpacked(text))


def test_who_is_held_out_is_told_to_nobody(written: Written) -> None:
    text = written.pages[LATER].read_text(encoding="utf-8")
    lists = [packed for packed in unpacked(text) if packed.startswith("{")]
    assert len(lists) == 2 and not any(re.search("hold.?out", packed, re.IGNORECASE) for packed in lists)


def test_the_script_writes_money_as_python_does(desk: Watched) -> None:
    shown = desk.page.evaluate("amounts => amounts.map(usd)", [amount for amount, _ in money.EXAMPLES])
    assert shown == [text for _, text in money.EXAMPLES]


def test_money_in_the_list_and_in_the_charts_has_the_one_style(desk: Watched, settings: Settings) -> None:
    (at_risk,) = of_rank(settings, 1, "revenue_at_risk")
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
    assert rendering.render(before, rendering.Library("", "")) == rendering.render(after, rendering.Library("", ""))  # fmt: skip


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


def test_since_last_week_names_who_became_urgent_who_fell_and_who_left(
    browser: Browser, settings: Settings, written: Written
) -> None:
    at_risk = {
        (customer, monday): revenue
        for customer, monday, revenue in query(
            settings.published_database, "select customer_id, snapshot_date, revenue_at_risk from predictions"
        )
    }
    rose, fell, held_out = (of_rank(settings, rank)[0] for rank in (ROSE, FELL, HELD_OUT))
    gone = {of_rank(settings, rank)[0]: is_called for rank, is_called in ((GONE_CALLED, True), (GONE, False))}
    with opened(browser, written.pages[LATER], viewport={"width": 1280, "height": 900}) as watched:
        page = watched.page
        page.wait_for_selector("html[data-drawn]", state="attached")
        became = [
            (row.locator(".open").get_attribute("data-id"), row.inner_text())
            for row in page.locator("#rose li:visible").all()
        ]
        assert sorted(customer for customer, _ in became) == sorted([rose, NEW_ID])
        for customer, text in became:
            assert usd(at_risk[customer, LATER]) in text and ("new" in text) == (customer == NEW_ID)
        assert page.locator(f'#since ~ * [data-id="{held_out}"]').count() == 0, (
            "who is held out is named to nobody who calls"
        )
        (lower,) = page.locator("#fell li:visible").all()
        assert (
            lower.locator(".open").get_attribute("data-id") == fell
            and usd(at_risk[fell, TINY_BEFORE]) in lower.inner_text()
        )
        left = page.locator("#gone li:visible").all_inner_texts()
        told = sorted((usd(at_risk[customer, TINY_BEFORE]), is_called) for customer, is_called in gone.items())
        assert sorted((text.split()[-1], "was on the list" in text) for text in left) == told
        expect(page.locator("[data-figure=gone-called]")).to_have_text("1 of them was on last week's call list.")
        # It stands on the first screen, and what is named opens.
        chart = page.locator("#chart-steps").bounding_box()
        assert chart is not None and chart["y"] + chart["height"] < 900
        page.locator("#rose .open").first.click()
        expect(page.locator("#detail-id")).to_have_text(became[0][0] or "")


def test_an_erasure_finds_the_page_that_names_somebody_who_left(settings: Settings, written: Written) -> None:
    for rank in (GONE, GONE_CALLED):
        traces = Traces(of_rank(settings, rank))
        assert [erase_page(written.pages[day], traces, False) for day in (TINY_BEFORE, LATER)] == [1, 1]


def test_the_waterfall_of_revenue_at_risk_adds_up_to_the_dollar_and_to_the_headline(
    browser: Browser, settings: Settings, written: Written
) -> None:
    totals = dict(
        query(
            settings.published_database,
            "select snapshot_date, round(sum(revenue_at_risk))::bigint from predictions group by 1",
        )
    )
    with opened(browser, written.pages[LATER]) as watched:
        watched.page.wait_for_selector("html[data-drawn]", state="attached")
        steps = [
            int(text.replace(",", "")) for text in watched.page.locator("#table-steps tbody td").all_text_contents()
        ]
        before, new, gone, up, down, model, now = steps
        assert before + new + gone + up + down + model == now == totals[LATER] and before == totals[TINY_BEFORE]
        moved = query(
            settings.published_database,
            f"select count(*) from predictions where snapshot_date = '{LATER}' and change_parts is not null and probability_change <> 0",
        )
        assert new > 0 > gone and up > 0 > down and model == pytest.approx(100 * moved[0][0], abs=1)
        bars = watched.page.locator("#chart-steps svg text").all_text_contents()
        assert usd(now) in bars and "+$" in "".join(bars)


def test_the_biggest_movers_are_those_of_the_table_with_what_moved_them(
    browser: Browser, settings: Settings, written: Written
) -> None:
    changes = query(
        settings.published_database,
        f"""
        select now.customer_id, now.revenue_at_risk - earlier.revenue_at_risk as change
        from predictions as now join predictions as earlier using (customer_id)
        where now.snapshot_date = '{LATER}' and earlier.snapshot_date = '{TINY_BEFORE}' and change <> 0
            and not now.is_holdout and now.snoozed_until is null
        order by abs(change) desc, customer_id limit 10
        """,
    )
    with opened(browser, written.pages[LATER], viewport={"width": 1280, "height": 900}) as watched:
        rows = watched.page.locator("#movers tbody tr:visible")
        shown = [
            (row.locator(".open").get_attribute("data-id"), row.locator("strong").inner_text()) for row in rows.all()
        ]
        assert shown == [(customer, signed_usd(change)) for customer, change in changes]
        assert all(
            text.startswith("Usage: +7 points") for text in rows.locator("td:last-child").all_inner_texts() if text
        )


def test_a_monday_before_there_was_a_list_says_so_and_shows_its_customers(
    browser: Browser, settings: Settings, written: Written
) -> None:
    with opened(browser, written.pages[NO_LIST]) as watched:
        page = watched.page
        page.wait_for_selector("html[data-drawn]", state="attached")
        expect(page.locator("[data-figure=calls-words]")).to_contain_text("No call list was made for this Monday")
        assert page.get_by_role("link", name="Call list as CSV").count() == page.locator("#written").count() == 0
        assert page.locator("#rows .open").first.text_content() == NAMES[1]
        expect(page.locator("[data-figure=called]")).to_have_text("\N{EN DASH}")
        # Nor was there anything to compare with, and a chart of one Monday would be a point.
        expect(page.locator("#since ~ p")).to_contain_text("This is the first published Monday.")
        assert page.locator("#chart-tiers, #chart-steps").count() == 0
        expect(page.locator("#growth ~ p")).to_have_text(
            "No expansion model in force, because too few upgrades. So nobody is said to be ready to grow, or not to be."
        )
        page.locator("#rows .open").first.click()
        page.wait_for_selector("#detail[data-drawn]")
        expect(page.locator("#call-words")).to_contain_text("No call list was made for this Monday")
        expect(page.locator("#growth-part")).to_be_hidden()
        expect(page.locator("#chart-history")).to_be_hidden()
        assert (watched.requests, watched.errors) == ([], [])


def test_the_list_says_for_how_many_mondays_somebody_has_been_on_it(browser: Browser, written: Written) -> None:
    with opened(browser, written.pages[LATER]) as watched:
        expect(watched.page.locator("#rows td.rank").first).to_contain_text("week 2")


def test_what_calls_were_worth_is_said_or_the_date_from_which_it_can_be(settings: Settings, written: Written) -> None:
    known_on = TINY_BEFORE + timedelta(weeks=13)
    page = written.pages[LATER].read_text(encoding="utf-8")
    assert f"The first call list was made for {TINY_BEFORE}" in page and f"is known on {known_on}." in page
    with (
        duckdb.connect(str(settings.published_database), read_only=True) as published,
        duckdb.connect(str(settings.warehouse)) as con,
    ):
        con.execute("begin")
        con.execute(
            f"""
            insert into monitoring.saves by name
            select date '{LATER}' as assessed_on, date '{NO_LIST}' as predicted_on, 40 as touched, 30.0 as expected_to_stay, 25.0 as expected_low,
                   34.0 as expected_high, 33 as stayed, 1 as left_the_book, 2e6 as revenue, 5e5 as revenue_expected_to_leave,
                   1e5 as revenue_expected_low, 9e5 as revenue_expected_high, 2e5 as revenue_left
            """
        )
        told = words.worth(read_week(published, con, LATER))
        assert words.worth(read_week(published, con, TINY_BEFORE))[0].startswith("The first call list"), (
            "not known then"
        )
        con.execute("rollback")
    assert "40 customers with $2.00M a year were called. $500K was expected to leave" in told[0]
    assert "$200K left: $300K less than that. 33 stayed, 30 were expected to." in told[0]


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
        mondays = watched.page.locator("tbody th a").all_text_contents()
        assert mondays == [str(LATER), str(TINY_BEFORE), str(NO_LIST)]
        # Nothing is there of what was not made: no list, and no growth without a model.
        assert watched.page.locator("tbody tr").last.locator("td").all_inner_texts()[-3:] == [
            "\N{EN DASH}",
            "\N{EN DASH}",
            "",
        ]
        watched.page.get_by_role("link", name=str(LATER), exact=True).click()
        watched.page.get_by_role("link", name="All weeks").click()
        expect(watched.page.get_by_role("heading", name="Weekly reports")).to_be_visible()


def test_the_index_of_one_monday_compares_nothing(settings: Settings) -> None:
    with duckdb.connect(str(settings.published_database), read_only=True) as published:
        week = totals(published)[1]
    page = rendering.render_index([week], [week.snapshot_date])
    assert "This is the first Monday." in page and "Change</th>" not in page and 'class="bar"' not in page


def test_what_is_printed_is_the_figures_and_the_calls_on_four_white_pages_that_say_confidential(
    browser: Browser, written: Written
) -> None:
    with opened(browser, written.pages[LATER], color_scheme="dark") as watched:
        page = watched.page
        page.wait_for_selector("html[data-drawn]", state="attached")
        page.locator("#show").select_option("all")
        expect(page.locator("#rows tr")).to_have_count(100)
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.evaluate(
            "addEventListener('beforeprint', () => (window.printed = document.querySelectorAll('#rows tr').length))"
        )
        # With names of 300 characters, notices and a replay's.
        assert 2 <= printed_pages(page) <= 4
        assert page.evaluate("window.printed") == rendering.PRINTED_ROWS
        expect(page.locator("#rows tr")).to_have_count(100)
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)" != dark
        expect(page.locator("#search")).to_be_hidden()
        expect(page.locator("#health")).to_be_hidden()
        expect(page.locator("header .confidential").first).to_be_visible()
        drawn = page.locator("#chart-steps svg").bounding_box()
        assert drawn and drawn["width"] > 200 and drawn["height"] > 100
        page.emulate_media(media="null")
        page.locator("#show").select_option("list")
        choose_nth(page, 1)
        assert printed_pages(page) <= 4
    assert '@bottom-left { content: "Confidential' in written.pages[LATER].read_text(encoding="utf-8")


def test_no_reason_instruction_or_notice_is_cut_off(browser: Browser, written: Written) -> None:
    cut = """places => [...document.querySelectorAll(places)]
        .filter(place => place.scrollHeight > place.clientHeight + 2 && place.clientHeight).map(place => place.textContent)"""
    places = (
        "#rows .reason > *, #rows .action > *, #rows .sub, #movers td:last-child > *, #notices span, #why li, #talk dd"
    )
    for day in (TINY_BEFORE, LATER):
        for width, medium in ((1280, "screen"), (390, "screen"), (1032, "print")):
            with opened(browser, written.pages[day], viewport={"width": width, "height": 800}) as watched:
                watched.page.wait_for_selector("html[data-drawn]", state="attached")
                watched.page.emulate_media(media=medium)
                assert watched.page.evaluate(cut, places) == [], (day, width, medium)
                # Without columns for them a line says why and what to do all the same.
                beneath = watched.page.locator("#rows tr").nth(1).locator(".sub.narrow.do")
                assert beneath.is_visible() == (width == 390)


def test_everything_has_a_name_and_every_chart_a_table(desk: Watched) -> None:
    page = desk.page
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, a, [role=img]')].filter(one => !(one.labels?.length || "
        "one.textContent.trim() || one.getAttribute('aria-label'))).map(one => one.id || one.outerHTML)"
    )
    assert unnamed == []
    assert page.locator("[role=img]").count() == page.locator("figure:has([role=img]):has(table)").count() >= 4
    ids = re.findall(r'(?<!-)\bid="([^"]+)"', page.content())
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
