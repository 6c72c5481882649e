"""What a success manager reads of a customer, checked as a whole: ``python -m tests.support.told HOME`` reads every published Monday of a home.

A test of one template sees that template. This sees all that was said of each customer side by side.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb

from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.core.targets import target_of
from churn_pipeline.features.catalogue import Catalogue, facts_of, read_catalogue

Row = Mapping[str, Any]

# A figure and what may stand around it. Figures that have their unit before them, or share it with another, are the exceptions.
_UNIT = (
    r"(?: (?:more )?(?:%|points?|days?|months?|years?|hours?|(?:open |urgent )?tickets?|events?|critical\b|of them critical|kinds? of activity|signs? of|systems?"
    r"|vendor risk flags?)|K\b|M\b)"
)
_WITH_UNIT = re.compile(rf"\d[\d,.]*{_UNIT}")
_FIGURE = re.compile(r"(?<![\w.,])\$?\d[\d,.]*\d|(?<![\w.,])\$?\d")
_SHARES_UNIT = (
    # Money, a date, the noun of what is compared, the rate of a month before, a window that the sentence names.
    re.compile(r"\$\d[\d,.]*[KM]?"),
    re.compile(r"\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4}"),
    re.compile(r"(?:similar companies|other customers) \d[\d,.]*"),
    re.compile(r", \d[\d,.]* now"),
    re.compile(r"of the last \d+"),
)
# What an empty slot leaves behind.
_HOLE = re.compile(r"[{}\[\]]|\b(?:None|nan|null|unknown)\b|  | [,.;:?]|\(\)|^\s*$|,\s*[.,]|\bfor [,.?]")
# A plan that is named without the word, and a number that its noun does not agree with.
_WRONG_ENGLISH = re.compile(
    r"\b1 (?:tickets|events|days|months|years|hours|systems|points|vendor risk flags|kinds)\b|\bno events a week\b|\b(?:selling (?:starter|growth|enterprise|custom)|(?:of|for) (?:starter|enterprise|custom))\b(?! plan)",
    re.IGNORECASE,
)


def faults_of(row: Row, catalogue: Catalogue) -> Iterator[str]:
    """What is wrong with what is said of a customer, each fault in a word and the text that has it.

    Args:
        row: of the published predictions.
        catalogue: whose words the reasons are.
    """
    reasons = [theme["sentence"] for theme in row["churn_themes"] or ()]
    points = [text for point in row["talking_points"] or () for text in (point["ask"], point["offer"], point["avoid"])]
    for text in (*reasons, row["recommended_action"], *points):
        if text is None or _HOLE.search(text):
            yield f"an empty slot: {text}"
        if text and _WRONG_ENGLISH.search(text):
            yield f"wrong English: {text}"
        if text and (bare := _without_unit(text)):
            yield f"no unit for {', '.join(bare)}: {text}"
    told = [
        fact
        for theme in row["churn_themes"] or ()
        for name in theme["features"]
        if name in catalogue
        for fact in set(facts_of(catalogue[name]))
    ]
    figures = [figure for sentence in reasons for figure in _facts_in(sentence)]
    for fact, times in (*Counter(told).items(), *Counter(figures).items()):
        if times > 1:
            yield f"told twice ({fact}): {' / '.join(reasons)}"
    for theme in {point["theme"] for point in row["talking_points"] or ()}:
        if theme not in {reason["theme"] for reason in row["churn_themes"] or ()}:
            yield f"a talking point about {theme}, which is no reason"
    parts, change = row["change_parts"], row["probability_change"]
    if parts is not None and change is not None and abs(sum(part["points"] for part in parts) - change) > 1e-6:
        yield f"the parts of the change add up to {sum(part['points'] for part in parts):.6f} and not to {change:.6f}"


def _without_unit(text: str) -> list[str]:
    for pattern in (*_SHARES_UNIT, _WITH_UNIT):
        text = pattern.sub(" ", text)
    return _FIGURE.findall(text)


def _facts_in(sentence: str) -> set[str]:
    """Figures of the customer with their units; windows and what others have are no facts of theirs."""
    sentence = re.sub(
        r"(?:in|of the last|against the) \d+ days?|(?:similar companies|other customers) [^,;)]*", " ", sentence
    )
    # Two scores may be the same percentage by chance, and two things as many days ago; two rates of one sentence are compared.
    return {figure for figure in _WITH_UNIT.findall(sentence) if not figure.endswith(("%", "day", "days"))}


def rows_of(database: Path) -> list[Row]:
    """All published rows of a home."""
    with duckdb.connect(str(database), read_only=True) as con:
        result = con.execute("from predictions order by snapshot_date, customer_id")
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def shipped_catalogue() -> Catalogue:
    """The catalogue of the mart whose target says who is at risk."""
    return read_catalogue(REPOSITORY / "dbt_project" / "models" / "marts" / f"{target_of('risk').mart}.yml")


def main() -> int:
    """Counts what was read and prints each kind of fault with its first customers."""
    rows, catalogue = rows_of(Settings(home=Path(sys.argv[1])).published_database), shipped_catalogue()
    faults: dict[str, list[str]] = {}
    for row in rows:
        for fault in faults_of(row, catalogue):
            faults.setdefault(fault.split(":")[0], []).append(f"{row['snapshot_date']} {row['customer_id']}: {fault}")
    mondays = len({row["snapshot_date"] for row in rows})
    changed = sum(row["probability_change"] is not None and row["change_parts"] is not None for row in rows)
    print(
        f"{len(rows):,} customers on {mondays} Mondays, {changed:,} changes, {sum(map(len, faults.values())):,} faults"
    )
    for kind, examples in faults.items():
        print(f"{len(examples):,} x {kind}", *examples[:3], sep="\n    ")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
