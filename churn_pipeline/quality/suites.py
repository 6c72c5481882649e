"""What is expected at the two edges, as plain data: generated from the contract and from the policy seeds.

At the publishing edge the names of Great Expectations' classes stand here and nothing of it is imported, so that the page and the tests
cost nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from churn_pipeline.contract import TABLES, Column, Kind, Rule, TableContract
from churn_pipeline.contract.declaration import RANGES, READABLE
from churn_pipeline.core.targets import TARGETS, shorter_than, target_of
from churn_pipeline.quality.results import Expectation

# An argument of ours: the column and the value that a row must have to be judged.
WHERE = "where"
PERSONAL_COLUMNS = "columns of personal data"
PERSONAL_ROWS = "rows that show personal data"
LANDED = "Landed - "
# Landing makes it of whatever says who the customers are.
NEVER_EMPTY = "customers"
CANDIDATES = "Predictions before they are published"


@dataclass(frozen=True)
class OfLanded(Expectation):
    """An expectation of a landed table, which :mod:`churn_pipeline.quality.landing` judges in SQL.

    Attributes:
        about: its columns, its number of rows, a rule of the contract, the share of nulls of a column in all rows, or in the week
            before each Monday.
        rule: the rule, where it is about one.
        column: the raw column, where it is about nulls.
    """

    about: Literal["columns", "rows", "rule", "nulls", "weekly nulls"]
    rule: Rule | None = None
    column: str = ""


@dataclass(frozen=True)
class OfCandidates(Expectation):
    """An expectation of the candidates, which Great Expectations judges.

    Attributes:
        type: the class in ``great_expectations.expectations``.
        arguments: of that class.
    """

    type: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


COLUMNS = OfLanded("columns", "Every declared column is there.", "columns")


def of_landed(
    table: TableContract, *, is_first: bool = False, compared: Collection[str] | None = None
) -> list[OfLanded]:
    """What is expected of a landed table.

    Args:
        table: its contract, from which every expectation comes.
        is_first: nothing of it was landed before.
        compared: columns whose nulls the former landing counted; all of them unless given.
    """
    rows = "As many rows as the former landing and the time since then allow."
    expected = [COLUMNS, OfLanded("rows", "As many rows as a first landing needs." if is_first else rows, "rows")]
    expected += [
        OfLanded(f"{rule.name}: {', '.join(rule.columns)}", rule.sentence, "rule", rule=rule)
        for rule in asked_rules(table)
    ]
    for column in nullable(table):
        if not is_first and (compared is None or column.name in compared):
            sentence = f"The share of rows without {column.name} is about that of the former landing."
            expected.append(OfLanded(f"nulls in {column.name}", sentence, "nulls", column=column.name))
    for column in nullable_by_week(table):
        sentence = f"The week before the Monday has hardly more rows without {column.name} than former weeks."
        name = f"nulls in {column.name} in the week before"
        expected.append(OfLanded(name, sentence, "weekly nulls", column=column.name))
    return expected


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
    """Whether what breaks the rule is a word or a number, which says more than that it does."""
    column = next(column for column in table.columns if column.name == rule.columns[0])
    categorical = column.kind in RANGES or column.kind is Kind.CATEGORY
    return rule.kind == "cell" and len(rule.columns) == 1 and categorical and not column.pii


def personal_columns() -> list[str]:
    """Columns that the contract marks as personal data, over all tables."""
    return sorted({column.name for table in TABLES.values() for column in table.columns if column.pii})


def of_candidates(tiers: Sequence[tuple[str, float]], active: int) -> list[OfCandidates]:
    """What is expected of the candidates of one Monday.

    Args:
        tiers: risk tiers with the lowest probability of each, ascending, as the seed ``risk_tiers`` has them.
        active: customers of the mart on that Monday.
    """

    def between(name: str, sentence: str, column: str, low: float, high: float | None, **more: Any) -> OfCandidates:
        arguments = {"column": column, "min_value": low, "max_value": high, **more}
        return OfCandidates(name, sentence, "ExpectColumnValuesToBeBetween", arguments)

    expected = [
        OfCandidates(
            "every_active_customer",
            "As many rows as the mart has active customers on that Monday.",
            "ExpectTableRowCountToEqual",
            {"value": active},
        ),
        OfCandidates(
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
            OfCandidates(
                f"{column}_is_given", f"Every row has a {column}.", "ExpectColumnValuesToNotBeNull", {"column": column}
            )
        )
    for column in (*probabilities, "risk_score"):
        expected.append(between(f"{column}_from_0_to_1", f"{column} lies between 0 and 1.", column, 0, 1))
    for longer in TARGETS.values():
        for shorter in shorter_than(longer):
            expected.append(
                OfCandidates(
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
            OfCandidates(
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
        OfCandidates(
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
    return expected
