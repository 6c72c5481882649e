"""The stack of docker-compose.yml, without Docker: its services as processes, a Monday through the daemon, read back through SQL.

One stack is started, lives through everything below in the order of the file, is stopped and started again.
"""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from churn_pipeline.orchestration.definitions import JOB
from tests.conftest import TINY, TINY_MONDAY, Company
from tests.support import compose
from tests.support.compose import Native
from tests.support.dagster import REPOSITORY_OF_JOBS, WebServer
from tests.support.processes import wait_for
from tests.support.web import Answer, Page

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

BACKFILL = """
mutation ($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
RUNS = """
query { runsOrError { ... on Runs { results { runId status jobName tags { key value } } } } }
"""
DAEMONS = """
query { instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }
"""
TARGETS = ("churn_30d", "churn_90d", "expansion_90d")


@dataclass
class Stack:
    native: Native

    cookie: str = ""

    @property
    def page(self) -> Page:
        """Dagster's page, behind its guard."""
        return Page(self.native.port("webserver", 3000))

    def log_in(self) -> Answer:
        given = {"user": self.native.variables["CHURN_UI_USER"], "password": self.native.variables["CHURN_UI_PASSWORD"]}
        return self.page.form("/login", given)

    @property
    def dagster(self) -> WebServer:
        # A session is of one start of the web server.
        if not self.cookie or self.page.ask("{ version }", self.cookie).status == 401:
            self.cookie = self.log_in().cookie
        return WebServer(self.page.port, self.cookie)

    def runs(self) -> list[dict[str, Any]]:
        """Oldest first."""
        runs: list[dict[str, Any]] = self.dagster.ask(RUNS)["runsOrError"]["results"]
        return list(reversed(runs))

    def mlflow(self, path: str, host: str | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.native.port('mlflow', 5000)}/{path}", headers={"Host": host} if host else {}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def versions(self) -> dict[str, list[str]]:
        """The registered versions by model, as MLflow's API gives them."""
        versions = self.mlflow("api/2.0/mlflow/model-versions/search?max_results=100")["model_versions"]
        return {name: sorted(version["version"] for version in versions if version["name"] == name) for name in TARGETS}

    def password(self, user: str) -> str:
        key = {"churn_reader": "CHURN_READER_PASSWORD", "postgres": "POSTGRES_PASSWORD"}.get(user)
        return self.native.variables[key or f"{user.upper()}_DB_PASSWORD"]

    def sql(
        self, text: str, database: str = "predictions", user: str = "churn_reader", password: str | None = None
    ) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            host="127.0.0.1",
            port=self.native.port("postgres", 5432),
            dbname=database,
            user=user,
            password=password or self.password(user),
            connect_timeout=10,
        ) as con:
            return con.execute(text).fetchall()  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def stack(tiny_company: Company, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything up and healthy, with what `make env` and a company of 900 customers would write into .env."""
    variables = {
        name: secrets.token_hex(24) if value == "change-me" else value for name, value in compose.variables_of().items()
    }
    variables |= {f"CHURN_{name.upper()}": str(value) for name, value in TINY.items()}
    variables |= {"CHURN_NOW": f"{TINY_MONDAY}T12:00:00+00:00", "RAW_DATA": str(tiny_company.raw)}
    native = Native(tmp_path_factory.mktemp("stack"), variables)
    try:
        native.up()
        yield Stack(native)
    finally:
        native.kill()


def test_every_service_comes_up_in_the_order_of_the_file_and_its_own_health_check_passes(stack: Stack) -> None:
    assert list(stack.native.running) == ["postgres", "mlflow", "code", "webserver", "daemon"]
    assert all(stack.native.healthy(name) for name in stack.native.running)
    daemons = stack.dagster.ask(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
    assert {daemon["healthy"] for daemon in daemons if daemon["required"]} == {True}


def test_each_database_is_open_to_its_own_login_and_the_reader_cannot_write(stack: Stack) -> None:
    logins = {"dagster": "dagster", "mlflow": "mlflow", "predictions": "churn"}
    for database in logins:
        for user in logins.values():
            if logins[database] == user:
                assert stack.sql("select current_user::text", database, user) == [(user,)]
            else:
                with pytest.raises(psycopg.OperationalError, match="permission denied"):
                    stack.sql("select 1", database, user)
        if database != "predictions":
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                stack.sql("select 1", database)
    with pytest.raises(psycopg.Error, match="read-only"):
        stack.sql("create table mine (a int) returning 1".replace(" returning 1", ""))


def test_dagsters_page_wants_the_login_of_the_env_file_and_no_other_page_may_use_it(stack: Stack) -> None:
    page = stack.page
    assert page.ask("{ version }", "").status == 401
    assert page.web_socket() == 403
    assert 'autocomplete="current-password"' in page.get("/runs", Accept="text/html").body
    cookie = stack.log_in().cookie
    assert json.loads(page.ask("{ version }", cookie).body)["data"]["version"]
    link = "/graphql?query=mutation%7BreloadWorkspace%7B__typename%7D%7D"
    assert page.get(link, Cookie=cookie).status == 405
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        assert page.get(link, Cookie=cookie, **headers).status == 403
        assert page.ask("mutation { reloadWorkspace { __typename } }", cookie, **headers).status == 403
        assert page.web_socket(Cookie=cookie, **headers) == 403
    # The names of .env and the ports that it publishes.
    assert page.get("/health", Host="localhost:3000").status == 200
    assert page.form("/login", {"user": "churn", "password": "a guess"}).status == 401


def test_mlflow_is_seen_behind_the_same_login_and_not_without_it(stack: Stack) -> None:
    page, cookie = stack.page, stack.log_in().cookie
    search = "/mlflow/ajax-api/2.0/mlflow/experiments/search?max_results=1"
    assert page.get("/mlflow", Cookie=cookie).headers["location"] == "/mlflow/"
    assert "<title>MLflow</title>" in page.get("/mlflow/", Cookie=cookie).body
    assert "experiments" in json.loads(page.get(search, Cookie=cookie).body)
    for answer in (page.get("/mlflow/"), page.get(search)):
        assert answer.status == 401
    assert page.get(search, Cookie=cookie, Origin="https://evil.example").status == 403
    assert "ports" not in compose.compose_file()["services"]["mlflow"]


def test_mlflow_refuses_a_browser_that_was_sent_under_another_name(stack: Stack) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        stack.mlflow("api/2.0/mlflow/experiments/search?max_results=1", host="evil.example")
    assert refused.value.code == 403


def test_a_monday_asked_for_in_the_web_server_is_run_by_the_daemon_and_read_back_through_sql(stack: Stack) -> None:
    answer = stack.dagster.ask(
        BACKFILL,
        parameters={
            "selector": {"partitionSetName": f"{JOB}_partition_set", "repositorySelector": REPOSITORY_OF_JOBS},
            "partitionNames": [str(TINY_MONDAY)],
        },
    )["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer

    def ended() -> bool:
        return any(run["status"] in ("SUCCESS", "FAILURE", "CANCELED") for run in stack.runs())

    wait_for(ended, 600, "the Monday")
    (run,) = stack.runs()
    assert run["status"] == "SUCCESS", stack.native.log("code")
    home = stack.native.root / "home"
    assert (home / "data/published/churn.duckdb").is_file()
    ((day, customers, unique, run_id),) = stack.sql(
        "select max(snapshot_date)::text, count(*), count(distinct customer_id), max(run_id) from churn.latest_predictions"
    )
    assert (day, customers) == (str(TINY_MONDAY), unique)
    assert customers > 500
    assert run_id == run["runId"]


def test_the_models_are_in_the_mlflow_server_and_nowhere_in_the_home(stack: Stack) -> None:
    versions = stack.versions()
    registered = [(name, version) for name in TARGETS for version in versions[name]]
    rows = stack.sql("select name, version::text from model_versions", "mlflow", "mlflow")
    assert sorted(rows) == sorted(registered)
    assert len(list((stack.native.root / "mlflow/artifacts").rglob("model.ubj"))) == len(registered)
    assert list((stack.native.root / "home/mlflow").rglob("*")) == []
    ((*used,),) = stack.sql(
        "select distinct churn_30d_model_version, churn_90d_model_version, expansion_model_version from churn.latest_predictions "
        "where expansion_model_version is not null"
    )
    assert all(version in versions[name] for name, version in zip(TARGETS, used, strict=True))


@pytest.mark.nightly
def test_the_churn_command_beside_the_code_server_works_on_the_same_dagster_and_mlflow(stack: Stack) -> None:
    before = [run["runId"] for run in stack.runs()]
    done = stack.native.run("code", "churn", "run", "--json")
    assert done.returncode == 0, done.stderr
    # From the server, not from the copies kept in the home.
    assert "comes from the copy" not in done.stderr
    runs = stack.runs()
    assert [run["runId"] for run in runs[:-1]] == before
    assert runs[-1]["status"] == "SUCCESS"
    assert stack.sql("select distinct run_id from churn.latest_predictions") == [(runs[-1]["runId"],)]


def test_no_password_is_said_by_any_service(stack: Stack) -> None:
    hidden = [value for name, value in stack.native.variables.items() if name.endswith("_PASSWORD")]
    logs = "".join(path.read_text(encoding="utf-8", errors="replace") for path in stack.native.root.glob("*.log"))
    shown = {
        folder.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        for pid in stack.native.left()
        if (folder := Path(f"/proc/{pid}/cmdline")).exists()
    }
    assert len(hidden) == 7
    for value in hidden:
        assert value not in logs
        assert not any(value in command for command in shown)


def test_stopped_it_leaves_nothing_running_and_started_again_it_still_knows_everything(stack: Stack) -> None:
    runs, versions = stack.runs(), stack.versions()
    list_before = stack.sql("select * from churn.latest_predictions order by customer_id")
    ended = stack.native.down()
    assert list(ended) == ["daemon", "webserver", "code", "mlflow", "postgres"]
    assert stack.native.left() == []
    stack.native.up()
    assert stack.runs() == runs
    assert stack.versions() == versions
    assert stack.sql("select * from churn.latest_predictions order by customer_id") == list_before


@pytest.mark.nightly
def test_passwords_are_changed_by_a_new_env_file_and_the_script_of_the_databases(stack: Stack) -> None:
    logins = {"dagster": "dagster", "mlflow": "mlflow", "churn": "predictions", "postgres": "postgres"}
    old = {user: stack.password(user) for user in logins}
    names = [
        name
        for name in stack.native.variables
        if name.endswith(("DB_PASSWORD", "READER_PASSWORD", "POSTGRES_PASSWORD"))
    ]
    assert len(names) == 5
    stack.native.down()
    stack.native.configure({**stack.native.variables, **{name: secrets.token_hex(24) for name in names}})
    stack.native.start("postgres")
    stack.native.init_databases()
    stack.native.up()
    assert stack.sql("select count(*) > 500 from churn.latest_predictions") == [(True,)]
    for user, database in logins.items():
        assert stack.sql("select 1", database, user) == [(1,)]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            stack.sql("select 1", database, user, old[user])


@pytest.mark.nightly
def test_a_backup_that_is_restored_into_an_empty_stack_is_the_same_stack(
    stack: Stack, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The commands of docs/operations.md, in its order."""
    old = stack.native
    runs, versions = stack.runs(), stack.versions()
    predictions = stack.sql("select * from churn.latest_predictions order by customer_id")
    for name in ("daemon", "webserver", "code", "mlflow"):
        old.stop(name)
    databases = ("dagster", "mlflow", "predictions")
    for name in databases:
        old.pipe("postgres", "pg_dump", "-U", "postgres", "-Fc", name, out=tmp_path / f"{name}.dump")
    old.pipe("code", "tar", "-C", "/srv/churn", "--exclude=./data/raw", "-cf", "-", ".", out=tmp_path / "home.tar")
    old.pipe("mlflow", "tar", "-C", "/var/lib/mlflow", "-cf", "-", ".", out=tmp_path / "mlflow.tar")
    old.down()

    new = Native(tmp_path_factory.mktemp("restored"), old.variables)
    try:
        new.start("postgres")
        for name in databases:
            restore = ("pg_restore", "-U", "postgres", "--clean", "--if-exists", "-d", name)
            new.pipe("postgres", *restore, into=tmp_path / f"{name}.dump")
        new.init_databases()
        new.pipe("code", "tar", "-C", "/srv/churn", "-xf", "-", into=tmp_path / "home.tar")
        new.pipe("mlflow", "tar", "-C", "/var/lib/mlflow", "-xf", "-", into=tmp_path / "mlflow.tar")
        new.up()
        restored = Stack(new)
        assert restored.runs() == runs
        assert restored.versions() == versions
        assert restored.sql("select * from churn.latest_predictions order by customer_id") == predictions
        # It goes on from there: the same Monday again, with models from the restored server.
        done = new.run("code", "churn", "run", "--json")
        assert done.returncode == 0, done.stderr
        assert "comes from the copy" not in done.stderr
        assert len(restored.runs()) == len(runs) + 1
    finally:
        new.kill()


@pytest.mark.nightly
def test_the_migrations_of_an_upgrade_find_nothing_to_do(stack: Stack) -> None:
    native = stack.native
    native.start("postgres")
    for service, words in (
        ("mlflow", ("sh", "-c", 'mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"')),
        ("webserver", ("dagster", "instance", "migrate")),
    ):
        done = native.run(service, *words)
        assert done.returncode == 0, done.stderr
    native.up()
    assert stack.runs()
