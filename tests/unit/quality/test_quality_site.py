"""The Data Docs, the page of expectations, and the checks as Dagster runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import duckdb
import pandas as pd
import pytest

from churn_pipeline.contract import TABLES
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.assets.data_docs import data_docs
from churn_pipeline.orchestration.checks.edges import feeds_check, landing_quality_check
from churn_pipeline.orchestration.keys import landing_key, weekly
from churn_pipeline.quality import docs, site, suites
from churn_pipeline.quality.candidates import CandidatesJudgement
from churn_pipeline.quality.gx import judge
from churn_pipeline.quality.landing import judge_landing
from tests.unit.contract.landing_helpers import ROWS, company, put, row
from tests.unit.quality.conftest import MONDAY, tickets

NOW = datetime(2026, 6, 8, 12)


def candidates(day: date, worst: float = 0.4) -> CandidatesJudgement:
    frame = pd.DataFrame(
        {
            "snapshot_date": str(day),
            "customer_id": ["C1", "<script>alert(1)</script>"],
            "churn_probability_30d": [0.1, 0.2],
            "churn_probability_90d": [0.2, worst],
            "risk_tier": "LOW",
            "risk_score": 0.1,
            "risk_score_tier": "LOW",
            "expansion_propensity": 0.1,
            "churn_drivers": 2,
            suites.PERSONAL_COLUMNS: [None, None],
            suites.PERSONAL_ROWS: 0.0,
        }
    )
    expected = suites.of_candidates([("LOW", 0.0), ("HIGH", 0.5)], 2)
    judgement = judge(suites.CANDIDATES, expected, frame, run=str(day), keys=["snapshot_date", "customer_id"])
    return CandidatesJudgement(day, judgement)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of a landing and of two Mondays, both with something that fails."""
    home = tmp_path_factory.mktemp("docs")
    (home / "raw").mkdir()
    customers = [row("customers", customer_id=f"C{n}", company_name=f"Secretive Holding {n}") for n in range(3)]
    with duckdb.connect(str(home / "landed.duckdb")) as con:
        put(con, company(home / "raw", customers=customers, usage_events=[row("usage_events")]))
        con.execute("update landing.customers set plan_tier = 'gold' where customer_id = 'C2'")
        tables = judge_landing(con, [MONDAY], timezone="UTC", run_id="run")
    site.save(home / "quality", tables, now=NOW)
    site.save(home / "quality", [candidates(date(2026, 6, 1), worst=1.4), candidates(date(2026, 6, 8))], now=NOW)
    assert site.build(home / "quality", home / "published" / "data_docs") == 4
    return home / "published" / "data_docs"


@pytest.fixture
def built(shared: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    shutil.copytree(shared.parents[1], tmp_path / "docs")
    return tmp_path / "docs" / "published" / "data_docs"


def test_the_page_needs_no_network_and_no_other_file_and_its_links_lead_somewhere(shared: Path) -> None:
    assert [path.name for path in shared.rglob("*")] == ["index.html"]
    text = (shared / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\bsrc=|<link|@import|url\(|https?:", text)
    links = re.findall(r"href=\"([^\"]*)\"", text)
    assert len(links) == 4
    assert all(link.startswith("#") and f'id="{link[1:]}"' in text for link in links)


def test_every_expectation_stands_on_the_page_with_what_became_of_it(shared: Path) -> None:
    text = (shared / "index.html").read_text(encoding="utf-8")
    of_customers = text.split('id="landed-customers"')[1].split("</details>")[0]
    expected = suites.of_landed(TABLES["customers"], is_first=True)
    assert [expectation.sentence for expectation in expected] == re.findall(r"</td><td>(.*?)</td><td>", of_customers)
    assert of_customers.count(">not met<") == 1


def test_judgements_that_an_earlier_version_saved_are_shown(built: Path) -> None:
    home = built.parents[1]
    path = home / "quality" / "landing_customers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"document": {"results": []}}))
    assert site.build(home / "quality", built) == 4
    assert site.unmet(home / "quality", MONDAY) == 1


def test_the_index_names_what_failed_and_shows_failing_rows_escaped(shared: Path) -> None:
    index = (shared / "index.html").read_text(encoding="utf-8")
    assert "plan_tier is one of free, starter, growth, enterprise, custom." in index
    assert "1 of 3 rows do not: gold." in index
    assert "1 of 2 rows do not: 1.4" in index
    assert "<script>" not in index
    assert "&lt;script&gt;" in index
    assert index.index(">2026-06-08<") < index.index(">2026-06-01<") < index.index(">customers<")


def test_the_pages_show_no_personal_data(shared: Path) -> None:
    assert not [page for page in shared.rglob("*") if page.is_file() and b"Secretive" in page.read_bytes()]


def test_the_site_is_replaced_as_a_whole_and_after_a_kill_too(built: Path) -> None:
    home = built.parents[1]
    (built / "left.html").write_text("old", encoding="utf-8")
    (built.parent / ".data_docs.new").mkdir()
    (built.parent / ".data_docs.old").mkdir()
    site.build(home / "quality", built)
    assert not (built / "left.html").exists()
    assert [path.name for path in built.parent.iterdir()] == ["data_docs"]


def test_a_failed_build_leaves_the_former_site(built: Path) -> None:
    home = built.parents[1]
    before = (built / "index.html").read_text(encoding="utf-8")
    (home / "quality" / "landing_zzz.json").write_text("{half", encoding="utf-8")
    with pytest.raises(ValueError, match="Expecting"):
        site.build(home / "quality", built)
    assert (built / "index.html").read_text(encoding="utf-8") == before


def test_the_newest_mondays_are_kept(tmp_path: Path) -> None:
    original = candidates(date(2026, 1, 5))
    for week in range(site.MONDAYS_KEPT + 2):
        day = date.fromordinal(date(2026, 1, 5).toordinal() + 7 * week)
        site.save(tmp_path, [CandidatesJudgement(day, original.judgement)], now=NOW)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == site.MONDAYS_KEPT
    assert kept[0] == "candidates_2026-01-19.json"


def test_the_page_of_expectations_is_the_generated_one() -> None:
    page = docs.PAGE.read_text(encoding="utf-8")
    assert docs.render() in page, "run: python -m churn_pipeline.quality.docs"


def test_the_page_names_every_rule_of_the_contract_that_is_asked() -> None:
    page = docs.PAGE.read_text(encoding="utf-8")
    for table in TABLES.values():
        for rule in suites.asked_rules(table):
            assert rule.sentence in page


def test_great_expectations_is_imported_for_candidates_alone(shared: Path, tmp_path: Path) -> None:
    """Landing is judged and the page is made without it."""
    code = """
import sys, duckdb
from datetime import date, datetime
from pathlib import Path
import churn_pipeline.orchestration.assets.data_docs, churn_pipeline.orchestration.checks.edges, churn_pipeline.quality.docs
from churn_pipeline.quality import site
from churn_pipeline.quality.landing import judge_landing
with duckdb.connect(sys.argv[1]) as con:
    site.save(Path(sys.argv[2]), judge_landing(con, [date(2026, 6, 8)], timezone="UTC", run_id="run"), now=datetime(2026, 6, 8))
assert site.build(Path(sys.argv[2]), Path(sys.argv[3])) == 2
sys.exit('great_expectations' in sys.modules)
"""
    warehouse = shared.parents[1] / "landed.duckdb"
    arguments = [str(path) for path in (warehouse, tmp_path / "quality", tmp_path / "docs")]
    assert subprocess.run([sys.executable, "-c", code, *arguments], cwd=REPOSITORY, check=False).returncode == 0


def test_its_usage_statistics_are_off() -> None:
    from churn_pipeline.quality.gx import ephemeral_context

    assert ephemeral_context().variables.analytics_enabled is False
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


@pytest.mark.parametrize("days", [1, 3])
def test_dagster_runs_the_checks_for_one_monday_and_for_a_range(days: int, tmp_path: Path, raw: Path) -> None:
    settings = Settings(home=tmp_path / "home", raw=raw, now=datetime(2024, 6, 12, 15, tzinfo=UTC))
    rows = [row("support_tickets", ticket_id=values["ticket_id"], created_date=values["created_date"])
            for values in tickets(weeks=20) if not "2024-06-03" <= values["created_date"] < "2024-06-10"]  # fmt: skip
    with connect(settings) as con:
        put(con, company(raw, support_tickets=[*rows, row("support_tickets", created_date="2024-06-05")],
                         usage_events=[ROWS["usage_events"]]))  # fmt: skip
        con.execute("update landing.customers set plan_tier = 'a|b'")

    @dg.asset(partitions_def=weekly(settings), backfill_policy=dg.BackfillPolicy.single_run())
    def of_mondays() -> None:
        """Gives the job its partitions, as in the Monday job most assets do."""

    definitions = dg.Definitions(
        assets=[of_mondays, data_docs(landing_key("customers"))],
        asset_checks=[landing_quality_check(), feeds_check()],
        jobs=[dg.define_asset_job("edges", selection=dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks())],
        executor=dg.in_process_executor,
        resources={"home": SimpleNamespace(settings=settings, now=lambda: NOW)},
    )
    job = definitions.resolve_job_def("edges")
    if days == 1:
        result = job.execute_in_process(partition_key=str(MONDAY))
    else:
        first = date.fromordinal(MONDAY.toordinal() - 7 * (days - 1))
        span = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(MONDAY)}
        result = job.execute_in_process(tags=span)
    assert result.success
    by_asset = {
        (evaluation.asset_key.path[-1], evaluation.check_name): evaluation
        for evaluation in result.get_asset_check_evaluations()
    }
    assert len(by_asset) == len(TABLES) + 1
    customers = by_asset["customers", "is_as_declared"]
    assert not customers.passed
    assert customers.severity is dg.AssetCheckSeverity.WARN
    assert "| C1 | a\\|b |" in [str(value.value) for value in customers.metadata.values()][-1]
    assert by_asset["support_tickets", "is_as_declared"].passed
    assert by_asset["contracts", "is_as_declared"].passed
    feeds = by_asset["usage_events", "feeds_are_as_usual"]
    assert not feeds.passed
    assert "support_tickets has stopped" in str(feeds.description)
    assert (settings.published / "data_docs" / "index.html").exists()
