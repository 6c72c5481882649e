"""Briefs that the run of a Monday prepares: real assets on a published home, an endpoint on loopback that fails for real, and the list out
whatever becomes of them."""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.run_state import claim
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.customers.briefs.desk import Desk
from churn_pipeline.customers.briefs.model import WATERMARK, Audience
from churn_pipeline.delivery.briefs import store
from churn_pipeline.delivery.report.channel import REPORT
from churn_pipeline.delivery.report.write import page_of
from churn_pipeline.orchestration.definitions import JOB, build_defs
from churn_pipeline.orchestration.failures import problems
from churn_pipeline.orchestration.keys import BRIEFS, DIGEST, PUBLISHED, channel_key
from tests.conftest import TINY_BEFORE
from tests.support.chat_server import MODEL, ChatServer, hang_up, slow
from tests.support.homes import at_noon_of, copy_of, query
from tests.support.slack_server import CHANNEL, TOKEN, SlackServer

DELIVERY = (PUBLISHED, channel_key(REPORT), DIGEST, BRIEFS)
SERVED = "https://churn.example.com/report"


@pytest.fixture(scope="module")
def published(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home on the Monday that it has published."""
    return at_noon_of(copy_of(tiny_home, tmp_path_factory.mktemp("briefs") / "home"), TINY_BEFORE)


@pytest.fixture
def settings(published: Settings, slack: SlackServer) -> Settings:
    """The same, with a Slack of its own; nothing was said yet, and no brief is there."""
    for folder in (published.outbox, store.folder_of(published, TINY_BEFORE).parent):
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    changes = {"slack_token": SecretStr(TOKEN), "slack_channel": CHANNEL, "slack_api": slack.api, "report_url": SERVED}
    return published.model_copy(update=changes)


def run(settings: Settings, *keys: dg.AssetKey, **changes: Any) -> dg.ExecuteInProcessResult:
    """Assets of the Monday, in the order in which its run makes them."""
    tags = changes.pop("tags", {})
    monday = changes.pop("monday", TINY_BEFORE)
    run_id = str(uuid.uuid4())
    with connect(settings) as con:
        # As of the run that scored: nobody else publishes.
        claim(con, "scores", run_id)
    with dg.DagsterInstance.ephemeral() as instance:
        return (
            build_defs(settings.model_copy(update=changes))
            .resolve_job_def(JOB)
            .execute_in_process(
                partition_key=str(monday),
                asset_selection=list(keys),
                instance=instance,
                raise_on_error=False,
                tags=tags,
                run_id=run_id,
            )
        )


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(BRIEFS.to_user_string())
    return {name: value.value for name, value in event.metadata.items()}


def candidates(settings: Settings, count: int) -> list[str]:
    rows = query(
        settings.published_database,
        "select customer_id from predictions where is_expansion_candidate and snoozed_until is null and not is_holdout "
        f"order by expansion_rank limit {count}",
    )
    assert len(rows) == count
    return [customer_id for (customer_id,) in rows]


def document(settings: Settings) -> dict[str, Any]:
    read = store.read(settings, TINY_BEFORE)
    assert read is not None
    return read


def all_briefs(settings: Settings) -> list[dict[str, Any]]:
    return [brief for candidate in document(settings)["candidates"] for brief in candidate["briefs"]]


def assert_the_list_is_out(settings: Settings, slack: SlackServer, result: dg.ExecuteInProcessResult) -> None:
    made = {event.asset_key for event in result.get_asset_materialization_events()}
    assert {PUBLISHED, channel_key(REPORT), DIGEST} <= made
    assert page_of(settings, TINY_BEFORE).is_file()
    assert "a year at risk" in slack.messages[0]["text"]


def test_no_brief_is_prepared_and_nothing_is_loaded_for_one_unless_it_is_asked_for(
    settings: Settings, slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "churn_pipeline.customers.briefs.prepare", raising=False)
    result = run(settings, *DELIVERY)
    assert result.success
    assert metadata(result) == {"briefs": "none are prepared: CHURN_BRIEF_PREPARE is 0"}
    assert store.mondays(settings) == []
    assert "churn_pipeline.customers.briefs.prepare" not in sys.modules
    assert "briefs/" not in page_of(settings, TINY_BEFORE).read_text(encoding="utf-8")
    assert not [message for message in slack.messages if "brief" in message["text"]]


@pytest.mark.parametrize(
    "other",
    [
        {"monday": TINY_BEFORE - timedelta(days=7)},
        {"tags": {"dagster/backfill": "abc"}},
        {"tags": {"churn/quiet": "true"}},
    ],
    ids=["a past Monday", "a backfill", "a quiet run"],
)
def test_none_is_prepared_but_by_a_run_of_this_monday_alone(settings: Settings, other: dict[str, Any]) -> None:
    result = run(settings, BRIEFS, brief_prepare=3, **other)
    assert result.success
    assert metadata(result) == {"briefs": "none are prepared: only a run of this Monday alone does"}
    assert store.mondays(settings) == []


def test_the_first_candidates_have_briefs_that_report_and_slack_lead_to(settings: Settings, slack: SlackServer) -> None:
    result = run(settings, *DELIVERY, brief_prepare=12)
    assert result.success
    assert_the_list_is_out(settings, slack, result)
    first = candidates(settings, 12)
    assert store.customers_of(settings, TINY_BEFORE) == first
    briefs = all_briefs(settings)
    assert {brief["watermark"] for brief in briefs} == {WATERMARK}
    assert {brief["audience"] for brief in briefs} == {str(audience) for audience in Audience}
    assert all(("email" in brief["parts"]) == (brief["kind"] == "tactical") for brief in briefs)
    facts = metadata(result)
    assert (facts["customers"], facts["briefs"]) == (12, len(briefs))
    assert facts["page"] == str(store.folder_of(settings, TINY_BEFORE) / "index.html")

    # Every link of the report leads to the customer's place on the page, below the address that Slack's leads to.
    links = re.findall(r'href="(briefs/[^"#]+)#([^"]+)"', page_of(settings, TINY_BEFORE).read_text(encoding="utf-8"))
    target = page_of(settings, TINY_BEFORE).parent / links[0][0]
    places = re.findall(r' id="(customer=[^"]+)"', target.read_text(encoding="utf-8"))
    assert [place for _, place in links] == places == [store.anchor(customer_id) for customer_id in first]
    note = slack.messages[-1]
    assert note["text"].startswith(
        f"Expansion briefs for the first 12 candidates, Monday {TINY_BEFORE}: {len(briefs)} briefs"
    )
    assert note["thread_ts"]
    (address,) = re.findall(rf'"url": ?"{SERVED}/([^"]+)"', json_text(note["blocks"]))
    assert page_of(settings, TINY_BEFORE).parent / address == target

    # Run again with fewer: they take the place of the others, everywhere, and nobody is told twice.
    told = len(slack.messages)
    assert run(settings, BRIEFS, brief_prepare=3).success
    assert store.customers_of(settings, TINY_BEFORE) == first[:3]
    page = page_of(settings, TINY_BEFORE).read_text(encoding="utf-8")
    assert re.findall(r'href="briefs/[^"#]+#([^"]+)"', page) == [store.anchor(customer_id) for customer_id in first[:3]]
    assert len(slack.messages) == told


@pytest.mark.parametrize(
    ("way", "why"),
    [
        (slow(60), "did not answer within 0.3 s"),
        (hang_up, "cannot be reached or broke off"),
    ],
    ids=["hangs", "dies"],
)
def test_an_endpoint_that_fails_keeps_nothing_back_and_the_template_writes(
    settings: Settings, slack: SlackServer, way: Callable[..., None], why: str
) -> None:
    with ChatServer(ways=deque([way] * 50)) as endpoint:
        result = run(
            settings,
            *DELIVERY,
            brief_prepare=10,
            brief_url=endpoint.url,
            brief_model=MODEL,
            brief_timeout_seconds=0.3,
            brief_attempts=0,
        )
    assert result.success, problems(result.all_events)
    assert_the_list_is_out(settings, slack, result)
    assert endpoint.asked, "the endpoint was asked for real"
    due = [brief for brief in all_briefs(settings) if brief["kind"] != "not_ready"]
    assert {brief["provider"] for brief in due} == {"template"}
    assert why in due[0]["note"]
    assert len(store.customers_of(settings, TINY_BEFORE)) == 10


def test_a_brief_that_breaks_is_told_in_red_and_the_list_and_the_other_briefs_are_out(
    settings: Settings, slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = candidates(settings, 3)[1]
    write = Desk.write

    def breaks(desk: Desk, profile: Any, audience: Audience, email: bool = False) -> Any:
        if profile.customer.customer_id == broken:
            raise KeyError("a fault of ours")
        return write(desk, profile, audience, email)

    monkeypatch.setattr(Desk, "write", breaks)
    result = run(settings, *DELIVERY, brief_prepare=3)
    assert not result.success
    assert_the_list_is_out(settings, slack, result)
    (problem,) = problems(result.all_events)
    assert (problem.exit_code, problem.subject) == (1, BRIEFS.to_user_string())
    assert problem.what.startswith(
        "1 of 3 candidates got no brief: stopped by an error that it does not expect (KeyError). Details: "
    )
    details = Path(problem.what.split("Details: ")[1].split(" (they")[0])
    assert "a fault of ours" in details.read_text(encoding="utf-8")
    assert store.customers_of(settings, TINY_BEFORE) == [who for who in candidates(settings, 3) if who != broken]
    assert "for 2 of the first 3 candidates" in slack.messages[-1]["text"]

    # Where all of them break, what was prepared before stays.
    before = (store.folder_of(settings, TINY_BEFORE) / store.DOCUMENT).read_bytes()
    monkeypatch.setattr(Desk, "write", lambda *_: json.loads("{"))
    assert not run(settings, BRIEFS, brief_prepare=3).success
    assert (store.folder_of(settings, TINY_BEFORE) / store.DOCUMENT).read_bytes() == before
