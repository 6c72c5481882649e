"""What a list is worth: the best one, the published one and lists by lot are compared by the revenue that calls save."""

from __future__ import annotations

from datetime import date
from itertools import combinations
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.core.errors import InputError
from churn_pipeline.simulate import Company
from churn_pipeline.simulate.judge import Book, main, read_books, saved, table, verdict, worth_of_calls
from tests.unit.simulate.simulated import UNTIL, database

# One row per customer: id, annual revenue, published probability, rank, on the list, true probabilities without and with a call. As the
# team usually calls, the truth lies between.
BOOK = (
    ("C1", 1_000, 0.9, 3, False, 0.90, 0.90),
    ("C2", 50_000, 0.1, 1, True, 0.30, 0.28),
    ("C3", 20_000, 0.2, 2, True, 0.40, 0.15),
    ("C4", 9_000, 0.3, 4, False, 0.80, 0.20),
    ("C5", 0, 0.95, 5, False, 0.90, 0.10),
)


def books(
    folder: Path, rows: tuple[tuple, ...] = BOOK, monday: date = UNTIL, listed: str | None = "on_list"
) -> tuple[Path, Path]:
    """Predictions and an oracle of one Monday; ``listed`` is what stands in is_on_call_list, None leaves the column out."""
    predictions, oracle = folder / f"{monday}.parquet", folder / "oracle.parquet"
    with duckdb.connect() as con:
        con.execute(
            "create table book (customer_id varchar, annual_revenue double, churn_probability_90d double, "
            "priority_rank bigint, on_list boolean, p_churn_90d_without_calls double, p_churn_90d_with_one_call double)"
        )
        con.executemany("insert into book values (?, ?, ?, ?, ?, ?, ?)", rows)
        day = f"date '{monday}' as snapshot_date, customer_id"
        column = f", {listed} as is_on_call_list" if listed else ""
        con.execute(
            f"copy (select {day}, annual_revenue, churn_probability_90d, priority_rank{column} from book) to '{predictions}'"
        )
        con.execute(
            f"""copy (select {day}, (p_churn_90d_without_calls + p_churn_90d_with_one_call) / 2 as p_churn_90d,
                p_churn_90d_without_calls, p_churn_90d_with_one_call from book) to '{oracle}'"""
        )
    return predictions, oracle


def judged(folder: Path, calls: int = 2, **changes: object) -> dict[str, object]:
    predictions, oracle = books(folder, **changes)
    (book,) = read_books([predictions], oracle)
    return vars(verdict(book, calls))


def test_every_list_is_worth_what_its_calls_take_off_the_risk_times_the_revenue(tmp_path: Path) -> None:
    # Calls save 0, 1,000, 5,000, 5,400; who pays nothing is on nobody's list.
    assert judged(tmp_path) == {
        "monday": UNTIL,
        "calls": 2,
        "has_list": True,
        "best": pytest.approx(10_400),
        "true_revenue_at_risk": pytest.approx(6_000),
        "published": pytest.approx(6_000),
        "revenue_at_risk": pytest.approx(6_000),
        "call_value": None,
        "revenue_alone": pytest.approx(6_000),
        "probability_alone": pytest.approx(5_400),
        "chance": pytest.approx(2 * 11_400 / 4),
    }


def test_the_published_list_is_judged_by_who_is_on_it_and_sets_the_length_of_the_others(tmp_path: Path) -> None:
    rows = tuple((*row[:4], row[0] in ("C1", "C3", "C4"), *row[5:]) for row in BOOK)
    result = judged(tmp_path, rows=rows)
    assert result["calls"] == 3
    assert result["published"] == pytest.approx(10_400)
    assert result["best"] == pytest.approx(11_400)
    assert result["revenue_at_risk"] == pytest.approx(6_000)


@pytest.mark.parametrize("listed", [None, "null::boolean"])
def test_where_a_monday_has_no_list_the_first_of_the_ranking_are_called(tmp_path: Path, listed: str | None) -> None:
    result = judged(tmp_path, calls=1, listed=listed)
    assert not result["has_list"]
    assert result["published"] == result["revenue_at_risk"] == pytest.approx(1_000)
    assert result["best"] == pytest.approx(5_400)


def test_the_order_by_the_published_value_of_a_call_is_judged_where_there_is_one(tmp_path: Path) -> None:
    predictions, oracle = books(tmp_path)
    valued = tmp_path / "valued.parquet"
    duckdb.execute(
        f"copy (select *, case customer_id when 'C3' then 2 when 'C4' then 7 end as call_value from '{predictions}') to '{valued}'"
    )
    (book,) = read_books([valued], oracle)
    assert verdict(book, 2).call_value == pytest.approx(10_400)


@given(
    rows=st.lists(st.tuples(st.floats(1, 1e6), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=7),
    calls=st.integers(1, 7),
)
def test_no_list_beats_the_best_one_and_chance_is_the_mean_of_all_lists(
    rows: list[tuple[float, float, float]], calls: int
) -> None:
    revenue, without, share = np.array(rows).T
    worth = worth_of_calls(revenue, without, without * share)
    everybody = np.arange(len(rows))
    result = verdict(Book(UNTIL, revenue, without, everybody + 1, None, None, revenue * without, worth), calls)
    lists = [saved(worth, np.array(who)) for who in combinations(everybody, result.calls)]
    assert result.calls == min(calls, len(rows))
    assert result.best == pytest.approx(max(lists))
    assert result.chance == pytest.approx(np.mean(lists))
    assert max(result.published, result.revenue_alone, result.probability_alone) <= result.best * (1 + 1e-12)


def test_a_simulated_company_has_calls_that_are_worth_more_than_chance_finds(small: Company, tmp_path: Path) -> None:
    con = database(small)
    con.execute(
        f"""copy (select snapshot_date, customer_id, 12 * mrr as annual_revenue, p_churn_90d as churn_probability_90d,
                  row_number() over (order by mrr * p_churn_90d desc, customer_id) as priority_rank
            from oracle join customers using (customer_id) where snapshot_date = date '{UNTIL}')
            to '{tmp_path}/predictions.parquet'"""
    )
    con.execute(f"copy oracle to '{tmp_path}/oracle.parquet'")
    (book,) = read_books([tmp_path / "predictions.parquet"], tmp_path / "oracle.parquet")
    assert (book.worth >= 0).all()
    result = verdict(book, 20)
    assert 4 * result.chance < result.published < result.best


def test_the_program_prints_revenue_per_200_calls_and_its_share_of_the_best_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, oracle = books(tmp_path)
    assert main([str(predictions), "--oracle", str(oracle)]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == (
        "| 2026-11-02 | 2 | $1.04M | $600K (58%) | $600K (58%) | $600K (58%) |  | $600K (58%) | $540K (52%) | $570K (55%) |"
    )


def test_several_mondays_are_told_in_their_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = date(2026, 10, 26), UNTIL
    for monday in (first, second):
        (tmp_path / str(monday)).mkdir()
        books(tmp_path / str(monday), monday=monday)
    oracle = tmp_path / "oracle.parquet"
    duckdb.execute(f"copy (from '{tmp_path}/*/oracle.parquet') to '{oracle}'")
    files = [str(tmp_path / str(monday) / f"{monday}.parquet") for monday in (second, first)]
    assert main([*files, "--oracle", str(oracle)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == [str(first), str(second)]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (tuple((*row[:4], False, *row[5:]) for row in BOOK), "nobody is on the call list"),
        (BOOK[-1:], "no paying customer"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: tuple, words: str
) -> None:
    predictions, oracle = books(tmp_path, rows=rows)
    assert main([str(predictions), "--oracle", str(oracle)]) == InputError.exit_code
    assert words in capsys.readouterr().err


def test_a_file_of_another_kind_and_an_oracle_of_before_there_were_calls_are_refused_by_name(tmp_path: Path) -> None:
    predictions, _ = books(tmp_path)
    old = tmp_path / "old.parquet"
    duckdb.execute(f"copy (select date '{UNTIL}' as snapshot_date, 'C1' as customer_id, 0.1 as p_churn_90d) to '{old}'")
    with pytest.raises(InputError, match=r"old\.parquet does not say what a call does"):
        next(read_books([predictions], old))
    with pytest.raises(InputError, match="is no file"):
        next(read_books([predictions], tmp_path / "none.parquet"))
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(InputError, match="cannot be read"):
        next(read_books([tmp_path / "text.parquet"], old.with_name("oracle.parquet")))


def test_a_list_that_can_save_nothing_has_no_share_of_the_best() -> None:
    worthless = Book(UNTIL, np.ones(3), np.ones(3), np.arange(3), None, None, np.ones(3), np.zeros(3))
    assert "%" not in table([verdict(worthless, 2)])
