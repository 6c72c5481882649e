"""What the world exports: every usual way to write a table, and what is read from it."""

from __future__ import annotations

import gzip
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn_pipeline.contract.source import ColumnSource, TableSource
from tests.unit.contract.reading_helpers import PLAIN_ROW, customers, read

DAY = date(2024, 1, 31)


def _zst(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


PLAIN = customers(("C1", "2024-01-31", "1130.5", ""))
SEMICOLONS = customers(("C1", "2024-01-31", "1130,5", ""), ("C2", "2024-01-31", "0,25", ""), delimiter=";")
SEMICOLON_ROWS = [PLAIN_ROW, ("C2", DAY, 0.25, None)]
JSON_LINES = (
    b'{"customer_id": "C1", "industry": {"name": "Mining"}, "plan_tier": "growth", "signup_date": "2024-01-31", "mrr": 1130.5}\n'
    b'{"customer_id": "C2", "industry": null, "plan_tier": "growth", "signup_date": "2024-01-31", "mrr": "7", "churn_date": '
    b'"2024-03-01"}\n'
)
JSON_ROWS = [PLAIN_ROW, ("C2", DAY, 7.0, date(2024, 3, 1))]


def _dialects() -> dict[str, tuple[str, bytes, list[tuple[Any, ...]], str]]:
    """By description: name of the file, content, the rows that are read, and what is said of it."""
    utf16 = PLAIN.decode()
    return {
        "plain": ("customers.csv", PLAIN, [PLAIN_ROW], ""),
        "suffix in capitals": ("customers.CSV", PLAIN, [PLAIN_ROW], ""),
        "gzip": ("customers.csv.gz", gzip.compress(PLAIN), [PLAIN_ROW], ""),
        "two members of gzip": (
            "customers.csv.gz",
            gzip.compress(PLAIN[:60]) + gzip.compress(PLAIN[60:]),
            [PLAIN_ROW],
            "",
        ),
        "zstd": ("customers.csv.zst", _zst(PLAIN), [PLAIN_ROW], ""),
        "zstd in capitals": ("customers.CSV.ZST", _zst(PLAIN), [PLAIN_ROW], ""),
        "part of a folder": ("customers/part-0.csv.gz", gzip.compress(PLAIN), [PLAIN_ROW], ""),
        "semicolons": (
            "customers.csv",
            SEMICOLONS,
            SEMICOLON_ROWS,
            "';' between columns, ',' as the decimal sign of mrr",
        ),
        "tabs": ("customers.tsv", PLAIN.replace(b",", b"\t"), [PLAIN_ROW], "tabs between columns"),
        "tabs in csv": ("customers.csv", PLAIN.replace(b",", b"\t"), [PLAIN_ROW], "tabs between columns"),
        "pipes": ("customers.csv", PLAIN.replace(b",", b"|"), [PLAIN_ROW], "'|' between columns"),
        "sep line of Excel": ("customers.csv", b"sep=;\r\n" + SEMICOLONS, SEMICOLON_ROWS, "';' between columns"),
        "single quotes": (
            "customers.csv",
            customers(("C1", "2024-01-31", "1130.5", ""), quote="'"),
            [PLAIN_ROW],
            "single quotes",
        ),
        "double quotes": ("customers.csv", customers(("C1", "2024-01-31", "1130.5", ""), quote='"'), [PLAIN_ROW], ""),
        "backslash before a quote": (
            "customers.csv",
            PLAIN.replace(b"Mining", b'"The \\"big\\", ""')[:-1].replace(b'""', b'x"') + b"\n",
            [PLAIN_ROW],
            "",
        ),
        "byte order mark": ("customers.csv", b"\xef\xbb\xbf" + PLAIN, [PLAIN_ROW], ""),
        "UTF-16 little": ("customers.csv", b"\xff\xfe" + utf16.encode("utf-16-le"), [PLAIN_ROW], "letters as UTF-16"),
        "UTF-16 big": ("customers.csv", b"\xfe\xff" + utf16.encode("utf-16-be"), [PLAIN_ROW], "letters as UTF-16"),
        "UTF-16 without a mark": ("customers.csv", utf16.encode("utf-16-le"), [PLAIN_ROW], "letters as UTF-16"),
        "UTF-16 in gzip": ("customers.csv.gz", gzip.compress(utf16.encode("utf-16")), [PLAIN_ROW], "letters as UTF-16"),
        "CRLF": ("customers.csv", PLAIN.replace(b"\n", b"\r\n"), [PLAIN_ROW], ""),
        "line ends of two kinds": ("customers.csv", PLAIN.replace(b"\n", b"\r\n", 1), [PLAIN_ROW], ""),
        "line ends of the old Mac": ("customers.csv", PLAIN.replace(b"\n", b"\r"), [PLAIN_ROW], ""),
        "no last newline": ("customers.csv", PLAIN[:-1], [PLAIN_ROW], ""),
        "JSON lines": ("customers.jsonl", JSON_LINES, JSON_ROWS, ""),
        "JSON lines without a last newline": ("customers.ndjson", JSON_LINES[:-1], JSON_ROWS, ""),
        "JSON lines in gzip": ("customers.jsonl.gz", gzip.compress(JSON_LINES), JSON_ROWS, ""),
        "JSON lines in zstd": ("customers.ndjson.zst", _zst(JSON_LINES), JSON_ROWS, ""),
    }


@pytest.mark.parametrize("case", _dialects())
def test_a_file_in_any_usual_dialect_is_read_and_said_once(tmp_path: Path, case: str) -> None:
    name, content, rows, said = _dialects()[case]
    result = read(tmp_path, {name: content})
    assert (result.rows, result.problems) == (rows, [])
    assert len(result.notices) == bool(said)
    assert said in "".join(result.notices)


@pytest.mark.parametrize(
    ("encoding", "text", "name"),
    [
        ("latin-1", "Müller", "Windows-1252"),
        ("cp1252", "Müller – “Söhne” €", "Windows-1252"),
        ("latin-1", "M\u0081ller ü", "Latin-1"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_of_eight_bits_a_letter_is_read_as_what_it_is_with_a_notice(
    tmp_path: Path, encoding: str, text: str, name: str, pack: Any
) -> None:
    content = pack(PLAIN.replace(b"Mining", text.encode(encoding)))
    result = read(tmp_path, {"customers.csv" + (".gz" if pack is gzip.compress else ""): content}, ["industry"])
    assert result.rows == [(text,)]
    assert f"letters as {name}" in result.notices[0]


# --- numbers

AMBIGUOUS = "can be 1130 or 1.130, and no value of the column tells which"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["1,130.00", "99"], [1130.0, 99.0]),
        (["1.130,00", "99"], [1130.0, 99.0]),
        (["1 130,00", "99,5"], [1130.0, 99.5]),
        (["1\u00a0130,00", "1\u202f130"], [1130.0, 1130.0]),
        (["1'130.50", "1’130"], [1130.5, 1130.0]),
        (["1,130,000", "1,130"], [1130000.0, 1130.0]),
        (["1.130.000", "1.130"], [1130000.0, 1130.0]),
        (["12,34,567.5", "1"], [1234567.5, 1.0]),
        (["$1,130.00", "$5"], [1130.0, 5.0]),
        (["1.130,00 €", "0,50 €"], [1130.0, 0.5]),
        (["USD 12", "usd 12.5"], [12.0, 12.5]),
        (["12 EUR", "12,25EUR"], [12.0, 12.25]),
        (["£12.50", "GBP 3"], [12.5, 3.0]),
        (["(1,130.00)", "($5.25)"], [-1130.0, -5.25]),
        (["-$5.25", "$-5.25"], [-5.25, -5.25]),
        (["5.25-", "\u22125.25"], [-5.25, -5.25]),
        (["1,5E+03", "2,25"], [1500.0, 2.25]),
        ([".5", "1e3"], [0.5, 1000.0]),
        (["1,130.5", "n/a"], [1130.5, None]),
        (["99.5", "-"], [99.5, None]),
        (["1,130", "450"], AMBIGUOUS),
        (["$12", "€12"], "mrr is in more than one currency (EUR, USD)"),
    ],
    ids=lambda value: "|".join(value) if isinstance(value, list) and isinstance(value[0], str) else "",
)
def test_a_number_is_read_as_it_is_written(tmp_path: Path, written: list[str], expected: Any) -> None:
    content = customers(*((f"C{i}", "2024-01-31", value, "") for i, value in enumerate(written)), delimiter="\t")
    result = read(tmp_path, {"customers.tsv": content}, ["mrr"])
    if isinstance(expected, str):
        assert expected in str(result.problems[0])
    else:
        assert result.problems == []
        assert [mrr for (mrr,) in result.rows] == expected


def test_a_point_in_a_file_of_semicolons_is_asked_about_where_it_may_divide_thousands(tmp_path: Path) -> None:
    content = customers(("C1", "2024-01-31", "1.130", ""), ("C2", "2024-01-31", "450", ""), delimiter=";")
    (problem,) = read(tmp_path, {"customers.csv": content}).problems
    assert "mrr '1.130' can be 1.130 or 1130" in str(problem)
    assert "decimal" in problem.remedy


def test_a_plain_number_with_three_decimals_is_read_as_it_stands(tmp_path: Path) -> None:
    content = customers(("C1", "2024-01-31", "1.130", ""))
    assert read(tmp_path, {"customers.csv": content}, ["mrr"]).rows == [(1.13,)]


def test_the_decimal_sign_can_be_set(tmp_path: Path) -> None:
    content = customers(("C1", "2024-01-31", "1,130", ""), delimiter=";")
    for sign, value in ((".", 1130.0), (",", 1.13)):
        source = TableSource("customers", decimal=sign)
        assert read(tmp_path, {"customers.csv": content}, ["mrr"], source=source).rows == [(value,)]


def test_another_number_of_the_file_tells_the_decimal_sign(tmp_path: Path) -> None:
    content = (
        b"customer_id;industry;plan_tier;signup_date;mrr;churn_date;seats\nC1;x;free;2024-01-31;1,130;;12.000.000\n"
    )
    result = read(tmp_path, {"customers.csv": content}, ["mrr", "seats"])
    assert result.rows == [(1.13, 12_000_000.0)]


EVENTS = b"event_id;customer_id;timestamp;event_type;feature_adoption_score\n"


@pytest.mark.parametrize(
    ("written", "share"),
    [("12%", 0.12), ("12,5 %", 0.125), ("0,125", 0.125), ("7%", 0.07)],
)
def test_a_share_may_be_written_in_per_cent(tmp_path: Path, written: str, share: float) -> None:
    content = EVENTS + f"E1;C1;2024-01-31;a;{written}\nE2;C1;2024-01-31;a;0,5\n".encode()
    result = read(tmp_path, {"usage_events.csv": content}, ["feature_adoption_score"], "usage_events")
    assert result.rows[0] == (share,)


def test_money_in_per_cent_is_no_number(tmp_path: Path) -> None:
    content = customers(("C1", "2024-01-31", "$1,5", ""), ("C2", "2024-01-31", "12%", ""))
    assert read(tmp_path, {"customers.csv": content.replace(b"$1,5", b"$15")}, ["mrr"]).rows == [(15.0,), (None,)]


# --- words for nothing


@pytest.mark.parametrize("word", ["NULL", "null", "\\N", "NaN", "None", "N/A", "n/a", "#N/A", "<NA>"])
def test_a_word_for_nothing_is_nothing_in_every_column(tmp_path: Path, word: str) -> None:
    content = customers(("C1", "2024-01-31", word, word)).replace(b"Mining,growth", f"{word},{word}".encode())
    columns = ["industry", "plan_tier", "mrr", "churn_date", '"churn_date?"'.strip('"')]
    assert read(tmp_path, {"customers.csv": content}, columns).rows == [(None, None, None, None, False)]


@pytest.mark.parametrize("word", ["NA", "na", "none", "-", "--"])
def test_a_word_that_may_be_a_text_is_nothing_except_in_a_text(tmp_path: Path, word: str) -> None:
    content = customers(("C1", "2024-01-31", word, word)).replace(b"Mining,growth", f"{word},{word}".encode())
    rows = read(tmp_path, {"customers.csv": content}, ["industry", "plan_tier", "mrr", "churn_date"]).rows
    assert rows == [(word, None, None, None)]


def test_the_mapping_adds_words_for_nothing(tmp_path: Path) -> None:
    source = TableSource("customers", nulls=("unknown", "9999-12-31"))
    content = customers(("C1", "2024-01-31", "unknown", "9999-12-31")).replace(b"Mining", b"unknown")
    rows = read(tmp_path, {"customers.csv": content}, ["industry", "mrr", "churn_date"], source=source).rows
    assert rows == [(None, None, None)]


# --- dates and instants


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["2024/01/31", "2024/2/1"], [DAY, date(2024, 2, 1)]),
        (["2024.01.31"], [DAY]),
        (["01/31/2024", "02/01/2024"], [DAY, date(2024, 2, 1)]),
        (["31/01/2024", "02/01/2024"], [DAY, date(2024, 1, 2)]),
        (["31.01.2024", "2.1.2024"], [DAY, date(2024, 1, 2)]),
        (["31-01-2024", "02-01-2024"], [DAY, date(2024, 1, 2)]),
        (["01-31-2024", "02-01-2024"], [DAY, date(2024, 2, 1)]),
        (["20240131"], [DAY]),
        (["31-Jan-2024", "01-MAY-2024"], [DAY, date(2024, 5, 1)]),
        (["31 Jan 2024"], [DAY]),
        (["Jan 31, 2024", "May 1, 2024"], [DAY, date(2024, 5, 1)]),
        (["January 31, 2024"], [DAY]),
        (["31 January 2024", "1 May 2024"], [DAY, date(2024, 5, 1)]),
        (["31.01.24"], [DAY]),
        (["1/31/24", "2/1/24"], [DAY, date(2024, 2, 1)]),
        (["01/31/2024 00:00"], [DAY]),
        (["01/31/2024 12:00:00 AM"], [DAY]),
        (["01/31/2024 11:59 PM"], [DAY]),
        (["31.01.2024 23:30:15"], [DAY]),
        (["31/01/2024 23:30:00+02:00"], [DAY]),
        (["2024-01-31 11:30 p.m."], [DAY]),
        (["1706659200"], [DAY]),
        (["1706659200000", "1706659200000"], [DAY, DAY]),
        (["1706659200.25"], [DAY]),
        (["03/03/2024"], [date(2024, 3, 3)]),
        (["2024-01-31", "31.01.2024", "2024-02-01"], [DAY, None, date(2024, 2, 1)]),
        (["02/01/2024", "03/01/2024"], "churn_date '02/01/2024' can be MM/DD/YYYY or DD/MM/YYYY"),
        (["02-01-2024"], "churn_date '02-01-2024' can be DD-MM-YYYY or MM-DD-YYYY"),
        (["2/1/24"], "churn_date '2/1/24' can be MM/DD/YY or DD/MM/YY"),
    ],
    ids=lambda value: "|".join(value) if isinstance(value, list) and isinstance(value[0], str) else "",
)
def test_a_date_is_read_in_the_form_that_fits_all_values(tmp_path: Path, written: list[str], expected: Any) -> None:
    content = customers(*((f"C{i}", "2024-01-10", "1", day) for i, day in enumerate(written)), delimiter="|")
    result = read(tmp_path, {"customers.csv": content}, ["churn_date"])
    if isinstance(expected, str):
        assert expected in str(result.problems[0])
        assert "set its format" in result.problems[0].remedy
    else:
        assert result.problems == []
        assert [day for (day,) in result.rows] == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("01/31/2024 3:05 PM", datetime(2024, 1, 31, 15, 5)),
        ("01/31/2024 03:05:06.5 pm", datetime(2024, 1, 31, 15, 5, 6, 500_000)),
        ("01/31/2024 15:05", datetime(2024, 1, 31, 15, 5)),
        ("01/31/2024, 3:05 PM", datetime(2024, 1, 31, 15, 5)),
        ("31.01.2024T15:05:00+02:00", datetime(2024, 1, 31, 13, 5)),
        ("Jan 31, 2024 3:05 PM UTC", datetime(2024, 1, 31, 15, 5)),
        ("2024/01/31 15:05:00 GMT", datetime(2024, 1, 31, 15, 5)),
        ("1706713500", datetime(2024, 1, 31, 15, 5)),
        ("1706713500123", datetime(2024, 1, 31, 15, 5, 0, 123_000)),
        ("1706713500.5", datetime(2024, 1, 31, 15, 5, 0, 500_000)),
        ("1.7067135E9", datetime(2024, 1, 31, 15, 5)),
        ("31.01.2024", datetime(2024, 1, 31, 5)),
    ],
)
def test_an_instant_is_read_in_any_form_with_its_time_and_zone(
    tmp_path: Path, written: str, expected: datetime
) -> None:
    content = EVENTS + f"E1;C1;{written};a;0\n".encode()
    result = read(tmp_path, {"usage_events.csv": content}, ["timestamp"], "usage_events", timezone="America/New_York")
    assert (result.rows, result.problems) == ([(expected,)], [])


@pytest.mark.parametrize("value", ["1706713500", "1706713500::double", "1706713500000", "20240131"])
def test_a_moment_may_be_a_number_in_parquet(tmp_path: Path, value: str) -> None:
    with duckdb.connect() as con:
        con.execute(
            f"copy (select 'C1' customer_id, 'x' industry, 'free' plan_tier, {value} signup_date, 1 mrr, null churn_date) "
            f"to '{tmp_path}/made.parquet'"
        )
    content = (tmp_path / "made.parquet").read_bytes()
    assert read(tmp_path, {"customers.parquet": content}, ["signup_date"]).rows == [(DAY,)]


def test_a_file_that_leaves_the_form_open_takes_that_of_the_files_that_do_not(tmp_path: Path) -> None:
    files = {
        "customers/a.csv": customers(("C1", "2024-01-10", "1", "02/01/2024")),
        "customers/b.csv": customers(("C2", "2024-01-10", "1", "31/01/2024")),
    }
    forward = read(tmp_path, files, ["churn_date"])
    backward = read(tmp_path, dict(reversed(files.items())), ["churn_date"])
    assert forward.rows == backward.rows == [(date(2024, 1, 2),), (DAY,)]


def test_another_date_of_the_file_tells_the_form(tmp_path: Path) -> None:
    content = customers(("C1", "01/31/2024", "1", "02/01/2024"))
    assert read(tmp_path, {"customers.csv": content}, ["churn_date"]).rows == [(date(2024, 2, 1),)]


def test_files_that_contradict_each_other_do_not_tell_the_form_of_a_third(tmp_path: Path) -> None:
    files = {
        f"customers/{i}.csv": customers(("C1", "2024-01-10", "1", day))
        for i, day in enumerate(("31/01/2024", "01/31/2024", "02/01/2024"))
    }
    (problem,) = read(tmp_path, files).problems
    assert problem.file == "customers/2.csv"


def test_a_form_that_fits_all_but_a_few_is_taken(tmp_path: Path) -> None:
    days = ["01/31/2024"] * 30 + ["soon", "31/01/2024"]
    content = customers(*((f"C{i}", "2024-01-10", "1", day) for i, day in enumerate(days)))
    assert [day for (day,) in read(tmp_path, {"customers.csv": content}, ["churn_date"]).rows] == [DAY] * 30 + [
        None
    ] * 2


@pytest.mark.parametrize(
    ("form", "written", "expected"),
    [
        ("%d/%m/%Y", "02/01/2024", date(2024, 1, 2)),
        ("%d.%m.%Y %H:%M", "02.01.2024 23:30", date(2024, 1, 2)),
        ("%d%m%Y", "02012024", date(2024, 1, 2)),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-01-02T00:00:00Z", date(2024, 1, 1)),
        ("%Y-%m-%dT%H:%M:%SZ", "2024-01-02T00:00:00Z", date(2024, 1, 2)),
        ("epoch_milliseconds", "1706713500000", DAY),
    ],
)
def test_the_form_of_a_date_can_be_set(tmp_path: Path, form: str, written: str, expected: date) -> None:
    source = TableSource("customers", columns={"churn_date": ColumnSource(column="churn_date", format=form)})
    content = customers(("C1", "2024-01-01", "1", written))
    result = read(tmp_path, {"customers.csv": content}, ["churn_date"], source=source, timezone="America/New_York")
    assert (result.rows, result.problems) == ([(expected,)], [])


def test_dates_that_are_all_midnight_in_greenwich_are_asked_about_west_of_it(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02}T00:00:00Z" for day in range(1, 8)]
    content = customers(*((f"C{i}", day, "1", "") for i, day in enumerate(days)))
    (problem,) = read(tmp_path, {"customers.csv": content}, timezone="America/New_York").problems
    assert "all 7 values of signup_date are midnight in UTC" in problem.what
    assert read(tmp_path, {"customers.csv": content}, timezone="UTC").problems == []
    assert read(tmp_path, {"customers.csv": content}, timezone="Europe/Berlin").problems == []
    noon = content.replace(b"2024-01-07T00", b"2024-01-07T12")
    assert read(tmp_path, {"customers.csv": noon}, timezone="America/New_York").problems == []


@pytest.mark.parametrize("expression", ["timezone('UTC', signup_date::TIMESTAMPTZ)::DATE", "signup_date"])
def test_an_expression_answers_what_midnights_mean(tmp_path: Path, expression: str) -> None:
    days = [f"2024-01-{day:02}T00:00:00Z" for day in range(11, 18)]
    content = customers(*((f"C{i}", day, "1", "") for i, day in enumerate(days)))
    source = TableSource("customers", columns={"signup_date": ColumnSource(expression=expression)})
    result = read(tmp_path, {"customers.csv": content}, ["signup_date"], source=source, timezone="America/New_York")
    assert result.rows[0] == (date(2024, 1, 10 if expression == "signup_date" else 11),)


# --- a table in a random dialect

_TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=8)
_ROWS = st.lists(
    st.tuples(
        _TEXT.map(lambda text: f"x{text}x"),
        st.dates(date(1990, 1, 1), date(2060, 12, 31)),
        st.decimals(0, 10_000_000, places=2),
    ),
    min_size=1,
    max_size=6,
)


def _money(value: Any, decimal: str, thousands: str, sign: str) -> str:
    text = f"{value:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)
    return f"{sign}{text}"


@given(
    rows=_ROWS,
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    quote=st.sampled_from(['"', "'"]),
    decimal=st.sampled_from([".", ","]),
    thousands=st.sampled_from(["", " ", "\u00a0", "'", "other"]),
    currency=st.sampled_from(["", "$", "€ ", "USD "]),
    form=st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d", "%d-%b-%Y", "%Y%m%d", "%m/%d/%Y"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]),
    end=st.sampled_from(["\n", "\r\n"]),
    is_open=st.booleans(),
    suffix=st.sampled_from([".csv", ".csv.gz", ".csv.zst"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_table_in_a_random_dialect_is_read_as_the_plain_one_is(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, date, Any]],
    delimiter: str,
    quote: str,
    decimal: str,
    thousands: str,
    currency: str,
    form: str,
    encoding: str,
    end: str,
    is_open: bool,
    suffix: str,
) -> None:
    thousands = {"other": "," if decimal == "." else "."}.get(thousands, thousands)
    # A day beyond the twelfth, without which nobody could tell the month.
    rows = [*rows, ("last", date(2024, 1, 31), rows[0][2])]
    table = [("customer_id", "industry", "plan_tier", "signup_date", "mrr", "churn_date")]
    for number, (industry, day, mrr) in enumerate(rows):
        money = _money(mrr, decimal, thousands, currency)
        table.append((f"C{number}", industry, "growth", day.strftime(form), money, ""))
    lines = [delimiter.join(quote + cell.replace(quote, quote * 2) + quote for cell in cells) for cells in table]
    text = end.join(lines) + ("" if is_open else end)
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    content = mark + text.encode(encoding)
    packed = {".csv": content, ".csv.gz": gzip.compress(content), ".csv.zst": _zst(content)}[suffix]
    columns = ["customer_id", "industry", "signup_date", "mrr"]
    result = read(tmp_path_factory.mktemp("raw"), {f"customers{suffix}": packed}, columns)
    assert result.problems == []
    assert result.rows == [(f"C{i}", industry, day, float(mrr)) for i, (industry, day, mrr) in enumerate(rows)]
