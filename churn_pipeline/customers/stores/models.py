"""The models behind what is published, from their copies in the home, and what they say of a customer with other values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from churn_pipeline.contract.declaration import RANGES, TABLES, Column
from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.targets import Target, shorter_than
from churn_pipeline.customers.stores.published import Publication, PublishedMonday
from churn_pipeline.customers.stores.rows import churn_targets
from churn_pipeline.customers.what_if import ValueRule, WhatIf, feature_named, rule_of, what_if
from churn_pipeline.features.catalogue import read_catalogue, read_ranges
from churn_pipeline.policy import tiers

if TYPE_CHECKING:
    from churn_pipeline.modeling.model import ScoringModel


class Models:
    """The models behind the rows of a publication, each loaded once. MLflow is not asked: the home keeps a copy of every version."""

    def __init__(self, publication: Publication) -> None:
        self._publication = publication
        self._loaded: dict[tuple[str, str], ScoringModel] = {}

    def of(self, row: Mapping[str, Any], target: Target) -> ScoringModel:
        """The model behind the probability of a row.

        Args:
            row: of `predictions`.
            target: which of its probabilities.

        Raises:
            RefusedError: the ledger does not name the version, the copy in the home is not what the ledger names, or the device that it was
                made on is not here.
        """
        key = target.name, str(row[target.version_column])
        if key not in self._loaded:
            self._loaded[key] = self._read(*key)
        return self._loaded[key]

    def what_if(
        self,
        monday: PublishedMonday,
        customer_id: str,
        changes: Mapping[str, object],
        target: Target | None = None,
    ) -> WhatIf:
        """What the models say of a customer with other values: exact, and no cause.

        Args:
            monday: of the same publication.
            customer_id: who is active on it.
            changes: by feature its value, or text as people write it.
            target: whose probability; those of all churn targets unless given.

        Raises:
            UnknownCustomerError: as :meth:`PublishedMonday.row`; ChurnedError likewise.
            InputError: no model looks at such a feature, or it cannot have such a value.
            RefusedError: the customer has no such probability, or what is published and the models do not go together any more.
        """
        settings = self._publication.settings
        row = monday.row(customer_id)
        wanted = churn_targets() if target is None else (target,)
        asked = [each for each in wanted if row.get(each.probability_column) is not None]
        if not asked:
            raise RefusedError(
                f"no model predicts {' or '.join(each.name for each in wanted)} for '{customer_id}' on {monday.snapshot_date}"
            )
        frame, whole = self._features(monday, customer_id)
        needed = [
            each
            for each in dict.fromkeys((*asked, *(shorter for each in asked for shorter in shorter_than(each))))
            if row.get(each.probability_column) is not None
        ]
        models = {each: self.of(row, each) for each in needed}
        yaml = {each.mart: settings.dbt_project / "models" / "marts" / f"{each.mart}.yml" for each in needed}
        ranges = {name: bounds for path in yaml.values() for name, bounds in read_ranges(path).items()}
        # Read where it is needed alone: that takes a second.
        old = {each.mart for each, model in models.items() if any(feature.theme is None for feature in model.catalogue)}
        today = {mart: read_catalogue(path) for mart, path in yaml.items() if mart in old}
        values = {}
        for name, given in changes.items():
            feature = feature_named(name, (model.catalogue for model in models.values()))
            rule: ValueRule = rule_of(
                feature, is_whole=name in whole, column=declared(name), bounds=ranges.get(name, (None, None))
            )
            values[name] = rule.value(given)
        with self._publication.cursor() as cursor:
            policy = tiers.of_policies(cursor, [row["policy_version"]])[row["policy_version"]]
        return what_if(row, frame, models, values, asked=asked, policy=policy, today=today)

    def _features(self, monday: PublishedMonday, customer_id: str) -> tuple[Any, frozenset[str]]:
        """The one row of features behind a prediction, as scoring reads it from a mart, and which of its columns hold whole numbers."""
        publication = monday.publication
        if not publication.has_weeks:
            raise RefusedError(
                f"an older version published {monday.snapshot_date} without the features behind it; 'churn run --week {monday.snapshot_date}' "
                "publishes them"
            )
        with publication.cursor() as cursor:
            frame = cursor.execute(
                "from customer_weeks where snapshot_date = ? and customer_id = ?", [monday.snapshot_date, customer_id]
            ).df()
            types = cursor.execute("select column_name, column_type from (describe customer_weeks)").fetchall()
        if len(frame) != 1:
            raise RefusedError(
                f"the features behind '{customer_id}' on {monday.snapshot_date} are not published; 'churn run --week {monday.snapshot_date}' "
                "publishes them"
            )
        return frame, frozenset(name for name, sql_type in types if sql_type in ("BIGINT", "INTEGER"))

    def _read(self, target: str, version: str) -> ScoringModel:
        from churn_pipeline.modeling.device import ensure_its_own
        from churn_pipeline.modeling.model import ScoringModel
        from churn_pipeline.modeling.store import DIGEST

        settings = self._publication.settings
        with self._publication.cursor() as cursor:
            rows = cursor.execute(
                "select metrics from promotions where target = ? and version = ? order by seq", [target, version]
            ).fetchall()
        digest = next((found for (text,) in rows if (found := json.loads(text).get(DIGEST))), None)
        if digest is None:
            raise RefusedError(f"the ledger of models does not name {target} version {version}")
        try:
            model = ScoringModel.load(settings.models / target / version, settings.threads, digest)
        except InputError as error:
            raise RefusedError(
                f"the copy of {target} version {version} cannot be used, and the next 'churn run' makes it again: {error}"
            ) from error
        ensure_its_own(f"{target} version {version}", model.device)
        return model


def declared(name: str) -> Column | None:
    """The column of the contract with that name which says what a value may be."""
    return next(
        (
            column
            for table in TABLES.values()
            for column in table.raw
            if column.name == name and (column.categories or column.kind in RANGES)
        ),
        None,
    )
