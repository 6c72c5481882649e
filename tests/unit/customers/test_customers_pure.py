"""The domain of customers knows no database, file, model or server."""

from __future__ import annotations

from pathlib import Path

from tests.unit.test_architecture import PACKAGE, imported, modules

# What only `stores`, and the door `home.py`, may know: at a module's top and within its functions.
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
# The one writer that speaks with an address, and what it writes of it.
ENDPOINTS = ("endpoint.py", "audit.py")


def _pure() -> list[Path]:
    room = PACKAGE / "customers"
    return [
        path
        for path in modules("customers")
        if not path.is_relative_to(room / "stores") and path != room / "home.py" and path.name not in ENDPOINTS
    ]


def test_the_pure_modules_of_customers_import_no_infrastructure() -> None:
    assert len(_pure()) >= 10
    places = [
        f"{path.relative_to(PACKAGE)}:{line} {name}"
        for path in _pure()
        for line, name in imported(path)
        if name.split(".")[0] in INFRASTRUCTURE or name.startswith("churn_pipeline.customers.stores")
    ]
    assert not places
