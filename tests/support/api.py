"""The API of a home on a real server of this process, and what is published of a home without the rest of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from churn_pipeline.api.app import build_app
from churn_pipeline.api.publications import Publications
from churn_pipeline.core.settings import Settings
from tests.support.web import Page, served


def published_of(settings: Settings, home: Path, **others: object) -> Settings:
    """A home that holds a copy of what another one publishes, and nothing else."""
    copied = Settings(home=home, **others)
    copied.published.mkdir(parents=True)
    shutil.copyfile(settings.published_database, copied.published_database)
    return copied


def publish_again(settings: Settings, *statements: str) -> None:
    """Replaces what is published by a copy that statements have changed, in one step, as a run does."""
    new = settings.published_database.with_name(".new.duckdb")
    shutil.copyfile(settings.published_database, new)
    with duckdb.connect(str(new)) as con:
        for statement in statements:
            con.execute(statement)
    new.replace(settings.published_database)


@contextmanager
def api(settings: Settings, publications: Publications | None = None) -> Iterator[Page]:
    """The API of a home."""
    publications = publications or Publications(settings)
    with served(lambda port: build_app(settings, publications)) as page:
        yield page
    publications.close()
