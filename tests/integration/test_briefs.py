"""Expansion briefs of a real home: from the command, by the template and by an endpoint on loopback; what leaves the machine, and the audit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from churn_pipeline.core.settings import Settings
from churn_pipeline.customers.briefs import audit
from churn_pipeline.customers.briefs.desk import Desk
from churn_pipeline.customers.briefs.model import WATERMARK, Audience, Brief, BriefKind, Part, Result
from churn_pipeline.customers.stores.published import Publication, PublishedMonday
from tests.support import chat_server
from tests.support.chat_server import KEY, MODEL, ChatServer
from tests.support.homes import copy_of, query
from tests.support.processes import churn


@pytest.fixture(scope="module")
def home(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home of this module that has scored a Monday."""
    return copy_of(tiny_home, tmp_path_factory.mktemp("briefs") / "home")


@pytest.fixture(scope="module")
def monday(home: Settings) -> Iterator[PublishedMonday]:
    with Publication.open(home, hold=False) as publication:
        yield publication.at()


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(key=KEY) as running:
        yield running


def with_endpoint(home: Settings, server: ChatServer, **more: Any) -> Settings:
    given = {"brief_url": server.url, "brief_model": MODEL, "brief_key": SecretStr(KEY), "brief_attempts": 0}
    return Settings(**home.model_dump(include=home.model_fields_set) | given | more)


def candidates(monday: PublishedMonday, readiness: str) -> list[str]:
    """Whoever may be sold to, the first of the ranking first."""
    with monday.publication.cursor() as cursor:
        rows = cursor.execute(
            "select customer_id from predictions where is_expansion_candidate and snoozed_until is null "
            "and not coalesce(is_holdout, false) and expansion_readiness = ? order by expansion_rank",
            [readiness],
        ).fetchall()
    return [customer_id for (customer_id,) in rows]


def write(
    settings: Settings, monday: PublishedMonday, customer_id: str, email: bool = True
) -> tuple[Brief, list[dict[str, Any]]]:
    """A brief, and the lines of the audit about it."""
    brief = Desk(settings, monday).write(monday.profile(customer_id), Audience.SALES, email)
    return brief, [entry for entry in audit.entries(settings) if entry["correlation_id"] == brief.correlation_id]


def test_the_command_prints_a_brief_by_id_and_by_name_with_its_watermark_and_who_wrote_it(
    home: Settings, monday: PublishedMonday
) -> None:
    names = [name for _, name, _ in monday.publication.names]
    customer_id, name = next(
        (customer_id, name)
        for customer_id in candidates(monday, "ready")
        if names.count(name := monday.row(customer_id)["company_name"]) == 1
    )
    printed = churn(home, "brief", name, "--email")
    assert printed.returncode == 0, printed.stderr
    for words in (
        f"{name}  {customer_id}   Monday {monday.snapshot_date}",
        f"Brief for the account executive. {WATERMARK}",
        "Why now\n",
        "Lead with\n",
        "Settle first\n",
        "Next step\n",
        "E-mail draft\n",
        "PASSED, 100% of what it says is founded.",
        "Written by the template; no language model was asked.",
    ):
        assert words in printed.stdout
    document = json.loads(churn(home, "brief", customer_id, "--for", "csm", "--json").stdout)
    assert (document["customer_id"], document["kind"], document["watermark"]) == (customer_id, "nurture", WATERMARK)
    assert set(document["parts"]) == {"why_now", "lead_with", "settle_first", "next_step"}


def test_who_is_no_candidate_ends_with_3_who_is_not_ready_with_0_and_what_nobody_can_mean_with_2(
    home: Settings, monday: PublishedMonday
) -> None:
    ((nobody_grows, highest),) = query(
        home.published_database,
        "select min(customer_id) filter (expansion_readiness = 'none'), min(customer_id) filter (expansion_readiness is null) "
        "from predictions",
    )
    for customer_id in (nobody_grows, highest):
        refused = churn(home, "brief", customer_id)
        assert (refused.returncode, refused.stdout) == (3, "")
        assert "there is no expansion brief of" in refused.stderr
    early = churn(home, "brief", candidates(monday, "not_ready")[0])
    assert early.returncode == 0
    assert "Not ready yet" in early.stdout
    for arguments in (("nobody-7",), (nobody_grows, "--for", "csm", "--email"), (nobody_grows, "--week", "2026-06-02")):
        assert churn(home, "brief", *arguments).returncode == 2


def test_no_name_id_or_owner_leaves_the_machine_and_no_key_is_kept(
    home: Settings, monday: PublishedMonday, server: ChatServer
) -> None:
    settings = with_endpoint(home, server)
    desk = Desk(settings, monday)
    ready = candidates(monday, "ready")
    briefs = [desk.write(monday.profile(customer_id), Audience.SALES, True) for customer_id in ready]
    assert len(server.asked) == len(ready) > 5
    rows = query(home.published_database, "select customer_id, company_name, csm_owner from customers")
    everybody = {word for row in rows for word in row if word}
    for customer_id, asked, brief in zip(ready, server.asked, briefs, strict=True):
        row = monday.row(customer_id)
        sent = asked.body.decode() + json.dumps(asked.headers)
        # Whole names of anybody, and every word of their own.
        own = {*row["company_name"].split(), *row["csm_owner"].split(), customer_id}
        assert {word for word in everybody | own if word in sent} == set()
        assert customer_id == brief.customer_id
    assert KEY not in json.dumps(audit.entries(settings))
    kept = subprocess.run(["grep", "-raFl", "-e", KEY, str(home.home)], capture_output=True, text=True, check=False)
    assert kept.stdout == ""


def test_a_brief_of_an_endpoint_says_so_and_the_audit_has_both_sides(
    home: Settings, monday: PublishedMonday, server: ChatServer
) -> None:
    customer_id = candidates(monday, "ready")[0]
    # What the template would write is founded, so it passes whoever sends it.
    server.ways.append(chat_server.good(template_text(home, monday, customer_id)))
    settings = with_endpoint(home, server)
    brief, (line,) = write(settings, monday, customer_id)
    assert (brief.result, brief.provider, brief.model, brief.note) == (Result.PASSED, "127.0.0.1", MODEL, None)
    company = monday.row(customer_id)["company_name"]
    assert company in brief.parts[Part.NEXT_STEP]
    assert line["sent"] == server.asked[0].document["messages"]
    assert json.loads(line["received"]) == line["text"]
    assert (line["attempts"], line["tokens"], line["is_shown"], line["result"]) == (1, 420, True, "PASSED")
    assert company not in json.dumps(line)


def template_text(home: Settings, monday: PublishedMonday, customer_id: str) -> str:
    _, (line,) = write(home, monday, customer_id)
    return json.dumps(line["text"])


@pytest.mark.parametrize(
    ("way", "note", "error"),
    [
        (
            chat_server.status(500, "overloaded"),
            "because 127.0.0.1 gave no text: it answers 500 (overloaded)",
            "it answers 500",
        ),
        (
            chat_server.good("no JSON"),
            "because 127.0.0.1 gave no text: its text is no JSON object",
            "its text is no JSON",
        ),
    ],
)
def test_when_an_endpoint_fails_the_template_writes_and_the_brief_and_the_audit_say_so(
    home: Settings, monday: PublishedMonday, server: ChatServer, way: chat_server.Way, note: str, error: str
) -> None:
    customer_id = candidates(monday, "ready")[0]
    server.ways.append(way)
    brief, (failed, shown) = write(with_endpoint(home, server), monday, customer_id)
    assert brief.provider == "template"
    assert brief.note is not None
    assert note in brief.note
    assert failed["error"].startswith(error)
    assert (failed["is_shown"], failed["provider"], failed["model"], failed["attempts"]) == (
        False,
        "127.0.0.1",
        MODEL,
        1,
    )
    assert failed["sent"] == server.asked[0].document["messages"]
    assert (shown["is_shown"], shown["provider"], shown["attempts"]) == (True, "template", 0)


def test_a_draft_that_the_guardrails_reject_is_kept_in_the_audit_and_shown_to_nobody(
    home: Settings, monday: PublishedMonday, server: ChatServer
) -> None:
    customer_id = candidates(monday, "ready")[0]
    texts = json.loads(template_text(home, monday, customer_id))
    wrong = texts | {
        "why_now": "Their propensity is 93 %, and their quantum_sync_rate and turbo_mode_usage rose by 71 %."
    }
    server.ways.append(chat_server.good(json.dumps(wrong)))
    brief, (rejected, shown) = write(with_endpoint(home, server), monday, customer_id)
    assert brief.provider == "template"
    assert "93" not in " ".join(brief.parts.values())
    assert (rejected["result"], rejected["is_shown"]) == ("REJECTED", False)
    assert "93 %" in rejected["text"]["why_now"]
    assert rejected["flags"]
    assert (shown["result"], shown["is_shown"]) == ("PASSED", True)


def test_whoever_is_not_ready_costs_no_call(home: Settings, monday: PublishedMonday, server: ChatServer) -> None:
    brief, (line,) = write(with_endpoint(home, server), monday, candidates(monday, "not_ready")[0])
    assert (brief.kind, server.asked) == (BriefKind.NOT_READY, [])
    assert (line["kind"], line["attempts"]) == ("not_ready", 0)


def test_template_asks_nobody_although_there_is_an_endpoint(
    home: Settings, monday: PublishedMonday, server: ChatServer
) -> None:
    settings = with_endpoint(home, server)
    profile = monday.profile(candidates(monday, "ready")[0])
    assert Desk(settings, monday, template=True).write(profile, Audience.SALES).provider == "template"
    assert server.asked == []
    now = Settings(**home.model_dump(include=home.model_fields_set) | {"now": datetime(2026, 6, 2, 9, 30, tzinfo=UTC)})
    assert Desk(now, monday).write(profile, Audience.SALES).written_at == datetime(2026, 6, 2, 9, 30)
