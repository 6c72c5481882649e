"""The command, Python and the API say the same numbers of a customer, and they are those of the table, to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from churn_pipeline import Home
from churn_pipeline.cli.commands import app
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import in_reports, target_of
from churn_pipeline.customers.errors import UnknownCustomerError
from tests.conftest import TINY_MONDAY
from tests.support.api import api, published_of
from tests.support.web import Page

CUSTOMERS = 100
# Beside the numbers of a score: what the page of the command and a typed profile both hold under one name.
OF_PAGE = (
    "events_last_30d",
    "open_tickets",
    "renewal_date",
    "days_to_renewal",
    "tenure_days",
    "is_early_stage",
    "lifecycle",
)
OF_PREDICTION = (
    "risk_tier", "previous_risk_tier", "probability_change", "is_flagged", "risk_score", "risk_score_tier", "risk_score_basis", "annual_revenue",
    "revenue_at_risk", "priority_rank", "churn_drivers", "churn_themes", "is_on_call_list", "call_rank", "call_reason", "play", "action_kind",
    "recommended_action", "talking_points", "policy_version", "scoring_mode", "run_id", "scored_at",
)  # fmt: skip
OF_EXPANSION = (
    "expansion_readiness", "target_tier", "expected_arr_uplift", "is_expansion_candidate", "expansion_rank", "is_high_value_target", "segment",
    "expansion_drivers",
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tiny_two_mondays: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return published_of(tiny_two_mondays, tmp_path_factory.mktemp("three") / "home", api_rate=0)


@pytest.fixture(scope="module")
def table(home: Settings) -> list[dict[str, Any]]:
    """A hundred rows of the newest Monday, as the table has them."""
    with duckdb.connect(str(home.published_database), read_only=True) as con:
        cursor = con.execute(
            "from predictions where snapshot_date = ? order by hash(customer_id) limit ?", [TINY_MONDAY, CUSTOMERS]
        )
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture(scope="module")
def server(home: Settings) -> Iterator[Page]:
    with api(home) as page:
        yield page


def command(home: Settings, *words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--home", str(home.home), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def plain(value: object) -> Any:
    """As JSON has it. A float is written with the fewest digits that give it back, so that equal text is equal bits."""
    return json.loads(json_text(value))


def test_a_hundred_customers_have_the_same_numbers_in_the_command_in_python_and_over_http(
    home: Settings, table: list[dict[str, Any]], server: Page
) -> None:
    assert len(table) == CUSTOMERS
    growth = target_of("expansion")
    churn = [target for target in in_reports() if target.event == target_of("risk").event]
    with Home(settings=home) as python:
        for number, row in enumerate(table):
            customer_id = row["customer_id"]
            page = command(home, "customer", customer_id)
            typed = plain(asdict(python.customer(customer_id)))
            answers = [server.get(f"/v1/customers/{customer_id}{part}") for part in ("", "/prediction")]
            assert [answer.status for answer in answers] == [200, 200]
            served, prediction = (json.loads(answer.body) for answer in answers)
            # JSON of the API says of its times that they are UTC.
            assert served["churn"]["scored_at"] == prediction["scored_at"] == f"{row['scored_at']:%Y-%m-%dT%H:%M:%S}Z"
            for said in (served["churn"], prediction):
                said["scored_at"] = str(row["scored_at"])
            # The three profiles and predictions are one. Nobody who is predicted has left, so the API says nothing of when.
            unsaid = dict.fromkeys(typed["customer"].keys() - served["customer"].keys())
            assert served["customer"] | unsaid == typed["customer"]
            assert served | {"customer": typed["customer"]} == typed
            assert prediction == typed["churn"]
            assert plain(asdict(python.prediction(customer_id))) == typed["churn"]
            expansion = python.expansion(customer_id)
            assert (None if expansion is None else plain(asdict(expansion))) == typed["expansion"]
            if number % 10 == 0:
                predicted = command(home, "predict", customer_id)
                assert {name: predicted[name] for name in typed["churn"]} == typed["churn"]
                assert predicted["expansion"] == typed["expansion"]
            # And they are the row.
            known = plain(row)
            assert {name: known[name] for name in OF_PREDICTION} == {name: page[name] for name in OF_PREDICTION}
            assert {name: known[name] for name in OF_PREDICTION} == {n: typed["churn"][n] for n in OF_PREDICTION}
            assert {name: page[name] for name in OF_PAGE} == {name: typed[name] for name in OF_PAGE}
            assert [score["probability"] for score in typed["churn"]["scores"]] == [
                known[target.probability_column] for target in churn
            ]
            assert [page[target.probability_column] for target in churn] == [
                known[target.probability_column] for target in churn
            ]
            assert (typed["expansion"] is None) == (known[growth.probability_column] is None)
            if typed["expansion"] is not None:
                assert typed["expansion"]["score"]["probability"] == known[growth.probability_column]
                assert {name: known[name] for name in OF_EXPANSION} == {n: typed["expansion"][n] for n in OF_EXPANSION}
            assert [(past["snapshot_date"], past["probability"]) for past in typed["history"]] == [
                (past["snapshot_date"], past[target_of("risk").probability_column]) for past in page["history"]
            ]


def test_whom_nobody_knows_is_refused_in_all_three(home: Settings, server: Page) -> None:
    done = CliRunner().invoke(app, ["customer", "C-none", "--home", str(home.home)])
    assert "no published week holds a customer 'C-none'" in str(done.exception)
    with (
        Home(settings=home) as python,
        pytest.raises(UnknownCustomerError, match="no published week holds a customer 'C-none'"),
    ):
        python.customer("C-none")
    assert server.get("/v1/customers/C-none").status == 404
