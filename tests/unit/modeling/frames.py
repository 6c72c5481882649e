"""Small frames with a known relation, for tests of training."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from churn_pipeline.features.catalogue import Catalogue, Feature

MONDAY = date(2026, 3, 16)


def feature(name: str, **kwargs) -> Feature:
    kind = {"dtype": "numeric", "format": "score"} | kwargs
    return Feature(name=name, label=name, raises=f"{name} {{value}}", lowers=f"{name} {{value}}", **kind)


CATALOGUE = Catalogue(
    "mart_customer_churn_features",
    (
        feature("health", direction="decreasing"),
        feature("days_since_last_event"),
        feature("industry", dtype="categorical", format="category", made_of="industry"),
        feature("empty"),
        feature("plan_tier", dtype="categorical", format="category", requires="tier_history", made_of="plan_tier"),
        feature("mrr", requires="mrr_history", made_of="mrr"),
    ),
)


def leaving(health: np.ndarray) -> np.ndarray:
    """The probability with which a customer of this health leaves."""
    return np.where(health < -1, 0.35, np.where(health > 1.2, 0.12, 0.03))


def company(weeks: int = 40, customers: int = 600, seed: int = 1) -> pd.DataFrame:
    """Snapshots up to MONDAY of customers whose health decides, in a curve no straight line follows, whether they leave."""
    random = np.random.default_rng(seed)
    rows = []
    base = random.normal(size=customers)
    for week in range(weeks):
        health = base + 0.3 * random.normal(size=customers)
        rows.append(
            pd.DataFrame(
                {
                    "snapshot_date": pd.Timestamp(MONDAY - timedelta(weeks=week)),
                    "customer_id": [f"c{n:04d}" for n in range(customers)],
                    "health": health,
                    "days_since_last_event": random.integers(1, 20, customers),
                    "industry": random.choice(["saas", "retail"], customers),
                    "empty": np.nan,
                    "plan_tier": random.choice(["starter", "growth"], customers),
                    "mrr": random.uniform(500, 2000, customers),
                    "label": (random.random(customers) < leaving(health)).astype(int),
                }
            )
        )
    return pd.concat(rows).sort_values(["snapshot_date", "customer_id"], ignore_index=True)
