"""The domain of customers knows no database, file, model or server."""

from __future__ import annotations

from pathlib import Path

from tests.unit.test_architecture import PACKAGE, imported, modules

# What the pure modules may not know, at their top or within a function.
INFRASTRUCTURE = {
    "duckdb",
    "pandas",
    "pyarrow",
    "numpy",
    "mlflow",
    "xgboost",
    "fastapi",
    "uvicorn",
    "openai",
    "httpx",
    "requests",
    "sqlite3",
}
# What asks databases, models, files or an address, and is named so.
SHELLS = ("home.py", "what_if.py", "stores", "briefs/endpoint.py", "briefs/audit.py", "briefs/desk.py")


def _pure() -> list[Path]:
    room = PACKAGE / "customers"
    return [path for path in modules("customers") if not any(path.is_relative_to(room / shell) for shell in SHELLS)]


def test_the_pure_modules_of_customers_import_no_infrastructure() -> None:
    assert len(_pure()) >= 10
    places = [
        f"{path.relative_to(PACKAGE)}:{line} {name}"
        for path in _pure()
        for line, name in imported(path)
        if name.split(".")[0] in INFRASTRUCTURE or name.startswith("churn_pipeline.customers.stores")
    ]
    assert not places
