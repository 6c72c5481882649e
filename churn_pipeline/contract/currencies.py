"""What a unit of a currency is worth in US dollars, from the seed that says so."""

from __future__ import annotations

import csv
from decimal import Decimal, InvalidOperation
from pathlib import Path

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import shipped
from churn_pipeline.core.sql import literal

SEED = "currency_rates"


def read_rates(path: Path | None = None) -> dict[str, Decimal]:
    """The rates by currency code in upper case.

    Args:
        path: the seed; the project's own unless given.

    Raises:
        InputError: a line is no code with a rate above 0, or a code stands there twice.
    """
    path = path or shipped("dbt_project") / "seeds" / f"{SEED}.csv"
    rates: dict[str, Decimal] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for line, row in enumerate(csv.DictReader(stream), start=2):
            code = (row.get("currency") or "").strip().upper()
            try:
                rate = Decimal((row.get("usd") or "").strip())
            except InvalidOperation:
                rate = Decimal(0)
            if not code or not rate.is_finite() or rate <= 0 or code in rates:
                raise InputError(
                    f"{path.name}, line {line}: a currency stands in one line, with the US dollars that one unit of it is worth, "
                    "such as EUR,1.08"
                )
            rates[code] = rate
    return rates


def rate_sql(rates: dict[str, Decimal]) -> str:
    """SQL of the US dollars that one unit of the currency ``code`` is worth; null for a code that the seed does not know."""
    if not rates:
        return "null::DOUBLE"
    words = " ".join(f"when {literal(code)} then {rate:f}" for code, rate in sorted(rates.items()))
    return f"case upper(trim(code)) {words} end::DOUBLE"
