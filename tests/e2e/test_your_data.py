"""docs/your-data.md as it stands: five exports of Stripe, HubSpot and Zendesk, and its commands one after the other."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.simulate import Simulation, simulate, write
from tests.conftest import TINY, TINY_MONDAY
from tests.support.companies import settings_at
from tests.support.exports import export
from tests.support.homes import query
from tests.support.processes import churn

PAGE = REPOSITORY / "docs" / "your-data.md"
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for line in block.splitlines()
]

pytestmark = pytest.mark.long


def test_the_page_leads_from_five_exports_to_a_first_monday(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without usage events history begins with the first departure, and the end of a subscription is known a month later.
    company = simulate(Simulation(customers=1_200, weeks=75, until=TINY_MONDAY, seed=7, call_share=0.0))
    write(company, tmp_path / "company")
    export(tmp_path / "company" / "raw", tmp_path / "exports")
    home = tmp_path / "home"
    settings = settings_at(home, home / "data" / "raw", TINY_MONDAY, **TINY | {"history_weeks": 100})
    monkeypatch.chdir(tmp_path)
    assert [command[1] for command in COMMANDS] == ["init", "check", "check", "run", "show"]
    for command in COMMANDS:
        # Every command of the page names the home itself.
        arguments = [str(home) if word == "home" else word for word in command[1:]]
        completed = churn(settings, *arguments)
        assert completed.returncode == 0, (command, completed.stderr)
    mapping = yaml.safe_load((home / "sources.yml").read_text(encoding="utf-8"))
    assert mapping.keys() >= {"customers", "subscriptions", "support_tickets", "gtm_opportunities"}
    assert "This can be landed" in (tmp_path / "check.html").read_text(encoding="utf-8")
    intake = json.loads(churn(settings, "check", "--home", str(home), "--json").stdout)
    assert intake["book"]["churned"] > 100
    ((scored, paying),) = query(
        settings.published_database,
        f"select count(*), count(*) filter (mrr > 0) from predictions where snapshot_date = '{TINY_MONDAY}'",
    )
    assert scored == intake["book"]["active"]
    assert paying > 0.5 * scored
