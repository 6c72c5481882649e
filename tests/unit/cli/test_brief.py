"""What ``churn brief`` prints of whatever a company is called."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from churn_pipeline.cli.brief import print_brief
from churn_pipeline.customers.briefs.model import Audience, Brief, BriefKind, Part, Result


def test_no_name_says_anything_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[31mAcme\x1b]8;;http://evil.example\x07 [bold]\nMonday 2030-01-07 \u202eelpoep"
    print_brief(
        Brief(
            *(date(2026, 11, 2), "C1\x1b[2J", name, Audience.SALES, BriefKind.TACTICAL, {Part.WHY_NOW: "Because."}),
            *(Result.PASSED, 1.0, (), "template", None, None, "b07", datetime(2026, 11, 2, 8)),
        )
    )
    printed = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    (headline,) = [line for line in printed.splitlines() if "Acme" in line]
    assert headline.endswith("C1 [2J   Monday 2026-11-02") and "[bold] Monday 2030-01-07 elpoep" in headline
