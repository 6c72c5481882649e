"""A home for whoever works in Python: ``from churn_pipeline import Home``. docs/python.md shows how.

What is published is read without the lock, whatever a run is doing. What was known on any other Monday lies in the warehouse, under the
home's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import pandas as pd

    from churn_pipeline.core.settings import Settings
    from churn_pipeline.customers.briefs.desk import Desk
    from churn_pipeline.customers.briefs.model import Brief
    from churn_pipeline.customers.entities import RiskSignals
    from churn_pipeline.customers.predictions import ChurnPrediction, ExpansionPrediction
    from churn_pipeline.customers.profile import Customer360
    from churn_pipeline.customers.repositories import AsOf
    from churn_pipeline.customers.risk_score import ComposedRisk
    from churn_pipeline.customers.stores.models import Models
    from churn_pipeline.customers.stores.published import Publication
    from churn_pipeline.customers.what_if import WhatIf
    from churn_pipeline.modeling.model import ScoringModel

type Monday = date | str | None


class Home:
    """One home, as published, and as of any Monday.

    Every question reads what is published at that moment. A ``snapshot_date`` is a Monday, as a date or as ``YYYY-MM-DD``; the newest
    published one unless given. A customer is named by id, by the company's name, or by how it begins, without regard to accents and
    case.

    Use it as a context manager, or call `close`. It is for one thread.
    """

    def __init__(self, path: str | Path | None = None, *, settings: Settings | None = None) -> None:
        """Opens nothing yet.

        Args:
            path: the home's folder; CHURN_HOME, or where `churn` looks without it, unless given.
            settings: all settings of the home, in place of those that the environment gives.

        Raises:
            InputError: both are given, or a setting cannot be used.
            HomeError: no home can be at that path.
        """
        from churn_pipeline.core.errors import InputError
        from churn_pipeline.core.settings import settings_of

        if path is not None and settings is not None:
            raise InputError("a home is given by its path or by its settings, not by both")
        self.settings = settings or (settings_of() if path is None else settings_of(home=Path(path)))
        self._opened: Publication | None = None
        self._models: Models | None = None
        self._desks: dict[tuple[date, bool], Desk] = {}
        self._is_as_of = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Home({str(self.settings.home)!r})"

    def close(self) -> None:
        """Lets go of the published database. The next question opens it again."""
        if self._opened is not None:
            self._opened.close()
            self._opened = self._models = None
            self._desks.clear()

    @property
    def snapshot_dates(self) -> tuple[date, ...]:
        """The published Mondays, oldest first.

        Raises:
            RefusedError: nothing is published.
        """
        return self._publication().snapshot_dates

    def predictions(self, snapshot_date: Monday = None) -> pd.DataFrame:
        """The published rows of a Monday, every column of the table ``predictions``, ordered by customer_id.

        Whom the experiment holds out stands in it too, as in the table: a frame is for whoever analyses, and no list of whom to call.

        Raises:
            RefusedError: it is not published.
        """
        return self._frame("predictions", snapshot_date)

    def features(self, snapshot_date: Monday = None) -> pd.DataFrame:
        """What the models saw of every customer of a Monday, and what else was known: the table ``customer_weeks``, ordered by customer_id.

        Raises:
            RefusedError: it is not published, or a version published it that had no such table.
        """
        return self._frame("customer_weeks", snapshot_date)

    def customer(self, customer: str, snapshot_date: Monday = None) -> Customer360:
        """All that is known of a customer on a Monday.

        Raises:
            UnknownCustomerError: nobody is meant by that, or several are.
            ChurnedError: they were not active on the Monday.
            RefusedError: the Monday is not published.
        """
        from churn_pipeline.customers.use_cases import customer_360

        return customer_360(self._publication().at(_day(snapshot_date)), customer)

    def prediction(self, customer: str, snapshot_date: Monday = None) -> ChurnPrediction:
        """What is predicted of a customer's staying, why, and what to do. Raises as `customer`."""
        from churn_pipeline.customers.use_cases import predict_churn

        return predict_churn(self._publication().at(_day(snapshot_date)), customer)

    def expansion(self, customer: str, snapshot_date: Monday = None) -> ExpansionPrediction | None:
        """What is predicted of a customer's growth; None where no model predicts it, or on the highest plan. Raises as `customer`."""
        from churn_pipeline.customers.use_cases import predict_expansion

        return predict_expansion(self._publication().at(_day(snapshot_date)), customer)

    def risk_score(
        self,
        signals: RiskSignals,
        *,
        events_last_7d: int | None = None,
        events_prior_21d: int | None = None,
        snapshot_date: Monday = None,
    ) -> ComposedRisk:
        """The risk score of given signals, by the policy that made a Monday.

        Args:
            signals: compliance gap and vendor flags.
            events_last_7d: usage events in the 7 days before the Monday.
            events_prior_21d: those in the 21 days before these. Without the two nothing is known of usage, which then counts 0.
            snapshot_date: whose policy.

        Raises:
            InputError: a number lies outside its range, or only one of the two counts is given.
            RefusedError: the Monday is not published, or its policy was not kept.
        """
        from churn_pipeline.core.errors import InputError, RefusedError
        from churn_pipeline.customers.risk_score import RiskWeights, compose, usage_decay
        from churn_pipeline.policy import parameters

        decay = None
        if events_last_7d is not None and events_prior_21d is not None:
            decay = usage_decay(events_last_7d, events_prior_21d)
        elif events_last_7d is not None or events_prior_21d is not None:
            raise InputError("usage decay compares events_last_7d with events_prior_21d, and only one of them is given")
        publication = self._publication()
        monday = publication.at(_day(snapshot_date)).snapshot_date
        with publication.cursor() as cursor:
            policy = parameters.of_monday(cursor, "predictions", monday)
        if not policy:
            raise RefusedError(f"the policy that made {monday} was not kept, so its weights are not known")
        return compose(signals, decay, RiskWeights.of(policy))

    def model(self, target: str | None = None, snapshot_date: Monday = None) -> ScoringModel:
        """The model that made the published probabilities of a Monday, from the copy in the home.

        The ledger of promotions has its digest, so no other model passes for it. Of a row of `features` it gives the published probability;
        where that of a shorter horizon is larger, the table has the larger one.

        Args:
            target: what it predicts; what tiers and ranking go by unless given.
            snapshot_date: the Monday.

        Raises:
            InputError: there is no such target.
            RefusedError: the Monday is not published, no model of the target served it, or the copy cannot be used.
        """
        from churn_pipeline.core.errors import RefusedError
        from churn_pipeline.core.sql import quoted
        from churn_pipeline.core.targets import target_named, target_of

        declared = target_of("risk") if target is None else target_named(target)
        publication = self._publication()
        monday = publication.at(_day(snapshot_date)).snapshot_date
        column = declared.version_column
        version = None
        with publication.cursor() as cursor:
            # A Monday from before the target was declared has no such column.
            if column in (name for name, *_ in cursor.execute("describe predictions").fetchall()):
                ((version,),) = cursor.execute(
                    f"select any_value({quoted(column)}) from predictions where snapshot_date = ?", [monday]
                ).fetchall()
        if version is None:
            raise RefusedError(f"no model of {declared.name} served {monday}")
        return self._models_of(publication).of({column: version}, declared)

    def what_if(self, customer: str, changes: Mapping[str, object], snapshot_date: Monday = None) -> WhatIf:
        """What the churn models say of a customer with other values: exact, and no cause.

        Args:
            customer: who.
            changes: by feature its value, such as ``{"events_last_30d": 40}``.
            snapshot_date: the Monday.

        Raises:
            InputError: no model looks at such a feature, or it cannot have such a value; for the rest as `customer`.
            RefusedError: what is published and the models do not go together any more; for the rest as `customer`.
        """
        publication = self._publication()
        monday = publication.at(_day(snapshot_date))
        return self._models_of(publication).what_if(monday, monday.customer_id(customer), changes)

    def brief(
        self,
        customer: str,
        audience: str = "ae",
        *,
        email: bool = False,
        template: bool = False,
        snapshot_date: Monday = None,
    ) -> Brief:
        """An expansion brief, as `churn brief` writes it: by the endpoint of the settings, or by the template. It goes into the audit.

        Args:
            customer: who may grow.
            audience: ``ae`` for the account executive, ``csm`` for the success manager.
            email: whether an e-mail is to be drafted; a success manager gets none all the same.
            template: ask no endpoint, although there is one.
            snapshot_date: the Monday.

        Raises:
            InputError: there is no such audience; for the rest as `customer`.
            NotCandidateError: there is no brief to write.
            RefusedError: the Monday is not published.
        """
        from churn_pipeline.core.errors import InputError
        from churn_pipeline.customers.briefs.desk import Desk
        from churn_pipeline.customers.briefs.model import Audience

        if audience not in list(Audience):
            raise InputError(f"a brief is for {' or '.join(Audience)}, not '{audience}'")
        monday = self._publication().at(_day(snapshot_date))
        # One desk for all briefs of a Monday, because the budget of requests is that of a desk.
        key = monday.snapshot_date, template
        if key not in self._desks:
            self._desks[key] = Desk(self.settings, monday, template=template)
        profile = monday.profile(monday.customer_id(customer))
        return self._desks[key].write(profile, Audience(audience), email)

    @contextmanager
    def as_of(self, snapshot_date: date | str, waiting: Callable[[str], None] | None = None) -> Iterator[AsOf]:
        """What was known at 00:00 of any Monday up to the last landing, from the warehouse, under the home's lock.

        No run can begin until the block ends, so keep it short.

        Args:
            snapshot_date: the Monday.
            waiting: called with a sentence when the lock is not free at once.

        Raises:
            InputError: it is no Monday, or has not begun, or another `as_of` of this home is still open.
            RefusedError: nothing was landed, or not since that Monday.
            LockedError: a run held the home for longer than CHURN_LOCK_WAIT_SECONDS.
        """
        from churn_pipeline.core.calendar import latest_monday, parse_monday
        from churn_pipeline.core.errors import InputError, RefusedError
        from churn_pipeline.core.home import home_lock
        from churn_pipeline.core.warehouse import connect
        from churn_pipeline.customers.stores import warehouse

        settings = self.settings
        monday = parse_monday(str(_day(snapshot_date)))
        latest = latest_monday(settings.clock(), settings.timezone)
        if monday > latest:
            raise InputError(f"{monday} has not begun; the latest Monday is {latest}")
        if self._is_as_of:
            raise InputError("another as_of of this home is open: it holds the lock, so leave it first")
        if not settings.warehouse.is_file():
            raise RefusedError(
                f"{settings.warehouse} is not there: nothing has been landed yet; start with 'churn run'"
            )
        with home_lock(settings, f"Python, as of {monday}", waiting), connect(settings) as con:
            self._is_as_of = True
            try:
                yield warehouse.as_of(con, monday, settings.timezone)
            finally:
                self._is_as_of = False

    def _publication(self) -> Publication:
        """What is published now. One that was replaced is let go of: answers of one question come from one, those of the next from the newest."""
        from churn_pipeline.customers.stores.published import Publication

        if self._opened is not None and not self._opened.is_current():
            self.close()
        if self._opened is None:
            self._opened = Publication.open(self.settings)
        return self._opened

    def _models_of(self, publication: Publication) -> Models:
        """The models behind what is published, each loaded once."""
        from churn_pipeline.customers.stores.models import Models

        if self._models is None:
            self._models = Models(publication)
        return self._models

    def _frame(self, table: str, snapshot_date: Monday) -> pd.DataFrame:
        from churn_pipeline.core.errors import RefusedError
        from churn_pipeline.core.sql import quoted
        from churn_pipeline.core.warehouse import has_table

        publication = self._publication()
        monday = publication.at(_day(snapshot_date)).snapshot_date
        with publication.cursor() as cursor:
            if not has_table(cursor, "main", table):
                raise RefusedError(f"{self.settings.published_database} has no {table} yet; the next run publishes it")
            return cursor.execute(
                f"select * from {quoted(table)} where snapshot_date = ? order by customer_id", [monday]
            ).df()


def _day(snapshot_date: Monday) -> date | None:
    """The date that is meant; of a pandas Timestamp its day.

    Raises:
        InputError: a text is no Monday.
    """
    from churn_pipeline.core.calendar import parse_monday

    if isinstance(snapshot_date, str):
        return parse_monday(snapshot_date)
    return snapshot_date.date() if isinstance(snapshot_date, datetime) else snapshot_date
