"""What is said, and that nobody's text can make Slack do anything but show it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_pipeline.core.formatting import clean, mrkdwn
from churn_pipeline.core.notices import KINDS, Notice
from churn_pipeline.delivery.digest import (
    ALERT_KINDS,
    Alert,
    BriefsReady,
    CustomerLine,
    Digest,
    ExpansionLine,
    Link,
    ModelHealth,
    MoverLine,
    OwnerList,
    TierCount,
)
from churn_pipeline.delivery.slack.blocks import (
    MAX_BLOCKS,
    MAX_FALLBACK,
    MAX_HEADER,
    MAX_MESSAGE,
    MAX_OWNERS,
    MAX_TEXT,
    Message,
    alert_message,
    briefs_message,
    digest_message,
    owner_messages,
    recovery_message,
    sample_digest,
)
from tests.support.policy import SHIPPED, TIERS
from tests.support.slack_server import _refused

MONDAY = date(2026, 11, 16)
NASTY = [
    "<!channel>", "<!everyone> & <@U123>", "`rm -rf`", "*bold* _it_ ~gone~", "a\nb\r\nc\u2028d", "\u202egnp.exe", "\x00\x1b[31m", "\ud800",
    "x" * 4_000, "&amp;" * 900, '"' * 4_000, "\\" * 4_000, "😀" * 4_000, "", "   ", "\u200b", "\ufffe", "<https://evil.example|bank>", ":tada:",
]  # fmt: skip
anybody = st.one_of(st.sampled_from(NASTY), st.text(st.characters(), max_size=200))
money = st.floats(-1e12, 1e12, allow_nan=False)
share = st.floats(0, 1)
tier = st.sampled_from(TIERS) | anybody
customer_lines = st.builds(
    CustomerLine, st.none() | st.integers(1, 10**6), st.none() | anybody, anybody, st.none() | anybody, st.none() | anybody, st.none() | money, st.none() | money, share,
    st.none() | st.floats(-1, 1), tier, st.none() | tier, st.lists(anybody, max_size=4).map(tuple), anybody, st.none() | anybody,
)  # fmt: skip
many_lines = st.lists(customer_lines, max_size=30).map(tuple)
counts = st.integers(0, 10**7)
expansions = st.builds(
    ExpansionLine, anybody, st.none() | anybody, st.none() | anybody, st.none() | anybody, share, money, st.none() | anybody,
    st.lists(anybody, max_size=2).map(tuple),
)  # fmt: skip
movers = st.builds(MoverLine, anybody, st.none() | anybody, money, money, anybody, money)
models = st.builds(ModelHealth, anybody, anybody, st.dates(date(2020, 1, 1), MONDAY), st.none() | share, st.none() | share, st.none() | share)  # fmt: skip
links = st.lists(
    st.builds(Link, anybody, anybody | anybody.map(lambda text: f"https://example.com/{text}")), max_size=8
).map(tuple)
digests = st.builds(
    Digest,
    snapshot_date=st.just(MONDAY),
    compared_with=st.sampled_from([None, MONDAY - timedelta(days=7)]),
    tiers=st.lists(
        st.builds(TierCount, tier, counts, money, st.integers(-(10**7), 10**7), money), min_size=4, max_size=4
    ).map(tuple),
    calls=many_lines,
    top_tier=tier,
    former_top_tier=tier,
    urgent_tiers=st.lists(tier, max_size=3).map(tuple),
    into_top=many_lines,
    into_top_count=counts,
    left_top=counts,
    gone_top=counts,
    expansion=st.lists(expansions, max_size=8).map(tuple),
    expansion_candidates=counts,
    expansion_ready=counts,
    expansion_uplift=money,
    health=st.lists(models, max_size=4).map(tuple),
    model_changed=st.booleans(),
    policy_changed=st.booleans(),
    owners=st.lists(st.builds(OwnerList, st.none() | anybody, counts, counts, money, many_lines), max_size=3).map(
        tuple
    ),
    notes=st.lists(anybody, max_size=8).map(tuple),
    links=links,
    notices=st.lists(st.builds(Notice, st.sampled_from(KINDS), anybody, anybody), max_size=8).map(tuple),
    on_call_list=counts,
    written_to=counts,
    movers=st.lists(movers, max_size=8).map(tuple),
    report=st.sampled_from([None, "https://churn.example.com/report/2026-11-16.html"]),
)
alerts = st.builds(
    Alert, st.sampled_from(ALERT_KINDS), st.just(MONDAY), anybody, anybody, st.just(datetime(2026, 11, 16, 8, 4, tzinfo=UTC)),
    st.lists(anybody, max_size=40).map(tuple), st.none() | anybody, links,
)  # fmt: skip


@settings(max_examples=120)
@given(digests, st.booleans())
def test_whatever_a_digest_holds_slack_takes_it_and_reads_no_markup_in_it(digest: Digest, threaded: bool) -> None:
    for message in (digest_message(digest, threaded), *(message for _, message in owner_messages(digest))):
        assert_safe(message)


@settings(max_examples=150)
@given(alerts)
def test_whatever_an_alert_holds_slack_takes_it_and_reads_no_markup_in_it(alert: Alert) -> None:
    assert_safe(alert_message(alert))
    assert_safe(recovery_message(alert.what, alert.at, alert.at + timedelta(minutes=61)))


@given(
    st.builds(
        BriefsReady,
        st.just(MONDAY),
        counts,
        counts,
        counts,
        counts,
        counts,
        st.just("AI-generated."),
        st.none() | anybody.map(lambda text: f"https://example.com/{text}"),
        anybody,
    )
)
def test_wherever_briefs_lie_slack_takes_the_note_of_them_and_reads_no_markup_in_it(ready: BriefsReady) -> None:
    assert_safe(briefs_message(ready))


@pytest.mark.parametrize("text", ['"' * 4_000, "\\" * 4_000, "&" * 4_000, "😀" * 4_000])
def test_text_that_is_long_everywhere_still_makes_messages_that_slack_takes(text: str) -> None:
    line = CustomerLine(10**6, text, text, text, text, 1e12, 1e12, 1, -1, text, text, (text,) * 4, text, text)
    mover = MoverLine(text, text, -1e12, 1e12, text, -1e12)
    grower = ExpansionLine(text, text, text, text, 1, 1e12, text, (text,) * 4)
    health = (ModelHealth(text, text, date(2001, 1, 1), 0.5, 0.5, 0.5),) * 5
    given_links = (Link(text, text), Link(text, "https://example.com/" + "a" * 500), Link(text, "https://example.com/"))
    digest = Digest(
        MONDAY, MONDAY - timedelta(days=7), (TierCount(text, 10**7, 1e12, -(10**7), -1e12),) * 6, text, text, (text,) * 3,
        (line,) * 50, (line,) * 50, 10**7, 10**7, 10**7, (grower,) * 50, 10**7, 10**7, 1e12, health, True, True,
        (OwnerList(text, 10**7, 10**7, 1e12, (line,) * 50),) * 50, (text,) * 9, given_links, (Notice("feed", text, text),) * 9,
        10**7, 10**7, (mover,) * 50, (), "https://churn.example.com/" + "r" * 200,
    )  # fmt: skip
    for message in (
        digest_message(digest, True),
        digest_message(digest, False),
        # All fifty owners are the same one.
        *(m for _, m in owner_messages(replace(digest, owners=digest.owners[:1]))),
    ):
        assert_safe(message)
    assert_safe(
        alert_message(Alert("drift", MONDAY, text, text, datetime(2026, 11, 16), (text,) * 50, text, given_links))
    )


@given(st.text(), st.integers(1, 300))
def test_escaped_text_has_no_bare_sign_of_markup_and_no_entity_cut_in_half(text: str, limit: int) -> None:
    escaped = mrkdwn(text, limit)
    assert len(escaped) <= limit
    assert not re.search(r"[<>]|&(?!(amp|lt|gt);)", escaped)


def test_a_text_that_fits_is_escaped_whole_and_a_longer_one_ends_in_an_ellipsis() -> None:
    assert mrkdwn("<!channel> & co", 100) == "&lt;!channel&gt; &amp; co"
    assert mrkdwn("ab&cd", 9) == "ab&amp;cd"
    assert mrkdwn("ab&cd", 8) == "ab&amp;…"
    assert mrkdwn("ab&cd", 7) == "ab…"


@given(st.text(st.characters()), st.integers(1, 300))
def test_cleaned_text_is_one_visible_line_that_any_file_takes(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert 0 < len(cleaned) <= limit
    assert cleaned == cleaned.strip()
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", cleaned)
    cleaned.encode()


def test_names_in_other_scripts_stay_as_they_are() -> None:
    for name in ("Müller & Söhne", "株式会社サンプル", "می‌خواهم", "👩‍🚀 Space", "Ольга"):
        assert clean(name, 60) == name


def test_a_customer_of_4000_characters_is_cut_with_an_ellipsis_and_keeps_its_identifier() -> None:
    digest = sample_digest(MONDAY, SHIPPED)
    line = replace(digest.calls[0], company_name="N" * 4_000, customer_id="C0000007")
    shown = texts(digest_message(replace(digest, calls=(line,)), True))
    assert "N" * 59 + "…" in shown
    assert " C0000007" in shown


def test_a_name_that_pings_everybody_is_shown_letter_by_letter() -> None:
    digest = sample_digest(MONDAY, SHIPPED)
    line = replace(digest.calls[0], company_name="<!channel> *now* `x`")
    message = digest_message(replace(digest, calls=(line,)), True)
    assert {"type": "text", "text": "<!channel> *now* `x`", "style": {"bold": True}} in list(walk(message.blocks))
    assert '"mrkdwn"' not in message.builder_json()


def test_where_no_revenue_is_known_the_digest_says_so_and_names_no_dollars() -> None:
    digest = replace(sample_digest(MONDAY, SHIPPED), has_money=False, movers=())
    text = "\n".join(texts(digest_message(digest, True)))
    for _, message in owner_messages(digest):
        text += "\n".join(texts(message))
    assert "What customers pay is not on file." in text and not re.search(r"\$\d", text)


def test_the_digest_says_the_money_first_then_whom_to_call_then_who_is_ready_to_grow() -> None:
    text = "\n".join(texts(digest_message(sample_digest(MONDAY, SHIPPED), True)))
    order = [
        text.index(part)
        for part in (
            "$231K a year at risk (+$56K)",
            "2 customers are CRITICAL or HIGH",
            "Call first",
            "2 more customers are CRITICAL or HIGH and not on the list",
            "Biggest movers of the week",
            "Moved into CRITICAL: 1",
            "Expansion: 1 candidate",
        )
    ]
    assert order == sorted(order)
    assert "81% CRITICAL (+14 points, was HIGH)" in text


def test_a_line_says_why_somebody_is_called_the_main_reason_and_what_to_do_and_names_no_play() -> None:
    digest = sample_digest(MONDAY, SHIPPED)
    long = "Call this week: agree the next step. " + "Then write down who does what by when, for every open point. " * 4
    line = replace(digest.calls[0], reasons=("First reason", "Second reason"), recommended_action=long)
    (text,) = (text for text in texts(digest_message(replace(digest, calls=(line,)), True)) if "First reason" in text)
    assert text == (
        "\nFirst reason\nCall this week: agree the next step. Then write down who does what by when, for every open point."
    )
    assert any("was HIGH) · Renewal ahead" in text for text in texts(digest_message(digest, True)))


def test_a_mover_is_told_in_dollars_with_the_largest_part_of_the_change() -> None:
    shown = texts(digest_message(sample_digest(MONDAY, SHIPPED), True))
    assert " · up $16K to $96K at risk, largest part: Usage (+$12K)" in shown


def test_customers_lead_to_the_report_where_its_address_is_given_and_an_id_cannot_leave_it() -> None:
    digest = sample_digest(MONDAY, SHIPPED)
    address = "https://churn.example.com/report/2026-11-16.html"
    odd = replace(digest.calls[0], customer_id="a/../b?c=1&d#e ü")
    message = digest_message(replace(digest, calls=(odd,), report=address), True)
    links = {item["text"]: item["url"] for item in walk(message.blocks) if item.get("type") == "link"}
    assert links["Example & Sons"] in (
        f"{address}#customer=a%2F..%2Fb%3Fc%3D1%26d%23e%20%C3%BC",
        f"{address}#customer=SAMPLE-1",
    )
    assert f"{address}#customer=a%2F..%2Fb%3Fc%3D1%26d%23e%20%C3%BC" in json.dumps(message.blocks)
    assert links["report"] == address
    without = digest_message(digest, True)
    assert not any(item.get("type") == "link" for item in walk(without.blocks))


def test_an_owner_is_mentioned_where_a_member_is_known_and_named_where_not() -> None:
    digest = sample_digest(MONDAY, SHIPPED)
    first, second, *_ = digest.calls
    digest = replace(
        digest,
        calls=(replace(first, csm_owner="Ann"), replace(second, csm_owner="<@U0000001>")),
        owners=(OwnerList("Ann", 3, 1, 9_000, (first,), 1), OwnerList("Bo", 3, 1, 9_000, (second,), 1)),
    )
    mentions = {"Ann": "U012AB3CD"}
    message = digest_message(digest, True, mentions)
    assert [item["user_id"] for item in walk(message.blocks) if item.get("type") == "user"] == ["U012AB3CD"]
    assert "<@U0000001>" in texts(message)
    (_, ann), (_, bo) = owner_messages(digest, mentions)
    assert [item["user_id"] for item in walk(ann.blocks) if item.get("type") == "user"] == ["U012AB3CD"]
    assert "Bo" in texts(bo) and not any(item.get("type") == "user" for item in walk(bo.blocks))
    assert ann.text.startswith("Ann: 1 to call this week")


def test_the_list_of_an_owner_is_numbered_as_the_whole_list_is() -> None:
    digest = sample_digest(MONDAY, SHIPPED)
    owner = OwnerList("Ann", 3, 1, 9_000, (digest.calls[0], digest.calls[2]), 5)
    ((_, message),) = owner_messages(replace(digest, owners=(owner,)))
    shown = texts(message)
    assert [text.split(" · ")[1] for text in shown if " · call " in text] == ["call 1", "call 3"]
    assert "and 3 more" in shown and 'churn show --week 2026-11-16 --owner "Ann" --top 5' in shown


def test_a_first_week_says_that_there_is_nothing_to_compare_with_and_shows_no_changes() -> None:
    digest = sample_digest(MONDAY, SHIPPED)
    tiers = tuple(replace(row, customers_change=None, revenue_change=None) for row in digest.tiers)
    text = "\n".join(texts(digest_message(replace(digest, compared_with=None, tiers=tiers, movers=()), True)))
    assert "No earlier Monday is published" in text
    assert "change" not in text
    assert "Moved into CRITICAL" not in text


def test_a_changed_model_is_named_as_a_reason_for_changes() -> None:
    assert any(
        "The model changed" in text
        for text in texts(digest_message(replace(sample_digest(MONDAY, SHIPPED), model_changed=True), True))
    )


def contexts(message: Message) -> list[str]:
    return [block["elements"][0]["text"] for block in message.blocks if block["type"] == "context"]


def test_what_was_found_out_is_a_line_each_up_to_a_limit_and_a_quiet_week_has_none() -> None:
    digest = sample_digest(MONDAY, SHIPPED)
    quiet = contexts(digest_message(digest, True))
    of_monday = tuple(Notice("bad_data", "customers", f"customers: {number} rows are left out") for number in range(9))
    few = contexts(digest_message(replace(digest, notices=of_monday[:4]), True))
    assert [line for line in few if line not in quiet] == [notice.sentence for notice in of_monday[:4]]
    many = contexts(digest_message(replace(digest, notices=of_monday), True))
    assert [line for line in many if line not in quiet] == [
        *(notice.sentence for notice in of_monday[:3]),
        "and 6 more: churn show --week 2026-11-16 --notices",
    ]


def test_what_the_list_is_ranked_by_is_the_first_line_of_the_message_whole_and_once() -> None:
    line = f"This list is ranked by <!channel> *{'x' * 250}*."
    notices = (Notice("ranking", "churn_90d", line), *(Notice("feed", "e", f"feed {number}") for number in range(4)))
    message = digest_message(replace(sample_digest(MONDAY, SHIPPED), notices=notices), True)
    assert message.blocks[0]["type"] == "header"
    (element,) = message.blocks[1]["elements"][0]["elements"]
    assert element["text"] == line
    assert sum(json.dumps(block).count("This list is ranked by") for block in message.blocks) == 1
    # It takes no line of what else there is to know.
    assert {f"feed {number}" for number in range(4)} <= set(contexts(message))
    assert_safe(message)


def test_a_model_without_figures_is_named_with_its_kind() -> None:
    health = (
        ModelHealth("churn_90d", "1", MONDAY, None, None, None, "base_rate"),
        ModelHealth("churn_30d", "2", MONDAY, None, None, None, "base_rate"),
        ModelHealth("expansion_90d", "3", MONDAY, 0.71, None, None, "logistic"),
    )
    message = digest_message(replace(sample_digest(MONDAY, SHIPPED), health=health), True)
    assert (
        "Model health: churn_90d v1 (base rate), trained 0 weeks ago; there are no figures of it (AUC of expansion_90d v3 (logistic "
        "regression) 0.71). No figures of churn_30d v2 (base rate)."
    ) in contexts(message)


def test_a_hostile_word_in_a_notice_is_shown_letter_by_letter() -> None:
    hostile = "events: type '<script>*_~`x`<!channel>&amp;[red]' is new"
    message = digest_message(
        replace(sample_digest(MONDAY, SHIPPED), notices=(Notice("feed", "events", hostile),)), True
    )
    assert hostile in contexts(message)
    assert_safe(message)
    assert "channel" not in message.text


def test_without_a_thread_the_digest_says_where_the_lists_are() -> None:
    digest = sample_digest(MONDAY, SHIPPED)
    digest = replace(digest, owners=(OwnerList("Ann", 3, 1, 9_000, digest.calls),))
    assert "churn show --week 2026-11-16 --owner NAME" in texts(digest_message(digest, False))
    assert any("in the thread" in text for text in texts(digest_message(digest, True)))


def test_more_owners_than_a_thread_bears_are_counted() -> None:
    digest = replace(
        sample_digest(MONDAY, SHIPPED),
        owners=tuple(OwnerList(f"o{n}", 1, 0, 1, ()) for n in range(MAX_OWNERS + 3)),
    )
    assert len(owner_messages(digest)) == MAX_OWNERS
    assert any("3 owners more" in text for text in texts(digest_message(digest, True)))


def test_a_list_that_does_not_fit_says_how_many_are_missing() -> None:
    digest = sample_digest(MONDAY, SHIPPED)
    line = replace(digest.calls[0], company_name="Ö" * 60, reasons=("r" * 120,) * 3)
    message = digest_message(replace(digest, calls=(line,) * 100), True)
    shown = sum(text == "Ö" * 60 for text in texts(message))
    assert 0 < shown < 100
    assert f"and {100 - shown:,} more" in texts(message)
    assert_safe(message)


def test_an_alert_names_kind_subject_monday_first_line_and_what_to_do() -> None:
    alert = Alert(
        "data_refused",
        MONDAY,
        "usage_events",
        "no column timestamp\nTraceback",
        datetime(2026, 11, 16, 8, 4, tzinfo=UTC),
        run_id="r1",
    )
    text = "\n".join(texts(alert_message(alert)))
    assert "Data refused: usage_events, Monday 2026-11-16" in text
    assert "no column timestamp Traceback" in text
    assert "churn run --week 2026-11-16" in text
    assert "2026-11-16 08:04 UTC · run r1" in text


def test_two_attempts_at_one_thing_have_one_cause() -> None:
    first = Alert("run_failed", MONDAY, "landing", "disk full", datetime(2026, 11, 16, 8, tzinfo=UTC), run_id="a")
    again = replace(first, what="disk still full", at=first.at + timedelta(hours=1), run_id="b")
    assert first.cause == again.cause != replace(first, subject="published").cause


def assert_safe(message: Message) -> None:
    assert _refused({"text": message.text, "blocks": list(message.blocks)}) == ""
    assert 0 < len(message.blocks) <= MAX_BLOCKS
    assert len(json.dumps(message.blocks, ensure_ascii=False)) <= MAX_MESSAGE
    assert 0 < len(message.text) <= MAX_FALLBACK
    assert not re.search(r"[<>]|&(?!(amp|lt|gt);)", message.text)
    for item in walk(message.blocks):
        assert item.get("type") != "mrkdwn"
        assert item.get("type") not in ("user", "usergroup", "channel", "broadcast")
        if "emoji" in item:
            assert item["emoji"] is False
        if item.get("type") == "header":
            assert len(item["text"]["text"]) <= MAX_HEADER
        if isinstance(item.get("text"), str):
            assert 0 < len(item["text"]) <= MAX_TEXT
            item["text"].encode()
    json.loads(message.builder_json())


def texts(message: Message) -> list[str]:
    return [item["text"] for item in walk(message.blocks) if isinstance(item.get("text"), str)]


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from walk(inner)
