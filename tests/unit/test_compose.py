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
from churn_pipeline.orchestration.execute import prepare_home
from churn_pipeline.orchestration.instance import DAGSTER_YAML
from tests.support import compose

FILE = compose.compose_file()
SERVICES = FILE["services"]
SCHEMA = Path(__file__).parent.parent / "data" / "compose-spec" / "compose-spec.json"
# Set by the file itself, because the containers' folders and addresses are its own.
SET_BY_THE_FILE = {"home", "raw", "mlflow_tracking_uri", "publish_url", "dagster_config", "dagster_url"}
# Of the web server, which the code server does not know.
OF_THE_WEB_SERVER = {"ui_user", "ui_password", "ui_addresses"}
# The stack has no service that answers over HTTP, and no other one is to know the tokens.
OF_THE_API = {"api_tokens", "api_rate"}
START = ["/bin/sh", "/opt/churn/docker/start.sh"]
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
        assert re.fullmatch(r"python:3\.12\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", bases.pop())
        assert any("--require-hashes" in line for line in lines)
        users = [line.split()[1] for line in lines if line.startswith("USER ")]
        assert users == ["10001:10001"]
        for line in lines:
            if line.startswith("COPY ") and "--from" not in line:
                for source in line.split()[1:-1]:
                    assert (REPOSITORY / source).exists(), line


def pins(path: str) -> dict[str, str]:
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;]+)", text, re.MULTILINE))


def test_the_images_have_what_the_pipeline_imports_and_nothing_that_tests_it() -> None:
    image, everything = pins("docker/requirements.lock"), pins("requirements.lock")
    assert image.items() <= everything.items()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = re.compile(r"[A-Za-z0-9_.-]+")
    of_extras = {
        extra: {names.match(line)[0] for line in lines}  # type: ignore[index]
        for extra, lines in project["optional-dependencies"].items()
    }
    # What another extra needs is tested too; MLflow brings flask-cors.
    tools = of_extras.pop("dev") - set().union(*of_extras.values()) - {"flask-cors"}
    assert not tools & set(image)
    assert not tools & set(pins("mlflow/requirements.lock"))
    assert {names.match(line)[0] for line in project["dependencies"]} | {"s3fs"} <= set(image)  # type: ignore[index]
    for dockerfile in ("docker/Dockerfile", "mlflow/Dockerfile"):
        lines = (REPOSITORY / dockerfile).read_text(encoding="utf-8").splitlines()
        # No installer in the environment that is copied into the image.
        assert "RUN python -m venv --without-pip /opt/venv" in lines
        (folder,) = [line.split()[1] for line in lines if line.startswith("COPY ") and "requirements.lock" in line]
        assert folder == f"{dockerfile.split('/')[0]}/requirements.lock"


def test_the_mlflow_server_is_the_version_that_the_pipeline_speaks_to() -> None:
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
    with pytest.raises(KeyError, match=r"make env writes \.env"):
        compose.services({})


def test_every_setting_can_be_given_in_the_env_file() -> None:
    given = SERVICES["code"]["environment"]
    open_ones = {
        f"CHURN_{name.upper()}"
        for name in set(Settings.model_fields) - SET_BY_THE_FILE - OF_THE_WEB_SERVER - OF_THE_API
    }
    assert {f"CHURN_{name.upper()}" for name in OF_THE_WEB_SERVER} <= set(SERVICES["webserver"]["environment"])
    assert {key for key, value in given.items() if value is None} == open_ones
    assert {key for key in given if key.startswith("CHURN_")} - open_ones <= {
        f"CHURN_{name.upper()}" for name in SET_BY_THE_FILE
    }


def networks_of(name: str) -> dict[str, dict[str, list[str]]]:
    given = SERVICES[name]["networks"]
    return (
        {network: {} for network in given} if isinstance(given, list) else {key: of or {} for key, of in given.items()}
    )


def members(network: str) -> set[str]:
    return {name for name in SERVICES if network in networks_of(name)}


def test_the_code_server_listens_on_a_network_of_its_own() -> None:
    """Whoever reaches its port starts runs: nobody may but the web server and the daemon, from no other network and not from outside."""
    assert members("grpc") == {"code", "webserver", "daemon"}
    assert FILE["networks"]["grpc"] == {"internal": True}
    assert "ports" not in SERVICES["code"]
    # It listens under the name that it has there, and has nowhere else, so not on its other networks.
    names = {network: of.get("aliases", []) for network, of in networks_of("code").items()}
    (name,) = names.pop("grpc")
    assert name not in SERVICES
    assert not any(names.values())
    command = SERVICES["code"]["command"]
    assert command[command.index("--host") + 1] == name
    for service in ("webserver", "daemon"):
        assert SERVICES[service]["environment"]["DAGSTER_CODE_HOST"] == name


def test_services_that_ask_nobody_who_they_are_have_no_port_and_only_neighbours_that_use_them() -> None:
    assert {name for name in SERVICES if "ports" in SERVICES[name]} == {"postgres", "webserver", "grafana"}
    assert members("tracking") == {"mlflow", "code", "webserver"}
    assert members("databases") == {"postgres", "mlflow", "code", "webserver", "daemon"}
    assert members("dashboards") == {"postgres", "grafana"}
    open_ones = {name for name, network in FILE["networks"].items() if not (network or {}).get("internal")}
    assert open_ones == {"open", "outside"}
    assert members("outside") == {"code"}
    assert members("open") == {"postgres", "webserver", "grafana"}


def test_dagsters_page_is_served_by_the_guard_and_by_nothing_else() -> None:
    assert SERVICES["webserver"]["command"][:3] == ["python", "-m", "churn_pipeline.orchestration.web"]
    words = " ".join(word for service in SERVICES.values() for word in service.get("command", []))
    assert "dagster-webserver" not in words
    assert "dagster dev" not in words


def secrets_of(name: str) -> set[str]:
    """The variables of .env that are secrets, by the service that is given them."""
    environment = SERVICES[name]["environment"]
    return {
        variable
        for value in environment.values()
        if value
        for variable in compose.variables_in(str(value))
        if SECRET.search(variable)
    }


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_starts_with_a_secret_of_the_example(name: str, tmp_path: Path) -> None:
    """The script itself, with the environment that Compose would give."""
    entrypoint = SERVICES[name]["entrypoint"]
    assert entrypoint[:2] == START
    known = [word.split("=")[0] for word in entrypoint[2 : entrypoint.index("--")]]
    assert set(known) == secrets_of(name)
    mounted = any(
        volume == "./docker/start.sh:/opt/churn/docker/start.sh:ro" for volume in SERVICES[name].get("volumes", [])
    )
    assert mounted != ("build" in SERVICES[name])

    def started(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        environment = {
            key: compose.interpolated(str(value), variables)
            for key, value in SERVICES[name]["environment"].items()
            if value is not None
        }
        words = [*entrypoint[2 : entrypoint.index("--") + 1], "/bin/sh", "-c", "echo started"]
        return subprocess.run(
            ["/bin/sh", str(REPOSITORY / "docker/start.sh"), *words],
            env={"PATH": "/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    example = compose.variables_of()
    own = {key: "s3cr3t" if value == "change-me" else value for key, value in example.items()}
    assert (started(own).stdout, started(own).returncode) == ("started\n", 0)
    for secret in known:
        for value in ("change-me", "Change_Me", "changeme"):
            refused = started(own | {secret: value})
            assert (refused.stdout, refused.returncode) == ("", 78)
            assert refused.stderr.splitlines() == [
                f"{secret} in .env is empty or still change-me, which everybody knows.",
                "'make env' writes a new secret in every such place, and leaves the others; then 'docker compose up -d'.",
            ]
    assert started(example).stderr.count("which everybody knows") == len(known)


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
    assert stack == yaml.safe_load(DAGSTER_YAML)
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
    assert config.read_text(encoding="utf-8") == DAGSTER_YAML
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


def test_make_env_gives_every_password_a_value_of_its_own_and_leaves_those_that_are_there_alone(tmp_path: Path) -> None:
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
    # Again: only what is still of the example, such as after `cp .env.example .env`.
    before = written.read_bytes()
    subprocess.run([tmp_path / "scripts/env.sh"], check=True, capture_output=True)
    assert written.read_bytes() == before
    kept = before.replace(made["CHURN_DB_PASSWORD"].encode(), b"change-me") + b"CHURN_TIMEZONE=Europe/Berlin"
    written.write_bytes(kept)
    output = subprocess.run([tmp_path / "scripts/env.sh"], check=True, capture_output=True, text=True).stdout
    assert output == "env: a new secret in .env for CHURN_DB_PASSWORD\n"
    again = compose.variables_of(written)
    assert again.pop("CHURN_DB_PASSWORD") != made.pop("CHURN_DB_PASSWORD")
    assert again == made | {"CHURN_TIMEZONE": "Europe/Berlin"}
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
