"""The pictures of monitoring: what they show, and that they show it the same way every time."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.monitoring.drawing import png, svg
from churn_pipeline.monitoring.drift import DriftReport, FeatureDrift, Measure
from churn_pipeline.monitoring.performance_plots import chart
from churn_pipeline.monitoring.plots import drift

FIRST = date(2026, 1, 5)
NAN = float("nan")
LEGEND = [
    "expected: 95 % of what chance does with so many customers",
    "expected",
    "promised at promotion",
    "realised",
    "realised, under the promise by more than chance",
    "realised, customers without an intervention",
]


def figures(weeks: int, missing: tuple[int, ...] = ()) -> pd.DataFrame:
    """AUC of one model: expected every Monday but the ``missing``, and on the first two realised, once under its promise."""
    rows: list[tuple[Any, ...]] = []
    for week in range(weeks):
        day = FIRST + week * WEEK
        if week not in missing:
            rows.append((day, "expected", "all", 0.80, 0.78, 0.82, False, 500))
        if week < 2 and weeks > 2:
            rows.append((day, "realised", "all", 0.75, NAN, NAN, week == 1, 500))
            rows.append((day, "realised", "untouched", 0.74, NAN, NAN, False, 400))
    columns = ["predicted_on", "basis", "customers", "value", "low", "high", "is_under", "rows"]
    history = pd.DataFrame(rows, columns=columns)
    return history.assign(target="churn_90d", figure="auc", version="1", promised=0.81)


def drifted(*labels: str) -> DriftReport:
    def feature(label: str, ratio: float, *, votes: bool = True) -> FeatureDrift:
        measure, unknown = Measure(ratio, 1.0), Measure(NAN, NAN)
        return FeatureDrift(
            name=label, label=label, votes=votes, share=0.1, share_now=NAN, reference=measure, week=unknown, moved=unknown,
            missing_share=0.0, missing_share_reference=0.0, out_of_range_share=0.0, verdict="act", tiers={},
        )  # fmt: skip

    features = tuple(feature(label, 9.0 - place, votes=place > 0) for place, label in enumerate(labels))
    return DriftReport("churn_90d", FIRST, 500, "act", 1.5, ("moved",), features, feature("Prediction", 0.2))


def marks(drawn: str, layer: int) -> list[ElementTree.Element]:
    """The marks of one layer of the first panel, as Vega names them."""
    groups = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}g")
    return [mark for group in groups if f"concat_0_layer_{layer}_marks" in group.get("class", "") for mark in group]


def texts(drawn: str) -> list[str]:
    return [text for text in ElementTree.fromstring(drawn).itertext() if text.strip()]


def test_the_same_figures_give_the_same_bytes_in_another_process_and_another_time_zone() -> None:
    first = svg(chart(figures(6, (3,))))
    svg(drift([drifted("Logins")]))
    assert svg(chart(figures(6, (3,)))) == first
    elsewhere = subprocess.run(
        [sys.executable, "-m", __name__],
        env=os.environ | {"TZ": "America/Los_Angeles"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout == first
    # Mondays, and not the Sundays that they still are there.
    assert "5 Jan 2026" in texts(first)
    assert png(first) == png(first)


def test_a_monday_without_a_figure_is_a_gap_and_a_monday_alone_is_seen() -> None:
    whole, broken = (svg(chart(figures(6, missing))) for missing in ((), (3,)))
    for layer in (0, 2):
        assert [[path.get("d", "").count("M") for path in marks(drawn, layer)] for drawn in (whole, broken)] == [
            [1],
            [2],
        ]
    for layer in (1, 3):
        assert not marks(broken, layer)
        assert len(marks(svg(chart(figures(1))), layer)) == 1


def test_the_legend_names_all_that_is_drawn_and_nothing_else() -> None:
    assert [text for text in texts(svg(chart(figures(6)))) if text in LEGEND] == LEGEND
    assert [text for text in texts(svg(chart(figures(2)))) if text in LEGEND] == LEGEND[:3]


def test_a_promise_is_a_line_for_as_long_as_its_model_was_there() -> None:
    history = figures(6)
    history.loc[history["predicted_on"] >= FIRST + 4 * WEEK, "promised"] = 0.83
    lengths = [float(line.get("x2", "")) for line in marks(svg(chart(history)), 4)]
    # Four weeks and two, of the seven between a week before and a week after.
    assert lengths == pytest.approx([300 * 4 / 7, 300 * 2 / 7])


def test_drift_shows_every_bar_under_its_name_with_both_limits_as_lines() -> None:
    drawn = svg(drift([drifted("Logins", "Logins", "<b> & co")]))
    named = [text for text in texts(drawn) if text.endswith("(10%)")]
    assert named == ["Prediction (10%)", "Logins (10%)", "Logins (10%)", "<b> & co (10%)"]
    assert "churn_90d: act, score 1.50" in texts(drawn)
    bars, limit, watch = (marks(drawn, layer) for layer in range(3))
    assert [bar.get("opacity") for bar in bars] == ["1", "0.35", "1", "1"]
    # More than five limits are shown as five.
    widths = [float(bar.get("d", "").split("h")[1].split("v")[0]) for bar in bars]
    assert widths == pytest.approx([16, 400, 400, 400])
    assert len(limit) == len(watch) == 1
    assert watch[0].get("stroke-dasharray") and not limit[0].get("stroke-dasharray")


def test_vega_lite_knows_every_word_of_the_specifications() -> None:
    import altair as alt

    alt.VConcatChart.from_dict(drift([drifted("Logins")]), validate=True)
    alt.ConcatChart.from_dict(chart(figures(3)), validate=True)


def test_an_image_is_of_a_size_that_a_database_can_keep_each_week() -> None:
    for specification in (drift([drifted(*"abcdefghijkl")] * 3), chart(figures(26))):
        assert len(png(svg(specification))) < 200_000


if __name__ == "__main__":
    sys.stdout.write(svg(chart(figures(6, (3,)))))
