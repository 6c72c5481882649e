"""Every threshold, path and secret, read from the environment (``CHURN_*``) and nowhere else.

What decides about a *customer* (cut-offs, weights, plan ladder, playbook) is policy and lives in dbt seeds; what decides about the
*pipeline* lives here.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from datetime import UTC, date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from churn_pipeline.core import dbt_project, machine
from churn_pipeline.core.atomic import PUBLISHED
from churn_pipeline.core.calendar import is_monday, monday_on_or_before
from churn_pipeline.core.errors import HomeError, InputError
from churn_pipeline.core.formatting import markdown_table
from churn_pipeline.core.model_kinds import Device
from churn_pipeline.core.postgres_url import HOW_TO_WRITE_ONE, is_postgres_url

_HEAD = """\
# Settings

<!-- Generated from churn_pipeline/core/settings.py by `python -m churn_pipeline.core.settings`. Edit the descriptions there. -->

Every threshold, path and secret of the pipeline is an environment variable, read at the start of a command; `--home` and `--raw` go
before theirs. What decides about a customer (cut-offs, plan ladder, weights, playbook) is policy and lies in `dbt_project/seeds`.

"""

# Variables that are not read any more, and where what they said is said now: nobody should believe that they still hold.
_MOVED = {
    "CHURN_CALL_CAPACITY": "the length of the call list is call_capacity in dbt_project/seeds/policy_parameters.csv"
}

# What .env.example has in place of every secret, and everybody knows.
_PLACEHOLDER = re.compile("change[-_ ]?me", re.IGNORECASE)
# What a home's path may not hold, and who reads it wrongly: no way of writing it helps there. Spaces, quotes and accents are no trouble.
_MISREAD = re.compile(r"(?P<duckdb>[?\\])|(?P<dbt>#)|(?P<sqlalchemy>%[0-9A-Fa-f]{2})|(?P<people>[\x00-\x1f\x7f])")
_MISREAD_BY = {
    "duckdb": "DuckDB takes",
    "dbt": "dbt takes",
    "sqlalchemy": "Dagster and MLflow take",
    "people": "messages would show",
}

# A request's log line and its limit go by the name; the characters are those that a bearer token may have (RFC 6750).
_NAMED_TOKEN = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,64}):(?P<token>[A-Za-z0-9._~+/-]+=*)")
_TOKEN_CHARACTERS = 16

_MEBIBYTE = 1 << 20
# With less DuckDB cannot even open a home of a hundred customers.
_LEAST_MEMORY_MEBIBYTES = 128
_MEMORY = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT])(?P<binary>i?)B", re.IGNORECASE)

PACKAGE = Path(__file__).resolve().parents[1]
REPOSITORY = PACKAGE.parent


def shipped(name: str) -> Path:
    """Where something is that lies beside the package in a checkout, and in it where the package was built into a wheel."""
    return PACKAGE / name if is_built() else REPOSITORY / name


def is_built() -> bool:
    """Whether this is an installed wheel and no checkout: only the build puts the dbt project into the package."""
    return (PACKAGE / "dbt_project").is_dir()


def _default_home() -> Path:
    return Path.cwd() if is_built() else REPOSITORY


def _default_memory_limit() -> str:
    return f"{max(machine.memory_bytes() // 2 // _MEBIBYTE, _LEAST_MEMORY_MEBIBYTES)}MiB"


def _is_near(host: str) -> bool:
    """Whether an address leads no further than the private network, as far as it shows."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        # Containers and machines of one network call each other by names without a dot.
        return "." not in host or host.lower().endswith((".local", ".internal", ".lan", ".home.arpa"))
    return address.is_private or address.is_loopback


class Settings(BaseSettings):
    """Settings of one home. Two homes never touch each other."""

    model_config = SettingsConfigDict(
        # What was given may be a secret, and an error would print it.
        env_prefix="CHURN_",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(
        default_factory=_default_home, description="Directory that holds all state, as HOME/data and HOME/mlflow."
    )
    raw: Path | None = Field(None, description="Directory of raw tables; HOME/data/raw unless set.")
    sources: Path | None = Field(
        None,
        description="What raw tables are made of where they are not the contract's own; HOME/sources.yml unless set.",
    )
    timezone: str = Field("UTC", description="IANA zone of the partitions, of the schedule and of a snapshot's 00:00.")
    schedule_cron: str = Field("0 8 * * 1", description="When the Monday run starts, in the zone above.")
    now: datetime | None = Field(None, description="Stands in for the clock, for tests and demonstrations.")

    first_monday: date = Field(
        date(2012, 1, 2),
        description="Oldest Monday that can be asked for. Unless it is set, the Dagster UI offers those from the first one that the landed "
        "data tell something of.",
    )
    history_weeks: int = Field(
        156, ge=60, description="Weekly snapshots kept in the feature marts, counted back from S."
    )
    freshness_days: int = Field(
        7,
        ge=1,
        description="Newest usage event older than this before S refuses the week; before the first event nothing does.",
    )
    max_bad_share: float = Field(0.05, ge=0, le=1, description="Share of bad rows in a table over which a run stops.")
    max_bad_rows: int = Field(20, ge=0, description="Bad rows that are always tolerated, whatever their share.")
    max_book_change: float = Field(
        0.2,
        gt=0,
        description="Share by which active customers, revenue or departures of a past Monday may differ from what the former landing said "
        "of it, before a run stops; see operations.md.",
    )
    life_gap_days: int = Field(
        30,
        ge=0,
        le=366,
        description="A gap of up to this many days does not end a customer's life; the end of subscriptions is known that much later.",
    )
    booking_delay_days: int | None = Field(
        None,
        ge=0,
        le=366,
        description="How many days after its date a departure is booked; labels close that much later. Unless set, it is read from rows "
        "that came after the end that they tell of (`loaded_at`); see operations.md.",
    )
    trust_static_plan: bool = Field(False, description="Train on plan_tier and mrr although no plan history exists.")

    training_cadence_weeks: int = Field(4, ge=1, description="Distance of training Mondays on the fixed grid.")
    min_train_churners: int = Field(
        100, ge=1, description="Distinct positive customers that boosted trees need in the twin's training weeks."
    )
    min_test_churners: int = Field(
        30, ge=1, description="Distinct positive customers that boosted trees need in the test weeks."
    )
    training_rows: int = Field(
        120_000,
        ge=10_000,
        description="Most snapshots that a model learns from; of a larger book a training looks at a sample of whole customers, see "
        "decisions/models.md.",
    )
    bootstrap_replicates: int = Field(400, ge=50, description="Customer-clustered resamples behind every interval.")
    train_on_touched: bool = Field(
        True,
        description="Train also on customers with an intervention in the label's window; without them risk is overstated, see "
        "decisions/models.md.",
    )
    holdout_share: float = Field(
        0,
        ge=0,
        le=0.5,
        description="Share of those who would be called, without the largest accounts, left out of the call list to measure the calls.",
    )
    threads: int = Field(
        default_factory=machine.processors,
        ge=1,
        description="Threads for DuckDB and XGBoost; as many as the machine, or the container, has processors unless set.",
    )
    memory_limit: str = Field(
        default_factory=_default_memory_limit,
        description="How much memory DuckDB may take before it writes to the folder below, as 4GB or 512MB; half of what the machine, or the "
        "container, has unless set. Python and XGBoost come on top.",
    )
    spill_dir: Path | None = Field(
        None,
        description="Where DuckDB puts what does not fit into that memory, in a folder of this home's own; beside the warehouse unless set.",
    )
    device: Device = Field(
        "cpu",
        description="What trees are trained and explained on: cpu, or cuda for a graphics card; a version keeps the one it was trained on.",
    )
    seed: int = Field(7, description="Seed of training and resampling.")

    lock_wait_seconds: float = Field(600, ge=0, description="How long a writer waits for another one on the same home.")
    published_group: str | None = Field(
        None,
        description="Unix group that may read HOME/data/published, beside the owner; see privacy.md. Only the owner may unless set.",
    )
    mlflow_tracking_uri: str | None = Field(None, description="MLflow server; SQLite under HOME/mlflow unless set.")

    trigger_needed: int = Field(
        3, ge=1, description="Mondays under the promised quality, of those below, that ask for an extra training."
    )
    trigger_look_back: int = Field(5, ge=1, le=52, description="The newest Mondays among which they are counted.")

    slack_token: SecretStr | None = Field(None, description="Bot token (xoxb-...) with chat:write; see docs/slack.md.")
    slack_webhook: SecretStr | None = Field(None, description="Incoming webhook, where there is no bot token.")
    slack_channel: str | None = Field(None, description="Channel ID (C...) that a bot posts to.")
    slack_channels: dict[str, str] = Field(
        default_factory=dict,
        description="Other channels by kind, as JSON: digest, run_failed, data_refused, model_refused, drift, deadline.",
    )
    slack_owners: dict[str, str] = Field(
        default_factory=dict,
        description='Who is mentioned as owner, as JSON of owner and member ID: {"Elena García": "U012AB3CD"}; see docs/slack.md.',
    )
    slack_timeout_seconds: int = Field(10, ge=1, description="How long one request to Slack may stay silent.")
    slack_api: str = Field("https://slack.com/api/", description="Base of Slack's Web API; GovSlack has its own.")
    outbox_keep_weeks: int = Field(8, ge=1, description="How long sent messages are remembered in HOME/data/outbox.")
    publish_url: SecretStr | None = Field(
        None,
        description="PostgreSQL for dashboards, postgresql://USER:PASSWORD@HOST:PORT/DATABASE; see docs/postgresql.md.",
    )
    publish_path: str | None = Field(
        None,
        description="Place in an object store that Parquet by Monday is published to, s3://BUCKET/PATH; see docs/published.md.",
    )
    published_webhook: SecretStr | None = Field(
        None,
        description="Address that gets a signed request when a Monday is out; see docs/published.md.",
    )
    published_webhook_secret: SecretStr | None = Field(
        None, description="What those requests are signed with, 16 characters or more; known to both sides."
    )
    deadline: time = Field(
        time(10), description="On Monday, in the zone above: no published predictions by then raise an alert."
    )
    dagster_url: str | None = Field(None, description="Address of the Dagster UI, for links in Slack.")
    ui_user: str = Field("churn", description="Name for the login of the Dagster UI in the stack.")
    ui_password: SecretStr | None = Field(
        None, description="Password of that login, at least 12 characters; `churn ui` needs none."
    )
    ui_addresses: str | None = Field(
        None,
        description="Other addresses of the Dagster UI, divided by commas (https://HOST): it answers under no name that it was not told.",
    )
    api_tokens: SecretStr | None = Field(
        None,
        description="Who may ask `churn serve`: NAME:TOKEN, divided by commas, each token of 16 characters or more; see docs/api.md. Without "
        "any it answers this machine only.",
    )
    api_rate: int = Field(
        600, ge=0, description="Requests a minute that each token may send to `churn serve`; 0 is no limit."
    )
    report_url: str | None = Field(
        None,
        description="Address under which HOME/data/published/report can be opened, for links in Slack: https://HOST/PATH.",
    )
    brief_url: str | None = Field(
        None,
        description="Base address of an OpenAI-compatible endpoint that writes expansion briefs, such as http://localhost:11434/v1; without "
        "one, a template does. See docs/briefs.md.",
    )
    brief_model: str | None = Field(None, description="The model it is asked for; needed with the address.")
    brief_key: SecretStr | None = Field(None, description="Key that the endpoint wants, where it wants one.")
    brief_timeout_seconds: float = Field(
        20, gt=0, le=600, description="Most that one request to the endpoint may take, all in all."
    )
    brief_attempts: int = Field(
        2,
        ge=0,
        le=5,
        description="How often a request is repeated when the endpoint is busy, fails or cannot be reached.",
    )
    brief_budget: int = Field(
        100,
        ge=0,
        description="Most requests to the endpoint in one run, repeated ones counted; what is over is written by the template.",
    )
    brief_prepare: int = Field(
        0,
        ge=0,
        le=1000,
        description="For how many of the first expansion candidates the run of this Monday prepares briefs, 0 for none; see operations.md.",
    )
    dagster_config: Path | None = Field(
        None, description="A dagster.yaml to use in place of churn's own, such as docker/dagster.yaml with PostgreSQL."
    )

    @field_validator(
        "slack_token",
        "slack_webhook",
        "publish_url",
        "published_webhook",
        "published_webhook_secret",
        "ui_password",
        "brief_key",
        "api_tokens",
        "mlflow_tracking_uri",
        mode="after",
    )
    @classmethod
    def _own_secret(cls, value: SecretStr | str | None) -> SecretStr | str | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value or ""
        if _PLACEHOLDER.search(text):
            raise ValueError(
                "it is still change-me, which everybody knows; 'make env' writes a new secret in every such place of .env"
            )
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"'{value}' is no IANA time zone; write one such as Europe/Berlin") from None
        return value

    @field_validator("first_monday")
    @classmethod
    def _monday(cls, value: date) -> date:
        if not is_monday(value):
            raise ValueError(f"{value} is a {value:%A}; write the Monday before it, {monday_on_or_before(value)}")
        return value

    @field_validator("memory_limit")
    @classmethod
    def _enough_memory(cls, value: str) -> str:
        match = _MEMORY.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"'{value}' is no size of memory; write one such as 4GB or 512MB")
        base = 1024 if match["binary"] else 1000
        size = float(match["number"]) * base ** ("KMGT".index(match["unit"].upper()) + 1)
        if size < _LEAST_MEMORY_MEBIBYTES * _MEBIBYTE:
            raise ValueError(f"{value} is too little to work in; give {_LEAST_MEMORY_MEBIBYTES}MiB or more")
        return match.group()

    @field_validator("home", "raw", "sources", "dagster_config", "spill_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().resolve() if value is not None else None

    @field_validator("home")
    @classmethod
    def _can_be_opened(cls, value: Path) -> Path:
        if wrong := _MISREAD.search(str(value)):
            raise ValueError(
                f"'{value}' has {wrong.group()!r} in its path, which {_MISREAD_BY[wrong.lastgroup or '']} for something else: "
                "rename the folder, or give another --home"
            )
        return value

    @field_validator("now")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    @field_validator("publish_url")
    @classmethod
    def _postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_postgres_url(value.get_secret_value()):
            raise ValueError(f"the address of PostgreSQL cannot be read; {HOW_TO_WRITE_ONE}")
        return value

    @field_validator("publish_path")
    @classmethod
    def _in_a_store(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        # A login in it would be printed with the address; the libraries of the stores take theirs from the environment.
        if not re.fullmatch(r"(s3|s3a|gs|gcs|az|abfs|abfss)://[^\s/@?#]+(/[^\s@?#]+)*/?", value.strip()):
            raise ValueError("write a bucket and a path, without a login, such as s3://acme-analytics/churn")
        return value.strip().rstrip("/")

    @field_validator("published_webhook")
    @classmethod
    def _http(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value().strip():
            return None
        if not re.fullmatch(r"https?://[^\s/#]+\S*", value.get_secret_value().strip()):
            raise ValueError("write an address such as https://host.example.com/path")
        return value

    @field_validator("published_webhook_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if len(value.get_secret_value()) < 16:
            raise ValueError("write 16 characters or more, such as the output of: openssl rand -hex 32")
        return value

    @field_validator("api_tokens")
    @classmethod
    def _named_tokens(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value().strip():
            return None
        _tokens_of(value.get_secret_value())
        return value

    @field_validator("report_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        if not re.fullmatch(r"https?://[^\s/#?][^\s#?]*", value.strip()):
            raise ValueError("write an address without ? and #, such as https://churn.example.com/report")
        return value.strip().rstrip("/")

    @field_validator("brief_url")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        text = value.strip().rstrip("/")
        # The address is printed and kept with every brief, so a login has no place in it.
        match = re.fullmatch(r"(https?)://(\[[0-9a-fA-F:]+\]|[^\s/@?#:\[\]]+)(:\d{1,5})?(/[^\s@?#]*)?", text)
        if match is None:
            raise ValueError("write an address without a login, ? and #, such as http://localhost:11434/v1")
        if match[1] == "http" and not _is_near(match[2]):
            raise ValueError(
                "http is for this machine and the private network, whose names have no dot or end in .local, .internal or .lan; "
                "elsewhere write https"
            )
        return text

    @field_validator("brief_model")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        if len(value.strip()) > 200 or not value.strip().isprintable():
            raise ValueError("write the name of a model, such as llama3.1:8b")
        return value.strip()

    @field_validator("brief_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value().strip():
            return None
        text = value.get_secret_value().strip()
        if not re.fullmatch(r"[\x21-\x7e]+", text):
            raise ValueError("a key has letters, digits and signs, and neither blanks nor line breaks within")
        return SecretStr(text)

    @field_validator("slack_owners")
    @classmethod
    def _members(cls, value: dict[str, str]) -> dict[str, str]:
        # Slack refuses a message that mentions nobody it knows, and with it the whole list.
        if wrong := [owner for owner, member in value.items() if not re.fullmatch(r"[UW][A-Z0-9]{7,20}", member)]:
            raise ValueError(
                f"a member ID is written U012AB3CD (Slack, profile, Copy member ID); see {', '.join(wrong)}"
            )
        return value

    @model_validator(mode="after")
    def _is_read(self) -> Self:
        for variable, where in _MOVED.items():
            if os.environ.get(variable):
                raise ValueError(f"{variable} is not read any more: {where}; take the variable out")
        return self

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        if self.published_webhook is not None and self.published_webhook_secret is None:
            raise ValueError(
                "CHURN_PUBLISHED_WEBHOOK is set and CHURN_PUBLISHED_WEBHOOK_SECRET is not: every request is signed, so set both"
            )
        return self

    @model_validator(mode="after")
    def _knows_whom_to_ask(self) -> Self:
        if (self.brief_url is None) != (self.brief_model is None):
            given, missing = ("URL", "MODEL") if self.brief_url else ("MODEL", "URL")
            raise ValueError(
                f"CHURN_BRIEF_{given} is set and CHURN_BRIEF_{missing} is not: an endpoint is both, so set both or none"
            )
        return self

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.trigger_needed > self.trigger_look_back:
            raise ValueError(
                f"CHURN_TRIGGER_NEEDED is {self.trigger_needed}, and CHURN_TRIGGER_LOOK_BACK only {self.trigger_look_back}"
            )
        return self

    @cached_property
    def tokens_of_api(self) -> dict[str, str]:
        """Who may ask `churn serve`: the token by its name."""
        return _tokens_of(self.api_tokens.get_secret_value()) if self.api_tokens is not None else {}

    def clock(self) -> datetime:
        """The current instant, aware."""
        return self.now or datetime.now(UTC)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def raw_dir(self) -> Path:
        return self.raw or self.data / "raw"

    @property
    def sources_file(self) -> Path:
        """Which file, column and word means what; it need not be there."""
        return self.sources or self.home / "sources.yml"

    @property
    def fetched(self) -> Path:
        """Copies of what lies in databases and object stores, a folder a table."""
        return self.data / "sources"

    @property
    def warehouse(self) -> Path:
        return self.data / "warehouse.duckdb"

    @property
    def spill(self) -> Path:
        """This home's own folder for what DuckDB cannot keep in memory: see :mod:`churn_pipeline.core.spill`."""
        if self.spill_dir is None:
            return self.spill_link
        return self.spill_dir / self.spill_name

    @property
    def spill_name(self) -> str:
        """What that folder is called where it lies among those of other homes."""
        return f"churn-{hashlib.sha256(str(self.home).encode()).hexdigest()[:12]}"

    @property
    def spill_link(self) -> Path:
        """Where every connection to the warehouse looks for that folder, because DuckDB itself chose the name."""
        return self.warehouse.with_name(f"{self.warehouse.name}.tmp")

    @property
    def published(self) -> Path:
        return self.data / PUBLISHED

    @property
    def published_database(self) -> Path:
        return self.published / "churn.duckdb"

    @property
    def rescored_database(self) -> Path:
        return self.published / "rescored.duckdb"

    @property
    def monitoring_database(self) -> Path:
        return self.published / "monitoring.duckdb"

    @property
    def outbox(self) -> Path:
        return self.data / "outbox"

    @property
    def briefs(self) -> Path:
        """The audit of expansion briefs. Those that a run prepared lie with what is published."""
        return self.data / "briefs"

    @property
    def quality(self) -> Path:
        """What was expected of the data and found, as the Data Docs are made of it."""
        return self.data / "quality"

    @property
    def models(self) -> Path:
        return self.data / "models"

    @property
    def dagster_home(self) -> Path:
        return self.data / "dagster"

    @property
    def policy(self) -> Path:
        """CSV files that take the place of the shipped seeds of the same name; it need not be there."""
        return self.home / "policy"

    @property
    def dbt_target(self) -> Path:
        """Copies of the dbt project with what dbt made of them, and dbt's log."""
        return self.data / "dbt"

    @property
    def dbt_source(self) -> Path:
        """The dbt project as it is shipped, which is only read."""
        return shipped("dbt_project")

    @property
    def dbt_copy(self) -> Path:
        """The folder of the home's copy of the dbt project, as the project and HOME/policy are now."""
        return dbt_project.copy_of(self.dbt_source, self.policy, self.dbt_target)

    @property
    def dbt_project(self) -> Path:
        """The dbt project that the home uses: the shipped one with HOME/policy laid over it."""
        return self.dbt_copy / dbt_project.PROJECT

    @property
    def first_monday_note(self) -> Path:
        """Since when the landed data tell something; see `orchestration/partitions.py`."""
        return self.data / "first_monday.json"

    @property
    def lock_file(self) -> Path:
        return self.data / ".lock"

    @property
    def home_note(self) -> Path:
        """Which form the home is in; see `core/home.py`."""
        return self.data / "home.json"

    @property
    def mlflow_home(self) -> Path:
        return self.home / "mlflow"

    @property
    def mlflow_database(self) -> Path:
        return self.mlflow_home / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.mlflow_home / "artifacts"

    @cached_property
    def tracking_uri(self) -> str:
        return self.mlflow_tracking_uri or f"sqlite:///{self.mlflow_database}"


def _tokens_of(text: str) -> dict[str, str]:
    """Tokens by name. What is wrong is told without a token.

    Raises:
        ValueError: one cannot be read or is too short, or a name or a token is given twice.
    """
    tokens: dict[str, str] = {}
    for position, part in enumerate(text.split(","), start=1):
        match = _NAMED_TOKEN.fullmatch(part.strip())
        if match is None:
            raise ValueError(
                f"number {position} is no NAME:TOKEN; a name has letters, digits, _ . and -, a token those and ~ + / ="
            )
        name, token = match["name"], match["token"]
        if len(token) < _TOKEN_CHARACTERS:
            raise ValueError(
                f"the token of '{name}' is shorter than {_TOKEN_CHARACTERS} characters; write the output of: openssl rand -hex 32"
            )
        if name in tokens or token in tokens.values():
            raise ValueError(f"the name or the token of number {position}, '{name}', is given twice")
        tokens[name] = token
    return tokens


def settings_of(**given: Any) -> Settings:
    """The settings of a home, from the environment and from what is given instead.

    Raises:
        HomeError: no home can be there.
        InputError: a setting cannot be used; the message names every one of them.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = "; ".join(
            f"CHURN_{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        only_home = all(problem["loc"] == ("home",) for problem in error.errors())
        raise (HomeError if only_home else InputError)(problems) from None


def render_docs() -> str:
    """The page docs/settings.md; a test compares the two. The default home is named, not printed: it differs by machine."""

    def default(value: object) -> str:
        if value is None:
            return "not set"
        if value == REPOSITORY:
            return "the repository; of an installed package the current directory"
        if value in (machine.processors, _default_memory_limit):
            return "the machine's"
        return f"`{value:%H:%M}`" if isinstance(value, time) else f"`{value}`"

    prefix = Settings.model_config["env_prefix"]
    rows = (
        (
            f"`{prefix}{name.upper()}`",
            # What differs by machine is named, not printed.
            default(
                field.default_factory
                if field.default_factory in (machine.processors, _default_memory_limit)
                else field.get_default(call_default_factory=True)
            ),
            field.description,
        )
        for name, field in Settings.model_fields.items()
    )
    return _HEAD + markdown_table(["variable", "default", "what it is"], rows) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(render_docs())
