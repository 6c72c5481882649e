"""Where a home may hold something about a customer, told by what a file looks like.

Every file of a home is one of three: a place that an erasure cleans, one that is declared here to hold no customer, or unknown. A part of the
pipeline that writes a new kind of file has to make it one of the first two. The third kind is looked through byte by byte, and an
erasure that finds the customer there does not end well.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

from churn_pipeline.core.settings import Settings
from churn_pipeline.customers.briefs import audit
from churn_pipeline.delivery.briefs import store
from churn_pipeline.privacy import databases, files
from churn_pipeline.privacy.matching import Traces
from churn_pipeline.sources.copies import Copy, copies

type Handler = Callable[[Path, Traces, bool], int]

# Text that this project, Dagster, dbt and MLflow write.
_TEXT = {
    ".json",
    ".jsonl",
    ".md",
    ".txt",
    ".log",
    ".out",
    ".err",
    ".yaml",
    ".yml",
    ".svg",
    ".xml",
    ".tsv",
    ".unreadable",
}
# Files beside a database that belong to it; they go when it is written anew.
_SIDECARS = (".wal", "-wal", "-shm", "-journal")
# Never looked into: what models are made of (their files are known by checksums and hold no customer), dbt's own files, and the list.
_CLOSED = ("models", "dbt", "forgotten", "raw")
# What holds no customer, as patterns below the home, in which * stands for folders too: locks, plots of all customers together, the styles and scripts
# of the data's pages as earlier versions made them, and the chart library that reports are made with, and their charts without data.
_FREE = (
    "data/*.lock",
    "data/published/*.png",
    "mlflow/artifacts/*.png",
    "data/published/data_docs/*.css",
    "data/published/data_docs/*.js",
    "data/report/charts_*.json",
    "data/report/vega_*.js.gz",
)


def handler(path: Path) -> Handler | None:
    """What looks into a file of this kind and cleans it; None for a kind that has a handling of its own, or none."""
    match path.suffix.lower():
        case ".parquet":
            return files.parquet
        case ".csv":
            return files.csv_rows
        case ".html" | ".htm":
            return files.page
        case ".db" | ".sqlite":
            return databases.sqlite
        case suffix if suffix in _TEXT:
            return files.other_text
    return None


def outbox_files(settings: Settings) -> list[Path]:
    """Messages, and what could not be read as one."""
    return [
        path
        for path in sorted(settings.outbox.glob("*.*"))
        if path.suffix in (".json", ".unreadable") and not path.name.startswith(".")
    ]


def judgement_files(settings: Settings) -> list[Path]:
    """What was found where more was expected, with samples of failing rows."""
    return sorted(settings.quality.glob("*.json"))


def docs_pages(settings: Settings) -> list[Path]:
    """Pages made of those."""
    return sorted(data_docs(settings).rglob("*.html"))


def data_docs(settings: Settings) -> Path:
    """The folder of the pages."""
    return settings.published / "data_docs"


def brief_audit(settings: Settings) -> list[Path]:
    """The audit of expansion briefs, where any was written."""
    return [path for path in (audit.file_of(settings),) if path.is_file()]


def prepared_briefs(settings: Settings) -> list[Path]:
    """Expansion briefs that runs prepared: the documents, and the pages made of them."""
    folders = (store.folder_of(settings, monday) for monday in store.mondays(settings))
    return [path for folder in folders for name in (store.DOCUMENT, store.PAGE) if (path := folder / name).is_file()]


def database_files(settings: Settings) -> list[Path]:
    """Every DuckDB file of the home but the warehouse."""
    return [path for path in sorted(settings.published.rglob("*.duckdb")) if not path.name.startswith(".")]


def fetched_copies(settings: Settings) -> list[Copy]:
    """Copies of tables that lie in databases and object stores."""
    return copies(settings.fetched)


def other_files(settings: Settings) -> list[Path]:
    """Files that may hold something, outside of the places with a handling of their own."""
    own = (
        settings.outbox,
        settings.quality,
        settings.briefs,
        store.root(settings),
        data_docs(settings),
        settings.raw_dir,
        *(copy.folder for copy in fetched_copies(settings)),
    )
    return [path for path in _open_files(settings) if not any(path.is_relative_to(folder) for folder in own)]


def unknown_files(settings: Settings) -> list[Path]:
    """Files that no erasure can clean and nobody has declared to be free of customers."""
    own = (settings.raw_dir, *(copy.folder for copy in fetched_copies(settings)))
    known = {
        settings.warehouse,
        *database_files(settings),
        *outbox_files(settings),
        *judgement_files(settings),
        *docs_pages(settings),
        *brief_audit(settings),
        *prepared_briefs(settings),
        *(path for path in other_files(settings) if handler(path) is not None),
    }
    return [
        path
        for path in _open_files(settings)
        if path not in known
        and not any(path.is_relative_to(folder) for folder in own)
        and not any(fnmatchcase(path.relative_to(settings.home).as_posix(), pattern) for pattern in _FREE)
        and not any(path.with_name(path.name.removesuffix(ending)) in known for ending in _SIDECARS)
    ]


def _open_files(settings: Settings) -> list[Path]:
    """Every file of the home outside of what is never looked into."""
    closed = (*(settings.data / name for name in _CLOSED), settings.mlflow_artifacts / "models")
    logs = settings.dbt_target / "logs"
    return [
        path
        for root in (settings.data, settings.mlflow_home)
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and (not any(path.is_relative_to(folder) for folder in closed) or path.is_relative_to(logs))
    ]
