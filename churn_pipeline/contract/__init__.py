"""Raw data: what it must look like, and how it becomes landed tables.

Here belong the declaration of the raw tables and their rules, finding and reading raw files, quarantine, deduplication,
the ledger of undated rows, the book that may not jump, and the day digests by which a changed past is noticed. Here does not belong what a fact
*means*: event meanings, windows, features and policy are SQL in the dbt project, and when to land is Dagster's
business. Nothing here imports either.
"""

from churn_pipeline.contract.book_ledger import Acceptance
from churn_pipeline.contract.declaration import TABLES, Column, Fact, Kind, Landed, Rule, TableContract
from churn_pipeline.contract.digests import fingerprint, fingerprints
from churn_pipeline.contract.landing import LandingReport, TableReport, land

__all__ = [
    "TABLES",
    "Acceptance",
    "Column",
    "Fact",
    "Kind",
    "Landed",
    "LandingReport",
    "Rule",
    "TableContract",
    "TableReport",
    "fingerprint",
    "fingerprints",
    "land",
]
