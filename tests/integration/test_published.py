"""What is published, as one state that never changes under whoever reads it: every number is the table's, wherever it is read."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.core.errors import ChurnError, InputError, LockedError, RefusedError
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.core.targets import in_reports, target_of
from churn_pipeline.customers.errors import ChurnedError, UnknownCustomerError
from churn_pipeline.customers.lists import Filters, ListRow
from churn_pipeline.customers.stores.published import Publication, PublishedMonday
from churn_pipeline.privacy import erase as erasing
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.homes import query

FIRST_HOME = REPOSITORY / "tests" / "data" / "first_home" / "home.tar.xz"


def only_published(settings: Settings, home: Path) -> Settings:
    """A home that holds a copy of what another one publishes, and nothing else."""
    copied = Settings(home=home)
    copied.published.mkdir(parents=True)
    shutil.copyfile(settings.published_database, copied.published_database)
    return copied


@pytest.fixture(scope="module")
def home(tiny_two_mondays: Settings) -> Settings:
    return tiny_two_mondays


@pytest.fixture(scope="module")
def publication(home: Settings) -> Iterator[Publication]:
    with Publication.open(home) as opened:
        yield opened


@pytest.fixture(scope="module")
def table(home: Settings) -> dict[str, dict[str, Any]]:
    """The newest Monday as the table has it, by customer."""
    with duckdb.connect(str(home.published_database), read_only=True) as con:
        cursor = con.execute("from predictions where snapshot_date = ?", [TINY_MONDAY])
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {row["customer_id"]: row for row in rows}


def test_every_number_of_a_prediction_is_the_one_of_the_table(
    publication: Publication, table: dict[str, dict[str, Any]]
) -> None:
    monday = publication.at()
    assert (publication.snapshot_dates, monday.snapshot_date) == ((TINY_BEFORE, TINY_MONDAY), TINY_MONDAY)
    churn = [target for target in in_reports() if target.event == target_of("risk").event]
    growth = target_of("expansion")
    for customer_id, row in table.items():
        prediction = monday.churn(customer_id)
        assert [(s.target, s.probability, s.model_version, s.model_kind) for s in prediction.scores] == [
            (t.name, row[t.probability_column], row[t.version_column], row[t.kind_column]) for t in churn
        ]
        for name in (
            "risk_tier", "previous_risk_tier", "probability_change", "is_flagged", "risk_score", "risk_score_tier", "annual_revenue",
            "revenue_at_risk", "priority_rank", "is_on_call_list", "call_rank", "call_reason", "play", "recommended_action", "scored_at",
        ):  # fmt: skip
            assert getattr(prediction, name) == row[name], name
        assert [vars(driver) for driver in prediction.churn_drivers] == row["churn_drivers"]
        assert prediction.churn_themes is not None
        assert [vars(t) | {"features": list(t.features)} for t in prediction.churn_themes] == row["churn_themes"]
        expansion = monday.expansion(customer_id)
        assert (expansion is None) == (row[growth.probability_column] is None)
        if expansion is not None:
            assert expansion.propensity == row[growth.probability_column]
            assert expansion.target_tier == row["target_tier"]
            assert expansion.expected_arr_uplift == row["expected_arr_uplift"]


def test_a_profile_joins_what_was_predicted_to_what_else_was_known(home: Settings, publication: Publication) -> None:
    weeks = query(
        home.published_database,
        f"""
        select customer_id, events_last_30d, open_tickets_of_any_age, renewal_date, latest_opportunity_date, latest_opportunity_stage,
               last_contact_date, last_contact_kind, usage_change_30d
        from customer_weeks where snapshot_date = date '{TINY_MONDAY}'
        """,
    )
    assert len(weeks) > 400
    for customer_id, events, tickets, renewal, opened, stage, contacted, kind, change in weeks:
        profile = publication.at().profile(customer_id)
        assert (profile.events_last_30d, profile.open_tickets, profile.renewal_date) == (events, tickets, renewal)
        opportunity, contact = profile.latest_opportunity, profile.last_contact
        assert (opportunity and (opportunity.created_date, opportunity.stage)) == (opened and (opened, stage))
        assert (contact and (contact.contacted_on, contact.kind)) == (contacted and (contacted, kind))
        assert profile.features["usage_change_30d"] == change
        assert not {"customer_id", "last_contact_date"} & profile.features.keys()
        assert profile.customer.signup_date == TINY_MONDAY - timedelta(days=profile.tenure_days)
        assert profile.history[0].snapshot_date == TINY_MONDAY
        assert (profile.history[0].probability, profile.churn.customer_id) == (profile.churn.probability, customer_id)
    assert any(len(publication.at().profile(week[0]).history) == 2 for week in weeks)


def test_memory_and_file_say_the_same_of_everybody(home: Settings, publication: Publication) -> None:
    with Publication.open(home, hold=False) as read:
        held, filed = publication.at(), read.at()
        assert held.rows() == filed.rows() != []
        for row in held.rows()[::5]:
            # repr tells -0.0 from 0.0, and writes a float with the fewest digits that give it back.
            assert repr(held.page(row.customer_id)) == repr(filed.page(row.customer_id))
            assert repr(held.profile(row.customer_id)) == repr(filed.profile(row.customer_id))
        with pytest.raises(UnknownCustomerError, match="'C-none'"):
            held.row("C-none")
        with pytest.raises(UnknownCustomerError, match="'C-none'"):
            filed.row("C-none")


def test_nobody_is_told_who_is_held_out(home: Settings, publication: Publication) -> None:
    (columns,) = zip(*query(home.published_database, "select column_name from (describe predictions)"), strict=True)
    assert {"is_holdout", "is_in_holdout_draw"} <= set(columns)
    page = publication.at().page(publication.at().rows(size=1)[0].customer_id)
    assert set(columns) - page.keys() == {"is_holdout", "is_in_holdout_draw"}


def test_whoever_was_not_there_on_a_monday_is_told_apart_from_whom_nobody_knows(
    home: Settings, publication: Publication
) -> None:
    ((gone,),) = query(
        home.published_database,
        f"select min(customer_id) from predictions where snapshot_date = '{TINY_BEFORE}' "
        f"and customer_id not in (select customer_id from predictions where snapshot_date = '{TINY_MONDAY}')",
    )
    with pytest.raises(
        ChurnedError, match=f"'{gone}' was not active on {TINY_MONDAY}; published from {TINY_BEFORE} to {TINY_BEFORE}"
    ):
        publication.at().churn(gone)
    assert publication.at(TINY_BEFORE).churn(gone).customer_id == gone
    with pytest.raises(UnknownCustomerError, match="no published week holds a customer 'C-none'"):
        publication.at().churn("C-none")
    never = TINY_MONDAY + timedelta(weeks=1)
    with pytest.raises(RefusedError, match=f"{never} is not published; the table holds 2 Mondays"):
        publication.at(never)


def test_a_closed_publication_keeps_nobody_in_memory(home: Settings) -> None:
    publication = Publication.open(home)
    monday = weakref.ref(publication.at())
    publication.at().rows(size=1)
    publication.close()
    # At once: a server takes what it opened out of the garbage collector's rounds.
    assert monday() is None


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "of something else"])
def test_a_published_database_that_cannot_be_read_is_named(home: Settings, tmp_path: Path, damage: str) -> None:
    settings = Settings(home=tmp_path / "home")
    path = settings.published_database
    path.parent.mkdir(parents=True)
    if damage == "of something else":
        duckdb.connect(str(path)).close()
    else:
        whole = home.published_database.read_bytes()
        path.write_bytes({"cut": whole[:100_000], "garbage": b"garbage " * 9_999, "empty": b""}[damage])
    with pytest.raises(ChurnError, match=f"^{path} cannot be read: it is damaged, or no published database"):
        Publication.open(settings)


@pytest.mark.parametrize("size", [1, 7, 200])
def test_pages_hold_everybody_once_in_the_order_of_the_list(publication: Publication, size: int) -> None:
    monday = publication.at()
    first = monday.rows(size=size * 3)
    pages = following(monday, Filters(), size, pages=3)
    assert [row for page in pages for row in page] == first
    assert [row.priority_rank for row in monday.rows()] == list(range(1, len(monday.rows()) + 1))


def following(monday: PublishedMonday, where: Filters, size: int, pages: int) -> list[list[ListRow]]:
    read: list[list[ListRow]] = []
    for _ in range(pages):
        read.append(monday.rows(where, after=read[-1][-1].priority_rank if read else 0, size=size))
    return read


def test_filters_mean_what_they_mean_in_a_shown_list(
    publication: Publication, table: dict[str, dict[str, Any]]
) -> None:
    monday = publication.at()
    owner, tier = monday.owners[0], monday.tiers[-1]
    expected = {
        Filters(owner=owner.upper()[:-1]): lambda row: row["csm_owner"] == owner,
        Filters(tier=tier.lower()): lambda row: row["risk_tier"] == tier,
        Filters(on_list=True): lambda row: row["is_on_call_list"],
        Filters(on_list=False): lambda row: not row["is_on_call_list"],
        Filters(candidates=True): lambda row: row["is_expansion_candidate"],
        Filters(owner=owner, on_list=True): lambda row: row["csm_owner"] == owner and row["is_on_call_list"],
    }
    for where, holds in expected.items():
        wanted = {customer_id for customer_id, row in table.items() if holds(row)}
        assert wanted
        assert {row.customer_id for row in monday.rows(where)} == wanted, where
    with pytest.raises(InputError, match=f"no customer of {TINY_MONDAY} belongs to 'Nobody'; owners are .*{owner}"):
        monday.rows(Filters(owner="Nobody"))
    with pytest.raises(InputError, match=f"no risk tier of {TINY_MONDAY} is called 'grave'; tiers are {tier}|.*{tier}"):
        monday.rows(Filters(tier="grave"))


def test_a_publication_stays_what_it_is_while_the_file_is_replaced_and_knows_that_it_is_no_longer_current(
    home: Settings, tmp_path: Path
) -> None:
    settings = only_published(home, tmp_path)
    with Publication.open(settings) as before, Publication.open(settings, hold=False) as beside:
        assert before.identity == beside.identity
        expected = {day: before.at(day).rows() for day in before.snapshot_dates}
        new = tmp_path / "new.duckdb"
        shutil.copyfile(settings.published_database, new)
        with duckdb.connect(str(new)) as con:
            con.execute("delete from predictions where priority_rank > 5")
        assert before.is_current()
        asked = [row.customer_id for row in expected[TINY_MONDAY]]

        def ask(customer_id: str) -> tuple[float, float]:
            return before.at().churn(customer_id).probability, beside.at().churn(customer_id).probability

        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(ask, asked[:200])
            new.replace(settings.published_database)
            assert [*answers] == [(row.probability, row.probability) for row in expected[TINY_MONDAY][:200]]
        assert not before.is_current()
        assert not beside.is_current()
        assert {day: beside.at(day).rows() for day in beside.snapshot_dates} == expected
        with Publication.open(settings) as after:
            assert after.is_current()
            assert after.identity != before.identity
            assert len(after.at().rows()) == 5
            with pytest.raises(
                ChurnedError
                if asked[10] in {row.customer_id for row in after.at(TINY_BEFORE).rows()}
                else UnknownCustomerError
            ):
                after.at().churn(asked[10])
        settings.published_database.unlink()
        assert not before.is_current()
        with pytest.raises(RefusedError, match="nothing has been published yet"):
            Publication.open(settings)


def test_a_file_that_a_tool_writes_in_is_refused_by_name(home: Settings, tmp_path: Path) -> None:
    settings = only_published(home, tmp_path)
    held = "import duckdb, sys\ncon = duckdb.connect(sys.argv[1])\nprint('open', flush=True)\nsys.stdin.readline()"
    command = [sys.executable, "-c", held, str(settings.published_database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tool:
        assert tool.stdout is not None
        assert tool.stdout.readline() == "open\n"
        with pytest.raises(LockedError, match="is being written to by another program"):
            Publication.open(settings)
        tool.communicate("\n")


def test_what_the_first_version_published_is_answered_with_none_where_it_knew_less(tmp_path: Path) -> None:
    with tarfile.open(FIRST_HOME) as archive:
        archive.extract("home/data/published/churn.duckdb", tmp_path, filter="data")
    settings = Settings(home=tmp_path / "home")
    for hold in (True, False):
        with Publication.open(settings, hold=hold) as publication:
            monday = publication.at()
            row = monday.rows(size=1)[0]
            assert (row.is_on_call_list, row.lifecycle, row.call_rank) == (False, None, None)
            profile = monday.profile(row.customer_id)
            assert profile.churn.probability == row.probability > 0
            assert profile.churn.churn_themes is None
            assert {score.model_kind for score in profile.churn.scores} == {None}
            assert len(profile.history) == 2
            assert (profile.open_tickets, profile.events_last_30d, profile.renewal_date) == (None, None, None)
            assert (profile.latest_opportunity, profile.last_contact, profile.features) == (None, None, {})
            page = monday.page(row.customer_id)
            assert page["open_tickets"] is None
            assert page["call_reason_label"] is None


def test_a_forgotten_customer_is_gone_at_once_although_readers_hold_what_was_published(tiny_copy: Settings) -> None:
    with Publication.open(tiny_copy) as publication:
        customer_id = publication.at().rows(size=1)[0].customer_id
        others = [replace(row) for row in publication.at().rows()[1:]]
        reader = (
            "import sys\n"
            "from churn_pipeline.core.settings import Settings\n"
            "from churn_pipeline.customers.stores.published import Publication\n"
            "publication = Publication.open(Settings(home=sys.argv[1]))\n"
            "print(publication.at().churn(sys.argv[2]).customer_id, flush=True)\n"
            "sys.stdin.readline()\n"
            "print(publication.is_current(), flush=True)\n"
        )
        command = [sys.executable, "-c", reader, str(tiny_copy.home), customer_id]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == f"{customer_id}\n"
            erasing.forget(tiny_copy, customer_id, reason="asked for", who="test")
            assert not publication.is_current()
            assert server.communicate("\n")[0] == "False\n"
    with Publication.open(tiny_copy) as after:
        assert after.at().rows() == others
        with pytest.raises(UnknownCustomerError, match="no published week holds"):
            after.at().profile(customer_id)
