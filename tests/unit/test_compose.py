"""docker-compose.yml and what belongs to it, as files: nothing here needs Docker."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.orchestration.execute import _DAGSTER_YAML, prepare_home
from tests.support import compose

FILE = compose.compose_file()
SERVICES = FILE["services"]
SCHEMA = Path(__file__).parent.parent / "data" / "compose-spec" / "compose-spec.json"
# Set by the file itself, because the containers' folders and addresses are its own.
SET_BY_THE_FILE = {"home", "raw", "mlflow_tracking_uri", "publish_url", "dagster_config", "dagster_url"}
SECRET = re.compile(r"password|secret|token|_key", re.IGNORECASE)


def test_the_file_satisfies_the_schema_of_the_compose_specification() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft201909Validator(schema).validate(FILE)
    # The schema is of use: it knows a misspelled key.
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {"services": {"a": {"image": "b", "healtcheck": {}}}}, schema, jsonschema.Draft201909Validator
        )


def test_the_stack_has_the_services_that_the_page_on_operations_speaks_of() -> None:
    assert set(SERVICES) == {"postgres", "mlflow", "code", "webserver", "daemon", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_starts_again_is_watched_and_runs_as_somebody_without_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])
    assert str(service["user"]).split(":")[0] not in ("", "0", "root")
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned(name: str) -> None:
    assert re.search(r":\d+\.\d+(\.\d+)?(-[a-z]+)?(@sha256:[0-9a-f]{64})?$", SERVICES[name]["image"])


def test_the_images_that_are_built_here_carry_the_version_of_the_project_and_stand_on_one_python() -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    built = {service["image"]: service["build"]["dockerfile"] for service in SERVICES.values() if "build" in service}
    assert built == {
        f"churn-pipeline:{version}": "docker/Dockerfile",
        f"churn-mlflow:{version}": "mlflow/Dockerfile",
    }
    for dockerfile in built.values():
        lines = (REPOSITORY / dockerfile).read_text(encoding="utf-8").splitlines()
        bases = {line.split()[1] for line in lines if line.startswith("FROM ")}
        assert len(bases) == 1
        assert re.fullmatch(r"python:3\.12\.\d+-slim-bookworm", bases.pop())
        assert any("--require-hashes" in line for line in lines)
        users = [line.split()[1] for line in lines if line.startswith("USER ")]
        assert users == ["10001:10001"]
        for line in lines:
            if line.startswith("COPY ") and "--from" not in line:
                for source in line.split()[1:-1]:
                    assert (REPOSITORY / source).exists(), line


def test_the_mlflow_server_is_the_version_that_the_pipeline_speaks_to() -> None:
    def pins(path: str) -> dict[str, str]:
        text = (REPOSITORY / path).read_text(encoding="utf-8")
        return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE))

    server, pipeline = pins("mlflow/requirements.lock"), pins("requirements.lock")
    assert server.items() <= pipeline.items()
    assert {"mlflow", "psycopg2-binary", "uvicorn"} <= set(server)


def test_no_secret_stands_in_the_file() -> None:
    """Whatever is called a password is a variable without a default, and so is the password of every address."""
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if value is None:
                continue
            if SECRET.search(key):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), f"{name}: {key}"
            for password in re.findall(r"//[^/\s:@]*:((?:\$\{[^}]*\}|[^@/])+)@", str(value)):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", password), f"{name}: {key}"
        assert not any(SECRET.search(word) for word in service.get("command", []))


def test_every_variable_of_the_file_is_in_the_example_and_none_is_there_for_nothing() -> None:
    variables = compose.variables_in(
        "\n".join(line for line in compose.COMPOSE.read_text().splitlines() if not line.lstrip().startswith("#"))
    )
    assert variables == set(compose.variables_of()) - {"COMPOSE_PROJECT_NAME"}
    assert compose.services(compose.variables_of())


def test_without_an_env_file_it_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(KeyError, match=r"copy \.env\.example to \.env"):
        compose.services({})


def test_every_setting_can_be_given_in_the_env_file() -> None:
    given = SERVICES["code"]["environment"]
    open_ones = {f"CHURN_{name.upper()}" for name in set(Settings.model_fields) - SET_BY_THE_FILE}
    assert {key for key, value in given.items() if value is None} == open_ones
    assert {key for key in given if key.startswith("CHURN_")} - open_ones <= {
        f"CHURN_{name.upper()}" for name in SET_BY_THE_FILE
    }


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_on_this_machine_only_unless_somebody_says_otherwise(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("${BIND_ADDRESS:-127.0.0.1}:")
    assert compose.variables_of()["BIND_ADDRESS"] == "127.0.0.1"


@pytest.mark.parametrize("name", SERVICES)
def test_state_lies_in_named_volumes_and_what_is_mounted_from_the_repository_is_there_and_read_only(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, _, mode = re.fullmatch(r"(\$\{[^}]*\}|[^:]+):([^:]+)(?::(\w+))?", volume).groups()  # type: ignore[union-attr]
        if source.startswith("./"):
            assert (REPOSITORY / source).exists()
            assert mode == "ro"
        else:
            assert compose.interpolated(source, {}) in FILE["volumes"]


def test_the_stack_differs_from_a_home_in_dagsters_storage_alone() -> None:
    stack = yaml.safe_load((REPOSITORY / "docker/dagster.yaml").read_text(encoding="utf-8"))
    postgres = stack.pop("storage")["postgres"]["postgres_db"]
    assert stack == yaml.safe_load(_DAGSTER_YAML)
    assert postgres.pop("scheme") == "postgresql+psycopg2"
    assert {setting["env"] for setting in postgres.values()} <= set(SERVICES["daemon"]["environment"])


def test_a_home_takes_over_the_dagster_configuration_that_it_is_given(tmp_path: Path) -> None:
    given = tmp_path / "dagster.yaml"
    given.write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    settings = Settings(home=tmp_path / "home", dagster_config=given)
    prepare_home(settings)
    config = settings.dagster_home / "dagster.yaml"
    assert config.read_text(encoding="utf-8").endswith(given.read_text(encoding="utf-8"))
    # Without it the home is its own again.
    prepare_home(Settings(home=tmp_path / "home"))
    assert config.read_text(encoding="utf-8") == _DAGSTER_YAML
    given.unlink()
    with pytest.raises(InputError, match="CHURN_DAGSTER_CONFIG"):
        prepare_home(settings)


def test_the_script_of_the_databases_can_be_run_by_the_image() -> None:
    script = REPOSITORY / "docker/postgres/10-databases.sh"
    assert script.stat().st_mode & stat.S_IXOTH
    assert SECRET.search(script.read_text(encoding="utf-8"))
    variables = set(re.findall(r"\\getenv \w+ (\w+)", script.read_text(encoding="utf-8")))
    assert variables <= set(SERVICES["postgres"]["environment"])


def test_grafana_reads_predictions_with_the_login_that_may_only_read() -> None:
    folder = REPOSITORY / "dashboards/grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/predictions.yml").read_text(encoding="utf-8"))["datasources"]
    text = (folder / "datasources/predictions.yml").read_text(encoding="utf-8")
    assert source["user"] == "churn_reader"
    assert compose.variables_in(text) <= set(SERVICES["grafana"]["environment"])
    assert source["secureJsonData"] == {"password": "$CHURN_READER_PASSWORD"}
    (provider,) = yaml.safe_load((folder / "dashboards/boards.yml").read_text(encoding="utf-8"))["providers"]
    assert any(volume.split(":")[1] == provider["options"]["path"] for volume in SERVICES["grafana"]["volumes"])


def test_make_env_gives_every_password_a_value_of_its_own_and_leaves_one_that_is_there_alone(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(REPOSITORY / "scripts/env.sh", tmp_path / "scripts")
    shutil.copy(compose.EXAMPLE, tmp_path)
    subprocess.run([tmp_path / "scripts/env.sh"], check=True, capture_output=True)
    written = tmp_path / ".env"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    example, made = compose.variables_of(), compose.variables_of(written)
    changed = {name for name in example if example[name] != made[name]}
    assert changed == {name for name, value in example.items() if value == "change-me"}
    assert all(re.fullmatch(r"[0-9a-f]{48}", made[name]) for name in changed)
    assert len({made[name] for name in changed}) == len(changed)
    before = written.read_bytes()
    subprocess.run([tmp_path / "scripts/env.sh"], check=True, capture_output=True)
    assert written.read_bytes() == before
