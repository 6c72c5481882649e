"""What is expected at the two edges, as plain data: generated from the contract and from the policy seeds.

The names of Great Expectations' classes stand here and nothing of it is imported, so that the page and the tests cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from churn_pipeline.contract import TABLES, Column, Kind, Rule, TableContract
from churn_pipeline.contract.declaration import RANGES, READABLE
from churn_pipeline.core.targets import TARGETS, shorter_than, target_of

# An argument of ours: the column and the value that a row must have to be judged.
WHERE = "where"
ROWS = "rows"
COLUMNS = "columns"
MONDAY = "Monday"
BREAKING = "rows that break"
PERSONAL_COLUMNS = "columns of personal data"
PERSONAL_ROWS = "rows that show personal data"
LANDED = "Landed - "
# Landing makes it of whatever says who the customers are.
NEVER_EMPTY = "customers"
CANDIDATES = "Predictions before they are published"


@dataclass(frozen=True)
class Expected:
    """One expectation.

    Attributes:
        name: identifies it within its suite, in words.
        sentence: what is expected, for whoever reads the page or the result.
        type: the class in ``great_expectations.expectations``.
        arguments: of that class.
    """

    name: str
    sentence: str
    type: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """What is expected of one frame.

    Attributes:
        condensed: the frame's rows are not rows of the table, so shares of them mean nothing.
    """

    name: str
    expectations: tuple[Expected, ...]
    condensed: bool = False


@dataclass(frozen=True)
class Bounds:
    """What the former landing allows.

    Attributes:
        rows: fewest and most rows; None where nothing was landed before.
        nulls: by raw column, the smallest and largest share of nulls over the whole table.
    """

    rows: tuple[int, int] | None = None
    nulls: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def columns_suite(table: TableContract) -> Suite:
    """What is expected before anything else can be asked."""
    columns = Expected(
        "columns",
        "Every declared column is there.",
        "ExpectColumnDistinctValuesToContainSet",
        {"column": COLUMNS, "value_set": [landed.name for landed in table.landed]},
    )
    return Suite(f"{LANDED}{table.name}", (columns,), condensed=True)


def landing_suite(table: TableContract, bounds: Bounds) -> Suite:
    """What is expected of a landed table, of the frames that ``profile`` makes of it.

    Args:
        table: its contract, from which every expectation comes.
        bounds: what the former landing allows.
    """
    low, high = bounds.rows or (int(table.name == NEVER_EMPTY), None)
    expected = [
        *columns_suite(table).expectations,
        Expected(
            "rows",
            "As many rows as the former landing and the time since then allow."
            if bounds.rows
            else "As many rows as a first landing needs.",
            "ExpectColumnMaxToBeBetween",
            {"column": ROWS, "min_value": low, "max_value": high},
        ),
    ]
    expected += [_of_rule(table, rule) for rule in asked_rules(table)]
    for column in nullable(table):
        if column.name in bounds.nulls:
            least, most = bounds.nulls[column.name]
            expected.append(
                Expected(
                    f"nulls in {column.name}",
                    f"The share of rows without {column.name} is about that of the former landing.",
                    "ExpectColumnMaxToBeBetween",
                    {"column": nulls(column.name), "min_value": round(least, 4), "max_value": round(most, 4)},
                )
            )
    for column in nullable_by_week(table):
        expected.append(
            Expected(
                f"nulls in {column.name} in the week before",
                f"The week before the Monday has hardly more rows without {column.name} than former weeks.",
                "ExpectColumnPairValuesAToBeGreaterThanB",
                {
                    "column_A": most_nulls(column.name),
                    "column_B": week_nulls(column.name),
                    "or_equal": True,
                    "ignore_row_if": "either_value_is_missing",
                },
            )
        )
    return Suite(f"{LANDED}{table.name}", tuple(expected), condensed=True)


def asked_rules(table: TableContract) -> list[Rule]:
    """The rules that a landed row can be asked: all but those about reading, which its type answers."""
    readable = set(READABLE.values())
    return [
        rule
        for rule in (*table.rules, table.unique_key)
        if rule.name not in readable and all(column in table.restored for column in rule.columns)
    ]


def nullable(table: TableContract) -> list[Column]:
    """The columns that may be null."""
    return [column for column in table.raw if not column.needed and column.name in table.restored]


def nullable_by_week(table: TableContract) -> list[Column]:
    """Those of them that are known from a row's first day on.

    What a later fact fills in (a resolution, a departure, a closing) is always rarer in the newest week.
    """
    first, *later = table.facts
    filled_later = {name for fact in later for name in fact.values} - set(first.values)
    landed = {column.back[0]: column.name for column in table.landed if column.back}
    return [
        column
        for column in nullable(table)
        if landed.get(column.name, column.name) not in filled_later and not column.pii
    ]


def has_values(table: TableContract, rule: Rule) -> bool:
    """Whether the values themselves are judged (their extremes, their words), and not the number of rows that break the rule."""
    column = _declared(table, rule)
    return rule.kind == "cell" and len(rule.columns) == 1 and (column.kind in RANGES or column.kind is Kind.CATEGORY)


def broken(rule: Rule) -> str:
    """Name of the frame's column with the number of rows that break a rule."""
    return f"{BREAKING} '{rule.name}' of {', '.join(rule.columns)}"


def nulls(column: str) -> str:
    return f"share without {column}"


def week_nulls(column: str) -> str:
    return f"share without {column} in the week"


def most_nulls(column: str) -> str:
    return f"largest usual share without {column}"


def _declared(table: TableContract, rule: Rule) -> Column:
    return next(column for column in table.columns if column.name == rule.columns[0])


def _of_rule(table: TableContract, rule: Rule) -> Expected:
    column, name = _declared(table, rule), f"{rule.name}: {', '.join(rule.columns)}"
    if not has_values(table, rule):
        arguments: dict[str, Any] = {"column": broken(rule), "min_value": 0, "max_value": 0}
        return Expected(name, rule.sentence, "ExpectColumnMaxToBeBetween", arguments)
    if column.kind is Kind.CATEGORY:
        arguments = {"column": column.name, "value_set": list(column.categories)}
        return Expected(name, rule.sentence, "ExpectColumnValuesToBeInSet", arguments)
    low, high = RANGES[column.kind]
    # Of the values and not of their smallest and largest: those do not exist in a column without any value, which is fine.
    arguments = {"column": column.name, "min_value": low, "max_value": high}
    return Expected(name, rule.sentence, "ExpectColumnValuesToBeBetween", arguments)


def personal_columns() -> list[str]:
    """Columns that the contract marks as personal data, over all tables."""
    return sorted({column.name for table in TABLES.values() for column in table.columns if column.pii})


def candidates_suite(tiers: Sequence[tuple[str, float]], active: int) -> Suite:
    """What is expected of the candidates of one Monday.

    Args:
        tiers: risk tiers with the lowest probability of each, ascending, as the seed ``risk_tiers`` has them.
        active: customers of the mart on that Monday.
    """

    def between(name: str, sentence: str, column: str, low: float, high: float | None, **more: Any) -> Expected:
        arguments = {"column": column, "min_value": low, "max_value": high, **more}
        return Expected(name, sentence, "ExpectColumnValuesToBeBetween", arguments)

    expected = [
        Expected(
            "every_active_customer",
            "As many rows as the mart has active customers on that Monday.",
            "ExpectTableRowCountToEqual",
            {"value": active},
        ),
        Expected(
            "one_row_per_customer",
            "snapshot_date and customer_id occur together once.",
            "ExpectCompoundColumnsToBeUnique",
            {"column_list": ["snapshot_date", "customer_id"]},
        ),
    ]
    probabilities = [target.probability_column for target in TARGETS.values()]
    required = [target.probability_column for target in TARGETS.values() if target.required]
    for column in ("customer_id", *required, "risk_tier", "risk_score"):
        expected.append(
            Expected(
                f"{column}_is_given", f"Every row has a {column}.", "ExpectColumnValuesToNotBeNull", {"column": column}
            )
        )
    for column in (*probabilities, "risk_score"):
        expected.append(between(f"{column}_from_0_to_1", f"{column} lies between 0 and 1.", column, 0, 1))
    for longer in TARGETS.values():
        for shorter in shorter_than(longer):
            expected.append(
                Expected(
                    f"{longer.name}_is_as_probable_as_{shorter.name}",
                    f"{shorter.probability_column} is at most {longer.probability_column}.",
                    "ExpectColumnPairValuesAToBeGreaterThanB",
                    {
                        "column_A": longer.probability_column,
                        "column_B": shorter.probability_column,
                        "or_equal": True,
                        "ignore_row_if": "either_value_is_missing",
                    },
                )
            )
    risk = target_of("risk")
    for tier_column, value, what in (
        ("risk_tier", risk.probability_column, f"{risk.horizon_days}-day probability"),
        ("risk_score_tier", "risk_score", "risk score"),
    ):
        expected.append(
            Expected(
                f"{tier_column}_is_a_tier",
                f"{tier_column} is one of the tiers of the policy.",
                "ExpectColumnValuesToBeInSet",
                {"column": tier_column, "value_set": [tier for tier, _ in tiers]},
            )
        )
        for (tier, low), above in zip(tiers, [*(bound for _, bound in tiers[1:]), None], strict=True):
            span = f"from {low:g} to under {above:g}" if above is not None else f"{low:g} or more"
            more: dict[str, Any] = {WHERE: (tier_column, tier)}
            if above is not None:
                more["strict_max"] = True
            expected.append(
                between(
                    f"{tier_column}_{tier}",
                    f"Where {tier_column} is {tier}, the {what} is {span}.",
                    value,
                    low,
                    above,
                    **more,
                )
            )
    expected += [
        between("churn_drivers_are_there", "Every row has one to five churn_drivers.", "churn_drivers", 1, 5),
        Expected(
            "no_personal_column",
            "No column is one that the contract marks as personal data.",
            "ExpectColumnValuesToBeNull",
            {"column": PERSONAL_COLUMNS},
        ),
        between(
            "no_personal_value",
            "No text shows what the contract marks as personal data of that customer.",
            PERSONAL_ROWS,
            0,
            0,
        ),
    ]
    return Suite(CANDIDATES, tuple(expected))
