"""The program behind `make bench`: what it prints, what it refuses, and when --quick fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as bench


def filled(tmp_path: Path) -> bench.Bench:
    """A measurement as it is when everything was measured."""
    measured = bench.Bench(tmp_path, tmp_path, bench.QUICK, bench.PARTS, 1)
    measured.rows = [
        bench.Row("landing, everything new", 3.0, 2.0, "2 x", 512.4, 5.25),
        bench.Row("landing, nothing new", 0.5),
    ]
    measured.loose = [bench.Row("weekly_report", 1.25)]
    return measured


def test_the_table_has_each_figure_beside_its_floor_and_says_what_it_was_measured_on(tmp_path: Path) -> None:
    text = bench.text_of(filled(tmp_path))
    line = next(line for line in text.splitlines() if "everything new" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "landing, everything new", "3.00 s", "2.00", "1.50", "2 x", "512", "5.2"
    ]  # fmt: skip
    assert "customers who ever signed up: 1,000" in text
    assert "cores" in text
    assert "duckdb" in text
    assert "weekly_report" in text


def test_quick_fails_only_at_more_than_four_times_the_processor_seconds_that_are_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    what, written = next(iter(bench.WRITTEN.items()))
    assert bench.judged({what: bench.Cost(900.0, bench.SLACK * written, 1.0)}) == 0
    assert bench.judged({what: bench.Cost(0.1, bench.SLACK * written + 0.1, 1.0)}) == 1
    assert what in capsys.readouterr().err


def test_a_table_replaces_the_one_between_the_markers_of_a_page_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n")
    bench.insert(page, "new")
    assert page.read_text() == f"before\n{bench.BEGIN}\nnew\n{bench.END}\nafter\n"
    page.write_text("nothing")
    with pytest.raises(SystemExit, match="no markers"):
        bench.insert(page, "new")


def test_the_page_of_the_benchmarks_has_the_markers() -> None:
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert page.index(bench.BEGIN) < page.index(bench.END)


def test_a_part_that_does_not_exist_is_refused_and_the_parts_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["--only", "landing,baking"])
    assert ended.value.code == 2
    assert "baking" in (told := capsys.readouterr().err)
    assert all(part in told for part in bench.PARTS)


def test_a_process_that_fails_ends_the_measurement_with_its_own_words() -> None:
    with pytest.raises(SystemExit, match="no such luck"):
        bench.cost_of(["sh", "-c", "echo no such luck; exit 3"], {})


def test_the_company_of_another_size_is_another_one_and_the_same_one_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []

    def simulated(command: list[str], _: dict[str, str]) -> bench.Cost:
        made.append(command)
        Path(command[command.index("--out") + 1]).mkdir()
        return bench.Cost(1.0, 1.0, 1.0)

    monkeypatch.setattr(bench, "cost_of", simulated)
    small = filled(tmp_path)
    assert small.world() == small.world()
    small.size = bench.Size(customers=1_001)
    assert small.world() != filled(tmp_path).world()
    assert len(made) == 2
