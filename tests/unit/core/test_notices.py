"""What is said about a Monday: of which run, in which order, and how much of it a surface shows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import duckdb
import pytest

from churn_pipeline.core import notices
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.notices import Kind, Notice

MONDAY = date(2026, 11, 16)
LATER = MONDAY + WEEK


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


def notice(sentence: str, kind: Kind = "bad_data", source: str = "customers") -> Notice:
    return Notice(kind, source, f"{source}: {sentence}")


def record(con: duckdb.DuckDBPyConnection, found_by: str, *said: Notice, day: date = MONDAY, run: str = "run") -> None:
    notices.record(con, found_by, {day: said}, run_id=run)


def kept(con: duckdb.DuckDBPyConnection, day: date = MONDAY) -> list[tuple[str, str]]:
    return con.execute(
        "select source, sentence from ledger.notices where snapshot_date = ? order by position", [day]
    ).fetchall()


def test_what_the_list_is_ranked_by_and_bad_data_come_first_whoever_spoke_first(con: duckdb.DuckDBPyConnection) -> None:
    order = ("model", "expectation", "training", "level", "bad_data", "landing", "ranking", "feed")
    for kind in order:
        record(con, f"by {kind}", notice(kind, kind))
    notices.keep(con, [MONDAY])
    assert [sentence.removeprefix("customers: ") for _, sentence in kept(con)] == list(notices.KINDS)
    assert set(order) == set(notices.KINDS)


def test_what_is_found_again_takes_the_place_of_what_the_same_part_had_found(con: duckdb.DuckDBPyConnection) -> None:
    record(con, "quarantine", notice("a"), notice("b"))
    record(con, "feeds", notice("c", "feed"))
    record(con, "quarantine", notice("a"), day=LATER)
    record(con, "quarantine", notice("b"))
    notices.keep(con, [MONDAY, LATER])
    assert kept(con) == [("customers", "customers: b"), ("customers", "customers: c")]
    assert kept(con, LATER) == [("customers", "customers: a")]
    record(con, "quarantine")
    record(con, "feeds")
    notices.keep(con, [MONDAY])
    assert kept(con) == []


def test_a_run_that_did_not_publish_a_monday_leaves_its_list_the_notices_that_it_had(
    con: duckdb.DuckDBPyConnection,
) -> None:
    record(con, "quarantine", notice("of the published run"))
    notices.keep(con, [MONDAY])
    notices.begin(con, [MONDAY], "refused")
    record(con, "quarantine", notice("of the refused one"), run="refused")
    notices.keep(con, [LATER])
    assert kept(con) == [("customers", "customers: of the published run")]


def test_a_run_forgets_what_others_found_and_keeps_what_it_goes_on_from(con: duckdb.DuckDBPyConnection) -> None:
    record(con, "feeds", notice("a", "feed"))
    notices.begin(con, [MONDAY], "run")
    notices.keep(con, [MONDAY])
    assert kept(con) == [("customers", "customers: a")]
    notices.begin(con, [MONDAY], "another")
    notices.keep(con, [MONDAY])
    assert kept(con) == []


def test_what_a_training_said_on_its_monday_a_second_run_of_it_says_too(con: duckdb.DuckDBPyConnection) -> None:
    record(con, "trained churn_30d", notice("not trained on seats", "training", "churn_30d"))
    notices.begin(con, [MONDAY], "another")
    notices.keep(con, [MONDAY])
    assert kept(con) == [("churn_30d", "churn_30d: not trained on seats")]


def test_what_is_said_of_several_sources_in_the_same_words_is_said_once(con: duckdb.DuckDBPyConnection) -> None:
    for target in ("churn_30d", "churn_90d"):
        record(con, target, notice("no industry", "model", target), notice(f"only {target}", "model", target))
    record(con, "other", notice("no industry", "landing", "raw"))
    notices.keep(con, [MONDAY])
    assert kept(con) == [
        ("raw", "raw: no industry"),
        ("churn_30d, churn_90d", "churn_30d, churn_90d: no industry"),
        ("churn_30d", "churn_30d: only churn_30d"),
        ("churn_90d", "churn_90d: only churn_90d"),
    ]


def test_a_sentence_is_one_line_that_obeys_nobody_and_has_an_end(con: duckdb.DuckDBPyConnection) -> None:
    record(con, "feeds", notice("type 'a\x1b[2J\n\u202eb'", "feed"), notice("x" * 1_000, "feed"))
    notices.keep(con, [MONDAY])
    (_, first), (_, second) = kept(con)
    assert first == "customers: type 'a [2J b'"
    assert len(second) == 300 and second.endswith("…")


def test_a_surface_shows_the_first_and_says_where_the_others_are() -> None:
    of_monday = [notice(str(number)) for number in range(1_005)]
    assert notices.lines([], 3, MONDAY) == []
    assert notices.lines(of_monday[:3], 3, MONDAY) == ["customers: 0", "customers: 1", "customers: 2"]
    assert notices.lines(of_monday, 3, MONDAY) == [
        "customers: 0",
        "customers: 1",
        "and 1,003 more: churn show --week 2026-11-16 --notices",
    ]


def test_every_kind_has_a_line_before_one_has_two() -> None:
    of_monday = [
        *(notice(f"bad {number}") for number in range(9)),
        notice("stopped", "feed"),
        notice("fewer", "expectation"),
        notice("more", "expectation"),
    ]
    shown = [line.removeprefix("customers: ") for line in notices.lines(of_monday, 6, MONDAY)]
    assert shown == ["bad 0", "bad 1", "stopped", "fewer", "more", "and 7 more: churn show --week 2026-11-16 --notices"]


def test_a_copy_that_an_older_version_published_has_none(con: duckdb.DuckDBPyConnection) -> None:
    assert notices.published(con, MONDAY) == ()
    con.execute(
        "create table notices as select date '2026-11-16' as snapshot_date, 2 as position, 'feed' as kind, 's' as source, 'b' as sentence"
    )
    con.execute(
        "insert into notices values ('2026-11-16', 1, 'bad_data', 's', 'a'), ('2026-11-23', 1, 'feed', 's', 'c')"
    )
    assert notices.published(con, MONDAY) == (Notice("bad_data", "s", "a"), Notice("feed", "s", "b"))


def test_the_first_line_is_what_the_list_is_ranked_by_and_is_not_said_again_among_the_others() -> None:
    others = [notice("a"), notice("b", "feed")]
    ranking = notice("ranked by what they pay", "ranking")
    assert notices.first_line([others[0], ranking, others[1]]) == (ranking.sentence, others)
    assert notices.first_line(others) == (None, others)
