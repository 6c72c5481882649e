"""The champion behind MLflow's own server, asked over HTTP on this machine, where churn_pipeline cannot be imported."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import duckdb
import pytest

from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings
from tests.conftest import TINY_BEFORE
from tests.support.homes import query
from tests.support.processes import BIN, kill, start, wait_for

SECONDS = 180


class Server:
    """`mlflow models serve` of the model in force for 90 days."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and the answer to rows in one of MLflow's forms."""
        request = urllib.request.Request(
            f"{self.address}/invocations", json_text(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.load(refusal)

    def answers(self, records: list[dict[str, Any]]) -> list[dict[str, float]]:
        """One answer a row."""
        status, answer = self.ask({"dataframe_records": records})
        assert status == 200, answer
        return answer["predictions"]

    def is_up(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.address}/ping", timeout=5).status == 200
        except OSError:
            return False


@pytest.fixture(scope="module")
def server(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # Python runs this file before anything else: no code of this project's but the version's own can be used.
    alone = tmp_path_factory.mktemp("alone")
    (alone / "sitecustomize.py").write_text("import sys\n\nsys.modules['churn_pipeline'] = None\n", encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start(
        tiny_home,
        *("models", "serve", "--model-uri", "models:/churn_90d@champion", "--env-manager", "local"),
        *("--host", "127.0.0.1", "--port", str(port)),
        program="mlflow",
        MLFLOW_TRACKING_URI=tiny_home.tracking_uri,
        MLFLOW_DISABLE_TELEMETRY="true",
        PYTHONPATH=str(alone),
        # MLflow starts uvicorn by its name, as in an environment that is activated.
        PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
        NO_PROXY="127.0.0.1",
    )
    served = Server(f"http://127.0.0.1:{port}")
    try:
        wait_for(served.is_up, SECONDS, "MLflow's server")
        yield served
    finally:
        kill(process)


@pytest.fixture(scope="module")
def rows(tiny_home: Settings) -> list[dict[str, Any]]:
    """The mart's rows of the Monday, whole, as SQL gives them."""
    with duckdb.connect(str(tiny_home.warehouse), read_only=True) as con:
        result = con.execute(
            f"select * from marts.mart_customer_churn_features where snapshot_date = date '{TINY_BEFORE}' order by customer_id"
        )
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def test_no_experiment_points_out_of_a_home_that_was_moved(tiny_home: Settings) -> None:
    """It was made in another folder, by a process that was started in a third one."""
    with closing(sqlite3.connect(tiny_home.mlflow_database)) as con:
        places = con.execute("select artifact_location from experiments").fetchall()
    assert len(places) == 2
    assert all(place.startswith(tiny_home.mlflow_artifacts.as_uri()) for (place,) in places), places


@pytest.mark.long
def test_the_server_of_the_champion_answers_as_the_table_does(
    tiny_home: Settings, server: Server, rows: list[dict[str, Any]]
) -> None:
    columns = list(rows[0])
    split = {"columns": columns, "data": [[row[name] for name in columns] for row in rows]}
    status, answer = server.ask({"dataframe_split": split})
    assert status == 200, answer
    table = query(
        tiny_home.published_database,
        f"""
        select customer_id, churn_probability_90d, churn_probability_30d from predictions
        where snapshot_date = date '{TINY_BEFORE}' order by customer_id
        """,
    )
    assert len(table) == len(answer["predictions"]) > 400
    # The raise needs the model of the shorter horizon: it is the only difference.
    assert [
        (row["customer_id"], max(served["probability"], p30))
        for row, served, (_, _, p30) in zip(rows, answer["predictions"], table, strict=True)
    ] == [(customer, p90) for customer, p90, _ in table]
    scored = query(
        tiny_home.warehouse,
        f"""
        select bias, [c.feature for c in contributions], [c.contribution for c in contributions]
        from scoring.scores where snapshot_date = date '{TINY_BEFORE}' and target = 'churn_90d' order by customer_id
        """,
    )
    for (bias, features, contributions), served in zip(scored, answer["predictions"], strict=True):
        assert served["bias"] == bias
        assert [served[f"contribution_{feature}"] for feature in features] == contributions
        assert len(served) == len(features) + 2


@pytest.mark.long
def test_whole_numbers_may_come_as_fractions_nulls_mixed_in_and_columns_in_any_order(
    server: Server, rows: list[dict[str, Any]]
) -> None:
    some = rows[:20]
    numbers = [{name: float(v) if type(v) is int else v for name, v in row.items()} for row in some]
    backwards = [dict(reversed(row.items())) for row in some]
    assert server.answers(numbers) == server.answers(backwards) == server.answers(some)
    mixed = [*rows[:2], {**rows[2], "total_events": None, "is_early_stage": None, "plan_tier": None}]
    alone = server.answers(mixed[2:])
    assert server.answers(mixed)[2:] == alone != server.answers(rows[2:3])


@pytest.mark.long
def test_an_unknown_category_and_a_column_that_is_not_there_are_missing_values(
    server: Server, rows: list[dict[str, Any]]
) -> None:
    row = rows[0]
    missing = server.answers([row | {"plan_tier": None}])
    assert server.answers([row | {"plan_tier": "gold"}]) == missing
    assert server.answers([row | {"plan_tier": 3}]) == missing
    assert server.answers([{name: value for name, value in row.items() if name != "plan_tier"}]) == missing
    assert missing != server.answers([row])


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tenure_days": "many"}, "feature tenure_days is declared numeric, and holds something else"),
        ({"tenure_days": {"days": 3}}, "feature tenure_days is declared numeric, and holds something else"),
        ({"mrr": 1e300}, "feature mrr: 1 values are infinite or beyond float32"),
    ],
)
def test_a_value_of_another_type_is_refused_in_one_sentence_that_names_the_column(
    change: dict[str, Any], said: str, server: Server, rows: list[dict[str, Any]]
) -> None:
    status, answer = server.ask({"dataframe_records": [rows[0] | change]})
    assert status == 400
    assert answer["error_code"] == "INVALID_PARAMETER_VALUE"
    assert said in answer["message"]
    assert "Traceback" not in json.dumps(answer)


@pytest.mark.long
def test_rows_of_another_table_are_refused_and_no_rows_are_none(server: Server, rows: list[dict[str, Any]]) -> None:
    status, answer = server.ask({"dataframe_records": [{"customer": "C1", "usage": 3}]})
    assert status == 400
    assert "columns of mart_customer_churn_features that churn_90d looks at is there" in answer["message"]
    assert server.ask({"dataframe_split": {"columns": list(rows[0]), "data": []}}) == (200, {"predictions": []})


@pytest.mark.long
def test_the_example_that_goes_with_a_version_is_answered(tiny_home: Settings, server: Server) -> None:
    examples = [*tiny_home.mlflow_artifacts.rglob("serving_input_example.json")]
    assert len(examples) == 3
    for path in examples:
        if "churn_90d" in (path.parent / "MLmodel").read_text(encoding="utf-8"):
            status, answer = server.ask(json.loads(path.read_text(encoding="utf-8")))
            assert status == 200
            assert [0 < row["probability"] < 1 for row in answer["predictions"]] == [True, True]
