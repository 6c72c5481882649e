"""The API on real servers and real published databases, asked over loopback: what it answers, whom, and from which publication."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import duckdb
import pytest
from typer.testing import CliRunner

from churn_pipeline.api.problems import KINDS
from churn_pipeline.api.publications import LOOK_SECONDS, Publications
from churn_pipeline.cli.commands import app
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.core.targets import in_reports, target_of
from churn_pipeline.customers.stores.published import Publication, PublishedMonday
from churn_pipeline.privacy import erase as erasing
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.api import api, publish_again, published_of
from tests.support.processes import BIN, environment, wait_for
from tests.support.web import Answer, Page, port_of

RISK = target_of("risk").probability_column
TOKENS = {"ada": "a-token-of-ada-0123", "bo": "a-token-of-bo-45678"}
ADA = {"Authorization": f"Bearer {TOKENS['ada']}"}


@pytest.fixture(scope="module")
def home(tiny_two_mondays: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """What is published of two Mondays. Nobody writes in it."""
    return published_of(tiny_two_mondays, tmp_path_factory.mktemp("api") / "home", api_rate=0)


@pytest.fixture(scope="module")
def page(home: Settings) -> Iterator[Page]:
    """The API without tokens and without a limit."""
    with api(home) as running:
        yield running


@pytest.fixture
def own(tiny_two_mondays: Settings, tmp_path: Path) -> Settings:
    """What is published, to be replaced."""
    return published_of(tiny_two_mondays, tmp_path / "home", api_rate=0)


def told(answer: Answer, status: int = 200) -> Any:
    """What an answer holds."""
    assert answer.status == status, answer.body
    return json.loads(answer.body)


def problem(answer: Answer, status: int, name: str) -> dict[str, Any]:
    """A problem, held to the form that all have."""
    body = told(answer, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    (kind,) = [kind for kind in KINDS if kind.name == name]
    assert body.keys() - {"errors"} == {"type", "title", "status", "detail", "instance"}
    assert (body["type"], body["title"], body["status"]) == (kind.type, kind.title, status)
    assert body["instance"] == answer.headers["x-request-id"]
    assert re.fullmatch(r"[A-Z0-9'].*\.", body["detail"], re.DOTALL) or "errors" in body, body["detail"]
    return body


def rows_of(settings: Settings, monday: object = TINY_MONDAY) -> list[dict[str, Any]]:
    """The table, most revenue at risk first."""
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        cursor = con.execute(
            "select predictions.*, company_name from predictions left join customers using (customer_id) where snapshot_date = ? "
            "order by priority_rank",
            [monday],
        )
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def as_json(value: object) -> Any:
    return json.loads(json.dumps(value, default=lambda other: other.isoformat()))


def everybody(page: Page, **filters: object) -> list[dict[str, Any]]:
    """All pages of a list."""
    listed: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        part = told(page.get("/v1/customers?" + urlencode(filters | cursor)))
        listed += part["customers"]
        if part["next"] is None:
            return listed
        cursor = {"cursor": part["next"]}


# What it answers


def test_every_number_over_http_is_the_one_of_the_table_to_the_bit(page: Page, home: Settings) -> None:
    churn = [target for target in in_reports() if target.event == target_of("risk").event]
    growth = target_of("expansion")
    for row in rows_of(home)[::8]:
        prediction = told(page.get(f"/v1/customers/{row['customer_id']}/prediction"))
        assert prediction["scores"] == [
            {
                "target": target.name,
                "horizon_days": target.horizon_days,
                "probability": row[target.probability_column],
                "model_version": row[target.version_column],
                "model_kind": row[target.kind_column],
            }
            for target in churn
        ]
        for name in prediction.keys() & row.keys() - {"scored_at"}:
            assert prediction[name] == as_json(row[name]), name
        assert datetime.fromisoformat(prediction["scored_at"]) == row["scored_at"].replace(tzinfo=UTC)
        profile = told(page.get(f"/v1/customers/{row['customer_id']}"))
        assert profile["churn"] == prediction
        assert [profile["customer"][name] for name in ("company_name", "mrr", "csm_owner")] == [
            row[name] for name in ("company_name", "mrr", "csm_owner")
        ]
        propensity = row[growth.probability_column]
        assert (profile["expansion"] or {"score": {"probability": None}})["score"]["probability"] == propensity
        if row["is_expansion_candidate"]:
            assert told(page.get(f"/v1/customers/{row['customer_id']}/expansion")) == profile["expansion"]


def test_a_profile_over_http_is_the_one_in_python(page: Page, home: Settings) -> None:
    with Publication.open(home) as publication:
        for monday in (TINY_MONDAY, TINY_BEFORE):
            for row in rows_of(home, monday)[:20]:
                profile = told(page.get(f"/v1/customers/{row['customer_id']}?snapshot_date={monday}"))
                typed = as_json(asdict(publication.at(monday).profile(row["customer_id"])))
                # In JSON a time says that it is UTC; whoever has left is answered 409, so nobody has a day of leaving.
                typed["churn"]["scored_at"] += "Z"
                assert (typed["customer"].pop("churn_date"), typed["customer"].pop("censor_date")) == (None, None)
                assert profile == typed


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, lambda row: True),
        ({"tier": "high"}, lambda row: row["risk_tier"] == "HIGH"),
        ({"on_list": "true"}, lambda row: row["is_on_call_list"]),
        ({"on_list": "false", "tier": "LOW"}, lambda row: not row["is_on_call_list"] and row["risk_tier"] == "LOW"),
        ({"candidates": "true"}, lambda row: row["is_expansion_candidate"] and row["snoozed_until"] is None),
        ({"owner": "AMARA"}, lambda row: row["csm_owner"] == "Amara Okafor"),
    ],
)
def test_the_pages_of_a_list_hold_everybody_who_is_wanted_once_and_in_the_order_of_the_table(
    page: Page, home: Settings, filters: dict[str, str], wanted: Any
) -> None:
    expected = [row for row in rows_of(home) if wanted(row)]
    assert expected
    listed = everybody(page, limit=37, **filters)
    assert [line["customer_id"] for line in listed] == [row["customer_id"] for row in expected]
    for line, row in zip(listed, expected, strict=True):
        assert line["probability"] == row[RISK]
        for name in line.keys() & row.keys():
            assert line[name] == row[name], name


def test_the_mondays_name_the_models_and_the_policy_that_made_the_newest(page: Page, home: Settings) -> None:
    row = rows_of(home)[0]
    mondays = told(page.get("/v1/mondays"))
    assert mondays["snapshot_dates"] == [str(TINY_BEFORE), str(TINY_MONDAY)]
    assert (mondays["newest"], mondays["customers"]) == (str(TINY_MONDAY), len(rows_of(home)))
    assert mondays["policy_version"] == row["policy_version"]
    assert {model["target"]: model["model_version"] for model in mondays["models"]} == {
        target.name: row[target.version_column] or mondays["models"][-1]["model_version"] for target in in_reports()
    }


def test_who_is_held_out_is_told_nowhere(own: Settings) -> None:
    row = rows_of(own)[0]
    publish_again(own, "update predictions set is_holdout = true, is_in_holdout_draw = true")
    with api(own) as page:
        paths = ("", "/prediction", f"?snapshot_date={TINY_BEFORE}")
        said = [page.get(f"/v1/customers/{row['customer_id']}{path}").body for path in paths]
        said += [page.get(path).body for path in ("/v1/customers?limit=200", "/v1/mondays", "/openapi.json", "/docs")]
        assert not any(re.search("hold_?-?out|held out", text, re.IGNORECASE) for text in said)
        # As no other list of candidates names them.
        assert json.loads(page.get("/v1/customers?candidates=true").body)["customers"] == []


def test_a_name_and_an_id_of_any_characters_come_back_as_they_are(own: Settings) -> None:
    strange = 'a/b c%2F"?#<é>\u2028;\\'
    name = '<script>alert(1)</script> & Söhne "x" \u202e'
    sql = f"$x${rows_of(own)[0]['customer_id']}$x$"
    publish_again(
        own,
        *(
            f"update {table} set customer_id = $x${strange}$x$ where customer_id = {sql}"
            for table in ("predictions", "customers")
        ),
        f"update customers set company_name = $x${name}$x$ where customer_id = $x${strange}$x$",
    )
    with api(own) as page:
        profile = told(page.get(f"/v1/customers/{quote(strange, safe='')}"))
        assert (profile["customer"]["customer_id"], profile["customer"]["company_name"]) == (strange, name)
        assert everybody(page, limit=200)[0]["company_name"] == name


def test_a_brief_is_the_templates_for_whom_it_is_asked_and_never_an_e_mail_for_the_success_manager(
    page: Page, home: Settings
) -> None:
    ready = next(
        r
        for r in rows_of(home)
        if r["is_expansion_candidate"] and r["expansion_readiness"] == "ready" and not r["is_holdout"]
    )
    path = f"/v1/customers/{ready['customer_id']}/brief"
    kinds, parts = [], []
    for asked in ("", "?audience=ae&email=true", "?audience=csm", "?audience=csm&email=true"):
        answer = page.get(path + asked, X_Request_ID="for-a-brief")
        brief = told(answer)
        assert (brief["provider"], brief["model"], brief["result"]) == ("template", None, "PASSED")
        assert brief["watermark"] == "AI-generated. Requires human review."
        assert brief["correlation_id"] == "for-a-brief"
        kinds.append(brief["kind"])
        parts.append("email" in brief["parts"])
    assert kinds == ["tactical", "tactical", "nurture", "nurture"]
    assert parts == [False, True, False, False]
    problem(page.get(f"{path}?audience=ceo"), 422, "bad-parameters")
    low = next(row for row in rows_of(home) if row["expansion_readiness"] == "none")
    assert "candidate" in problem(page.get(f"/v1/customers/{low['customer_id']}/brief"), 422, "not-candidate")["detail"]


# What it refuses, and how


def test_every_refusal_is_a_problem_of_its_kind_and_repeats_nothing_that_was_sent(page: Page, home: Settings) -> None:
    there = {row["customer_id"]: row for row in rows_of(home)}
    gone = next(row["customer_id"] for row in rows_of(home, TINY_BEFORE) if row["customer_id"] not in there)
    kept = next(iter(there))
    low = next(row["customer_id"] for row in there.values() if row["is_expansion_candidate"] is False)
    unscored = next(
        row["customer_id"] for row in there.values() if row[target_of("expansion").probability_column] is None
    )
    cursor = told(page.get("/v1/customers?limit=1&tier=LOW"))["next"]
    for path, status, name in (
        ("/v1/customers/NOBODY-AT-ALL", 404, "unknown-customer"),
        ("/v1/customers/NOBODY-AT-ALL/prediction", 404, "unknown-customer"),
        (f"/v1/customers/{kept}?snapshot_date=2026-06-02", 404, "unknown-monday"),
        (f"/v1/customers/{gone}", 409, "not-active"),
        (f"/v1/customers/{gone}/prediction", 409, "not-active"),
        (f"/v1/customers/{low}/expansion", 422, "not-candidate"),
        (f"/v1/customers/{unscored}/expansion", 422, "not-candidate"),
        ("/v1/customers?cursor=QWERTY-QWERTY", 400, "bad-cursor"),
        (f"/v1/customers?limit=1&cursor={cursor}", 400, "bad-cursor"),
        ("/v1/customers?limit=0", 422, "bad-parameters"),
        ("/v1/customers?limit=201", 422, "bad-parameters"),
        ("/v1/customers?limit=QWERTY", 422, "bad-parameters"),
        ("/v1/customers?on_list=QWERTY", 422, "bad-parameters"),
        ("/v1/customers?tiers=QWERTY", 422, "bad-parameters"),
        ("/v1/customers?limit=1&limit=2", 422, "bad-parameters"),
        (f"/v1/customers/{kept}?snapshot_date=QWERTY", 422, "bad-parameters"),
        (f"/v1/customers/{kept}?snapshot_date=1780272000", 422, "bad-parameters"),
        (f"/v1/customers/{'x' * 1_001}", 422, "bad-parameters"),
        ("/v1/customers/", 404, "unknown-route"),
        ("/v1/customers/a/b", 404, "unknown-route"),
        ("/QWERTY", 404, "unknown-route"),
    ):  # fmt: skip
        answer = page.get(path)
        problem(answer, status, name)
        assert "QWERTY" not in answer.body
        assert "NOBODY" not in answer.body
        assert str(home.home) not in answer.body
    assert "published from 2026-06-01 to 2026-06-01" in page.get(f"/v1/customers/{gone}").body
    assert "owners are Amara Okafor" in problem(page.get("/v1/customers?owner=zz"), 422, "bad-parameters")["detail"]


def test_it_can_only_be_read(page: Page) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
        answer = page.send(method, "/v1/customers", "{}")
        problem(answer, 405, "wrong-method")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    get, head = page.get("/v1/mondays"), page.send("HEAD", "/v1/mondays")
    assert (head.status, head.body) == (200, "")
    assert head.headers["content-length"] == str(len(get.body.encode()))
    assert page.send("HEAD", "/v1/customers/NOBODY").status == 404
    options = page.send("OPTIONS", "/v1/customers", Origin=f"http://{page.host}")
    assert (options.status, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    # No page of another origin may read what it gets.
    assert not [name for name in options.headers if name.startswith("access-control")]
    assert page.web_socket("/v1/customers") == 403


def test_an_error_that_nobody_expected_says_nothing_and_is_noted_under_the_id_of_its_request(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("row of Secret Ltd")

    monkeypatch.setattr(PublishedMonday, "rows", broken)
    with api(own) as page:
        answer = page.get("/v1/customers", X_Request_ID="try-17")
        problem(answer, 500, "defect")
        assert "Secret" not in answer.body and "Traceback" not in answer.body
        # The next request is answered.
        told(page.get("/v1/mondays"))
    (report,) = (own.data / "errors").iterdir()
    assert "churn serve, request try-17" in report.read_text()
    assert report.stat().st_mode & 0o077 == 0


# Whom it answers


def test_without_tokens_only_programs_and_pages_of_this_machine_are_answered(page: Page) -> None:
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{page.port}"},
        {"Host": "localhost.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://{page.host}.evil.example"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
    ):
        for path in ("/v1/mondays", "/metrics", "/docs", "/nix"):
            problem(page.get(path, **headers), 403, "foreign")
    for headers in (
        {},
        {"Host": f"localhost:{page.port}"},
        {"Origin": f"http://{page.host}", "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"},
    ):
        told(page.get("/v1/mondays", **headers))


def test_with_tokens_whoever_has_none_of_them_is_told_nothing(home: Settings) -> None:
    listed = ",".join(f"{name}:{token}" for name, token in TOKENS.items())
    with api(Settings(home=home.home, api_tokens=listed, api_rate=0)) as page:
        for path in ("/v1/customers", "/v1/customers/C1", "/metrics", "/nix", "/v1/customers?limit=x"):
            for wrong in (
                {},
                {"Authorization": "Bearer " + TOKENS["ada"][:-1]},
                {"Authorization": f"Basic {TOKENS['ada']}"},
            ):
                answer = page.get(path, **wrong)
                problem(answer, 401, "no-token")
                assert answer.headers["www-authenticate"] == "Bearer"
        for token in TOKENS.values():
            told(page.get("/v1/mondays", Authorization=f"Bearer {token}"))
        # Behind a proxy it has another name, and a browser sends no token by itself.
        told(page.get("/v1/mondays", Host="churn.example.com", **ADA))
        assert [page.get(path).status for path in ("/health", "/ready", "/openapi.json", "/docs")] == [200] * 4
        document = told(page.get("/openapi.json"))
        assert document["paths"]["/v1/mondays"]["get"]["security"] == [{"token": []}]
        assert "Bearer $TOKEN" in page.get("/docs").body


def test_each_token_has_a_limit_of_its_own_and_is_told_when_to_come_back(home: Settings) -> None:
    listed = ",".join(f"{name}:{token}" for name, token in TOKENS.items())
    with api(Settings(home=home.home, api_tokens=listed, api_rate=3)) as page:
        first = [page.get("/v1/mondays", **ADA) for _ in range(4)]
        assert [answer.status for answer in first] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit"].split(";")[1] for answer in first] == ["r=2", "r=1", "r=0", "r=0"]
        assert first[0].headers["ratelimit-policy"] == '"minute";q=3;w=60'
        body = problem(first[3], 429, "too-many-requests")
        assert 15 <= int(first[3].headers["retry-after"]) <= 20
        assert body["detail"].startswith("3 requests a minute are used up; ask again in ")
        told(page.get("/v1/mondays", Authorization=f"Bearer {TOKENS['bo']}"))
        # Whoever guesses is slowed down, and keeps nobody out who has a token.
        guesses = [page.get("/v1/mondays", Authorization=f"Bearer guess-number-{n}-of-many") for n in range(5)]
        assert [answer.status for answer in guesses] == [401, 401, 401, 429, 429]
        told(page.get("/v1/mondays", Authorization=f"Bearer {TOKENS['bo']}"))
        # Whoever watches the server is not limited.
        assert {page.get("/health").status for _ in range(10)} == {200}


def test_without_tokens_the_limit_is_by_address(own: Settings) -> None:
    with api(Settings(home=own.home, api_rate=2)) as page:
        assert [page.get("/v1/mondays").status for _ in range(3)] == [200, 200, 429]


def test_a_request_has_an_id_and_one_line_in_the_log_that_names_no_customer_and_no_token(
    home: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "churn.api")
    kept, customer = "Trace_17.a-b", rows_of(home, TINY_BEFORE)[0]["customer_id"]
    with api(Settings(home=home.home, api_tokens=f"ada:{TOKENS['ada']}", api_rate=0)) as page:
        assert (
            page.get(f"/v1/customers/{customer}?snapshot_date={TINY_BEFORE}", X_Request_ID=kept, **ADA).headers[
                "x-request-id"
            ]
            == kept
        )
        for refused in ("", "a b", "x" * 129, 'x"y', "../x", "é", "a,b"):
            own_id = page.get(f"/v1/customers/{customer}/prediction", X_Request_ID=refused, **ADA).headers[
                "x-request-id"
            ]
            assert re.fullmatch("[0-9a-f]{32}", own_id)
        page.get(f"/wrong/{customer}")
        page.send("PURGE", "/v1/mondays")
    lines = [json.loads(record.message) for record in caplog.records if record.name == "churn.api"]
    assert len(lines) == 10
    assert lines[0]["request_id"] == kept
    assert lines[0] | {"at": 0, "milliseconds": 0} == {
        "at": 0, "request_id": kept, "method": "GET", "route": "/v1/customers/{customer_id}", "status": 200, "milliseconds": 0,
        "token": "ada",
    }  # fmt: skip
    assert [(line["route"], line["status"], line["token"]) for line in lines[-2:]] == [
        ("other", 401, None),
        ("/v1/mondays", 405, None),
    ]
    said = json.dumps(lines)
    assert customer not in said and TOKENS["ada"] not in said and str(TINY_BEFORE) not in said


# What operators see


def test_the_metrics_count_by_route_and_status_and_name_nobody(home: Settings) -> None:
    customer = rows_of(home)[0]["customer_id"]
    with api(home) as page:
        for path in (
            f"/v1/customers/{customer}",
            f"/v1/customers/{customer}",
            "/v1/customers/NOBODY",
            "/zzz/1",
            "/zzz/2",
        ):
            page.get(path)
        text = page.get("/metrics").body
    for line in (
        'churn_api_requests_total{route="/v1/customers/{customer_id}",status="200"} 2.0',
        'churn_api_requests_total{route="/v1/customers/{customer_id}",status="404"} 1.0',
        'churn_api_requests_total{route="other",status="404"} 2.0',
        'churn_api_request_seconds_count{route="/v1/customers/{customer_id}"} 3.0',
        "churn_api_ready 1.0",
        f"churn_api_publication_snapshot_date_seconds {datetime(2026, 6, 8, tzinfo=UTC).timestamp()!r}",
    ):
        assert line.replace("1780876800.0", "1.7808768e+09") in text.splitlines(), line
    (age,) = re.findall(r"^churn_api_publication_age_seconds (\S+)$", text, re.MULTILINE)
    assert abs(float(age) - (time.time() - home.published_database.stat().st_mtime)) < 30
    assert customer not in text and "NOBODY" not in text and "zzz" not in text


def test_the_page_of_the_api_shows_every_route_and_loads_nothing(page: Page) -> None:
    answer = page.get("/docs")
    document = told(page.get("/openapi.json"))
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for path, operations in document["paths"].items():
        assert f"<code>{path}</code>" in answer.body
        assert f'id="{operations["get"]["operationId"]}"' in answer.body
    for kind in KINDS:
        assert kind.type in answer.body
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|src=", answer.body)
    addresses = re.findall(r"https?://[^\s'\"<&]+", answer.body)
    assert addresses
    assert all(address.startswith("http://127.0.0.1:8787/") for address in addresses)
    (style,) = re.findall(r"<style>(.*?)</style>", answer.body, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")


# From which publication


def test_a_request_keeps_the_publication_that_it_began_with_and_the_last_one_lets_go_of_its_file(own: Settings) -> None:
    customer, before = rows_of(own)[0]["customer_id"], rows_of(own)[0][RISK]

    def is_open() -> bool:
        """Whether this process has a file of this home open that was replaced."""
        mark = f"{own.published_database} (deleted)"
        return any(_target(link) == mark for link in Path("/proc/self/fd").iterdir())

    async def follow() -> None:
        publications = Publications(own)
        async with publications.reading() as first:
            publish_again(own, f"update predictions set {RISK} = 0.25")
            async with publications.reading() as second, publications.reading() as third:
                assert second is third is not first
                assert (first.at().churn(customer).probability, second.at().churn(customer).probability) == (
                    before,
                    0.25,
                )
                # Not held in memory: read from the replaced file.
                assert first.at(TINY_BEFORE).rows(size=1)[0].probability != 0.25
                assert is_open()
        assert not is_open()
        publications.close()

    asyncio.run(follow())


def test_no_answer_mixes_two_publications_and_none_comes_from_one_that_was_replaced_before_it_was_asked_for(
    own: Settings,
) -> None:
    """Each publication says its own number in every row; four clients ask all the time while it is replaced."""
    number, ended = [0.5], []
    with api(own) as page:
        publish_again(own, f"update predictions set {RISK} = 0.5")

        def ask() -> int:
            asked = 0
            while not ended:
                at_least = number[0]
                listed = told(page.get("/v1/customers?limit=200"))
                probabilities = {line["probability"] for line in listed["customers"]}
                assert len(probabilities) == 1
                assert probabilities.pop() >= at_least
                asked += 1
            return asked

        with ThreadPoolExecutor(4) as clients:
            asking = [clients.submit(ask) for _ in range(4)]
            for next_number in (0.6, 0.7, 0.8):
                publish_again(own, f"update predictions set {RISK} = {next_number}")
                number[0] = next_number
                time.sleep(0.4)
            ended.append(True)
            assert min(future.result() for future in asking) >= 3


def test_a_list_is_read_to_its_end_from_one_publication_or_begun_again(own: Settings) -> None:
    with api(own) as page:
        first = told(page.get("/v1/customers?limit=10"))
        told(page.get(f"/v1/customers?limit=10&cursor={first['next']}"))
        publish_again(own, "update predictions set priority_rank = priority_rank")
        body = problem(page.get(f"/v1/customers?limit=10&cursor={first['next']}"), 410, "other-publication")
        assert "begin the list again" in body["detail"]
        assert told(page.get("/v1/customers?limit=10"))["publication"] != first["publication"]


def test_it_starts_before_anything_is_published_says_why_it_is_not_ready_and_is_as_soon_as_there_is_something(
    own: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published = own.published_database.rename(tmp_path / "published.duckdb")
    with api(own) as page:
        told(page.get("/health"))
        for path in ("/ready", "/v1/customers", "/v1/mondays", "/v1/customers/C1/prediction"):
            answer = page.get(path)
            assert (
                problem(answer, 503, "not-ready")["detail"]
                == "Nothing has been published yet; the first 'churn run' does."
            )
            assert answer.headers["retry-after"] == "1"
        assert "churn_api_ready 0.0" in page.get("/metrics").body
        own.published_database.write_bytes(b"no database of Secret Ltd" * 1000)
        wait_for(lambda: "cannot be read at the moment" in page.get("/ready").body, 10, "the file that is none")
        problem(page.get("/ready"), 503, "not-ready")
        assert str(own.home) not in page.get("/v1/mondays").body
        # Said once for each file, without its text; the details are for the owner alone.
        (said,) = [record.message for record in caplog.records if "problem" in record.message]
        (report,) = (own.data / "errors").iterdir()
        assert str(report) in said and "Secret" not in said
        assert "opening what is published" in report.read_text()
        published.replace(own.published_database)
        wait_for(lambda: page.get("/ready").status == 200, 10, "the publication")
        assert told(page.get("/ready"))["snapshot_date"] == str(TINY_MONDAY)


# The command


@dataclass
class Running:
    """`churn serve` with its output in files."""

    process: subprocess.Popen[bytes]
    page: Page
    out: Path
    log: Path


@contextmanager
def churn_serve(settings: Settings, folder: Path, *arguments: str) -> Iterator[Running]:
    out, log = folder / "out", folder / "log"
    with out.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(
            [str(BIN / "churn"), "serve", "--port", "0", *arguments],
            env=environment(settings),
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        wait_for(lambda: out.read_text() or process.poll() is not None, 60, "the address")
        assert process.poll() is None, log.read_text()
        match = re.search(r"http://\S+", out.read_text())
        assert match
        running = Running(process, Page(port_of(match[0])), out, log)
        wait_for(lambda: _answers(running.page), 30, "an answer")
        yield running
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(page: Page) -> bool:
    try:
        return page.get("/health").status == 200
    except OSError:
        return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_whoever_is_forgotten_while_it_runs_is_gone_at_once_and_with_them_the_old_file(
    tiny_copy: Settings, tmp_path: Path
) -> None:
    """And the signal to end ends it whole."""
    forgotten, kept = (row["customer_id"] for row in rows_of(tiny_copy, TINY_BEFORE)[:2])
    with churn_serve(tiny_copy, tmp_path) as running:
        page, folder = running.page, Path(f"/proc/{running.process.pid}/fd")
        for customer in (forgotten, kept):
            told(page.get(f"/v1/customers/{customer}"))
        erasing.forget(tiny_copy, forgotten, reason="erasure was asked for", who="ada")
        problem(page.get(f"/v1/customers/{forgotten}"), 404, "unknown-customer")
        problem(page.get(f"/v1/customers/{forgotten}/prediction"), 404, "unknown-customer")
        assert forgotten not in {line["customer_id"] for line in everybody(page, limit=200)}
        told(page.get(f"/v1/customers/{kept}"))

        # Without a request: what was replaced is let go of.
        publish_again(tiny_copy)
        mark = f"{tiny_copy.published_database} (deleted)"
        time.sleep(LOOK_SECONDS)
        wait_for(lambda: mark not in {_target(link) for link in folder.iterdir()}, 10, "the replaced file")
        opened = str(tiny_copy.published_database)
        wait_for(lambda: opened in {_target(link) for link in folder.iterdir()}, 10, "the new file")

        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0
        log = running.log.read_text()
        assert forgotten not in log and kept not in log and "Traceback" not in log
        assert {json.loads(line)["route"] for line in log.splitlines()} >= {"/health", "/v1/customers/{customer_id}"}
        assert re.fullmatch(
            r"The API answers at  http://127\.0\.0\.1:\d+  \(its page: http://127\.0\.0\.1:\d+/docs\)\n"
            r"Without CHURN_API_TOKENS every user of this machine can ask\.\n",
            running.out.read_text(),
        )
    assert not (tiny_copy.data / "errors").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.com"])
def test_others_are_answered_only_with_tokens(tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Otherwise it would answer until somebody ends it.
    monkeypatch.setattr("churn_pipeline.api.server.listening", None)
    done = CliRunner().invoke(app, ["serve", "--home", str(tmp_path), "--host", host, "--port", "0"])
    assert done.exception is not None
    assert str(done.exception) == (
        f"on {host} others could ask without a token: set CHURN_API_TOKENS (docs/api.md), or leave --host out to answer this machine only"
    )


def test_a_port_that_is_taken_and_an_extra_that_is_missing_are_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(app, ["serve", "--home", str(tmp_path), "--port", port])
    assert (
        str(done.exception)
        == f"Port {port} of 127.0.0.1 cannot be had (Address already in use); name another with --port"
    )
    for name in [name for name in sys.modules if name.startswith("churn_pipeline.api")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    done = CliRunner().invoke(app, ["serve", "--home", str(tmp_path)])
    assert (
        str(done.exception)
        == "the API needs prometheus_client, which is not installed: pip install 'churn-pipeline[api]'"
    )


def test_every_curl_of_the_docs_does_what_it_says(home: Settings) -> None:
    text = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    commands = re.findall(r"^(curl .*?)(?:  # (\d{3}))?$", text, re.MULTILINE)
    assert len(commands) >= 5
    listed = f"ada:{TOKENS['ada']}"
    row = next(row for row in rows_of(home) if row["is_expansion_candidate"])
    with api(Settings(home=home.home, api_tokens=listed, api_rate=0)) as page:
        for command, status in commands:
            asked = command.replace("127.0.0.1:8787", page.host).replace("C000123", row["customer_id"])
            asked = asked.replace("2026-11-02", str(TINY_MONDAY)).replace("Elena", row["csm_owner"].split()[0])
            done = subprocess.run(
                [*shlex.split(asked.replace("$TOKEN", TOKENS["ada"])), "-w", "\n%{http_code}"],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            assert done.stdout.splitlines()[-1] == (status or "200"), command
