"""The routes: what is asked for, and which answer of the customers' room it is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, BeforeValidator

from churn_pipeline.api import examples, metrics, problems, schemas
from churn_pipeline.api.cursors import LONGEST, Cursor, CursorError, digest_of
from churn_pipeline.api.problems import ParameterProblem, Refused
from churn_pipeline.api.publications import NotReadyError, Publications
from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.customers.briefs.model import Audience
from churn_pipeline.customers.briefs.service import write_brief
from churn_pipeline.customers.errors import ChurnedError, NotCandidateError, UnknownCustomerError
from churn_pipeline.customers.lists import Filters
from churn_pipeline.customers.stores.briefs import is_approachable, policy_of
from churn_pipeline.customers.stores.mondays import facts_of
from churn_pipeline.customers.stores.published import Publication, PublishedMonday

PAGE, LARGEST_PAGE = 50, 200
_LONGEST_ID = 1_000
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# Stands for a slash within an id: the path is split at slashes after it was decoded. No text holds it, as Unicode gives it to nobody.
SLASH = "\uffff"
_EVERYWHERE = (
    problems.NO_TOKEN,
    problems.FOREIGN,
    problems.BAD_PARAMETERS,
    problems.TOO_MANY,
    problems.DEFECT,
    problems.NOT_READY,
)
_OF_A_CUSTOMER = (problems.UNKNOWN_CUSTOMER, problems.UNKNOWN_MONDAY, problems.NOT_ACTIVE)

CustomerId = Annotated[
    str,
    AfterValidator(lambda text: text.replace(SLASH, "/")),
    Path(
        min_length=1,
        max_length=_LONGEST_ID,
        description="As in the raw data; percent-encoded, a slash in it as %2F.",
        examples=["C000123"],
    ),
]


def _written_as_a_day(given: object) -> object:
    # A number would be taken for seconds since 1970.
    if isinstance(given, str) and not _DAY.fullmatch(given):
        raise ValueError("write a day, YYYY-MM-DD")
    return given


SnapshotDate = Annotated[
    date | None,
    BeforeValidator(_written_as_a_day),
    Query(description="A published Monday; the newest unless given.", examples=["2026-11-02"]),
]


async def _known_parameters_only(request: Request) -> None:
    """A filter that is misspelled would otherwise give a list that was not asked for."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    given = [name for name, _ in request.query_params.multi_items()]
    errors = [
        ParameterProblem(
            parameter=name, detail="It may be given once." if name in known else "There is no such parameter."
        )
        for name in dict.fromkeys(given)
        if name not in known or given.count(name) > 1
    ]
    if errors:
        raise Refused(problems.BAD_PARAMETERS, problems.in_words(errors), errors=errors)


async def _reading(request: Request) -> AsyncIterator[Publication]:
    async with publications_of(request).reading() as publication:
        yield publication


def publications_of(request: Request) -> Publications:
    """Those of the application that was asked."""
    return request.app.state.publications


# It ends with the function, which has built its answer by then: a client that reads slowly keeps no replaced file open.
Reading = Annotated[Publication, Depends(_reading, scope="function")]
v1 = APIRouter(prefix="/v1", dependencies=[Depends(_known_parameters_only)])
service = APIRouter(tags=["Service"])


def _answers(example: BaseModel, *kinds: problems.Kind) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"content": {"application/json": {"example": example.model_dump(mode="json")}}},
        **problems.documented(*kinds),
    }


def _reads(example: BaseModel, *kinds: problems.Kind) -> dict[int | str, dict[str, Any]]:
    return _answers(example, *_EVERYWHERE, *kinds)


@v1.get(
    "/customers",
    summary="List customers",
    tags=["Lists"],
    responses=_reads(examples.PAGE, problems.BAD_CURSOR, problems.OTHER_PUBLICATION),
)
def list_customers(
    publication: Reading,
    owner: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=200,
            description="Only this customer success manager's: the name, or how it begins, without regard to accents and case.",
            examples=["Elena García"],
        ),
    ] = None,
    tier: Annotated[
        str | None,
        Query(min_length=1, max_length=200, description="Only this risk tier, without regard to case."),
    ] = None,
    on_list: Annotated[
        bool | None, Query(description="Only those who are on the call list, or with false only those who are not.")
    ] = None,
    candidates: Annotated[
        bool | None, Query(description="Only candidates for expansion, or with false only all others.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many on a page.", examples=[20])] = PAGE,
    cursor: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=LONGEST,
            description="`next` of the page before, with the same filters.",
        ),
    ] = None,
) -> schemas.CustomerPage:
    """Customers of the newest published Monday, those with most revenue at risk first.

    Every page of a list comes from the publication that its cursor names. When another one has taken its place, the answer is 410, and
    the list is begun again.
    """
    monday = publication.at()
    asked_for = digest_of(owner=owner, tier=tier, on_list=on_list, candidates=candidates)
    rank = _rank(publication, cursor, asked_for) if cursor is not None else 0
    try:
        # One more than fits tells whether there is another page.
        rows = monday.rows(Filters(owner, tier, on_list, candidates), after=rank, size=limit + 1)
    except InputError as error:
        raise Refused(problems.BAD_PARAMETERS, _sentence(error)) from None
    more = len(rows) > limit
    page = rows[:limit]
    return schemas.CustomerPage(
        publication=publication.identity,
        snapshot_date=monday.snapshot_date,
        customers=[schemas.ListedCustomer.model_validate(row) for row in page],
        next=Cursor(publication.identity, asked_for, page[-1].priority_rank).text() if more else None,
    )


def _rank(publication: Publication, text: str, asked_for: str) -> int:
    try:
        cursor = Cursor.parse(text)
    except CursorError as error:
        raise Refused(problems.BAD_CURSOR, str(error)) from None
    if cursor.publication != publication.identity:
        raise Refused(problems.OTHER_PUBLICATION, problems.OTHER_PUBLICATION.example)
    if cursor.asked_for != asked_for:
        raise Refused(
            problems.BAD_CURSOR, "The cursor is of a list with other filters: pass the same ones, or begin again."
        )
    return cursor.rank


@v1.get(
    "/customers/{customer_id}",
    summary="Customer 360",
    tags=["One customer"],
    responses=_reads(examples.PROFILE, *_OF_A_CUSTOMER),
)
async def customer_360(
    publication: Reading, customer_id: CustomerId, snapshot_date: SnapshotDate = None
) -> schemas.Customer360:
    """Customer 360: all that is known of a customer on a Monday."""
    return schemas.Customer360.model_validate(
        await _of(publication, snapshot_date, customer_id, PublishedMonday.profile)
    )


@v1.get(
    "/customers/{customer_id}/prediction",
    summary="Churn prediction",
    tags=["One customer"],
    responses=_reads(examples.PREDICTION, *_OF_A_CUSTOMER),
)
async def churn_prediction(
    publication: Reading, customer_id: CustomerId, snapshot_date: SnapshotDate = None
) -> schemas.ChurnPrediction:
    """What is predicted of a customer's staying, why, and what to do."""
    return schemas.ChurnPrediction.model_validate(
        await _of(publication, snapshot_date, customer_id, PublishedMonday.churn)
    )


@v1.get(
    "/customers/{customer_id}/expansion",
    summary="Expansion prediction",
    tags=["One customer"],
    responses=_reads(examples.EXPANSION, *_OF_A_CUSTOMER, problems.NOT_CANDIDATE),
)
async def expansion_prediction(
    publication: Reading, customer_id: CustomerId, snapshot_date: SnapshotDate = None
) -> schemas.ExpansionPrediction:
    """What is predicted of a candidate's growth. Whoever is no candidate is answered 422; what is predicted of them stands in the 360."""
    prediction = await _of(publication, snapshot_date, customer_id, PublishedMonday.expansion)
    day = publication.at(snapshot_date).snapshot_date
    if prediction is None:
        raise Refused(
            problems.NOT_CANDIDATE,
            f"Nothing is predicted of this customer's expansion on {day}: they are on the highest plan, or no model serves.",
        )
    if not prediction.is_expansion_candidate:
        raise Refused(problems.NOT_CANDIDATE, f"This customer is not a candidate for expansion on {day}.")
    return schemas.ExpansionPrediction.model_validate(prediction)


@v1.get(
    "/customers/{customer_id}/brief",
    summary="Expansion brief",
    tags=["One customer"],
    responses=_reads(examples.BRIEF, *_OF_A_CUSTOMER, problems.NOT_CANDIDATE),
)
def expansion_brief(
    request: Request,
    publication: Reading,
    customer_id: CustomerId,
    audience: Annotated[
        Literal["ae", "csm"], Query(description="ae: the account executive; csm: the customer success manager.")
    ] = "ae",
    email: Annotated[
        bool,
        Query(description="Whether an e-mail is drafted; only for the account executive of somebody who is ready."),
    ] = False,
    snapshot_date: SnapshotDate = None,
) -> schemas.Brief:
    """The brief of a candidate, as the template writes it: no language model is ever asked by a request.

    Briefs that one has written are made by `churn brief` and by the Monday run. Whoever is no candidate is answered 422.
    """
    profile = _asked(_monday(publication, snapshot_date), customer_id, PublishedMonday.profile)
    try:
        with publication.cursor() as cursor:
            policy = policy_of(cursor, profile.snapshot_date)
            approachable = is_approachable(cursor, profile.snapshot_date, profile.customer.customer_id)
        brief = write_brief(
            profile,
            Audience(audience),
            email=email,
            policy=policy,
            may_be_approached=approachable,
            clock=lambda: datetime.now(UTC).replace(tzinfo=None),
            new_id=lambda: str(request.scope["request_id"]),
        )
    except NotCandidateError as error:
        raise Refused(problems.NOT_CANDIDATE, _sentence(error)) from None
    except RefusedError as error:
        raise Refused(problems.UNKNOWN_MONDAY, _sentence(error)) from None
    return schemas.Brief.model_validate(brief)


@v1.get("/mondays", summary="Published Mondays", tags=["Lists"], responses=_reads(examples.MONDAYS))
def mondays(publication: Reading) -> schemas.Mondays:
    """Which Mondays are published, and which models and which policy made the newest."""
    monday = publication.at()
    facts = facts_of(publication, monday.snapshot_date)
    return schemas.Mondays(
        publication=publication.identity,
        snapshot_dates=list(publication.snapshot_dates),
        newest=monday.snapshot_date,
        customers=facts.customers,
        models=[schemas.Model.model_validate(model, from_attributes=True) for model in facts.models],
        policy_version=facts.policy_version,
        scored_at=facts.scored_at,
    )


async def _of[T](
    publication: Publication,
    snapshot_date: date | None,
    customer_id: str,
    ask: Callable[[PublishedMonday, str], T],
) -> T:
    """What a Monday says of a customer; what it refuses as the problem that it is.

    From memory it takes less time than handing the question to a thread. What reads the file keeps no other request waiting.
    """
    monday = _monday(publication, snapshot_date)
    if monday.has_at_hand(customer_id):
        return _asked(monday, customer_id, ask)
    return await run_in_threadpool(_asked, monday, customer_id, ask)


def _monday(publication: Publication, snapshot_date: date | None) -> PublishedMonday:
    try:
        return publication.at(snapshot_date)
    except RefusedError:
        raise Refused(
            problems.UNKNOWN_MONDAY, f"{snapshot_date} is not published; /v1/mondays lists those that are."
        ) from None


def _asked[T](monday: PublishedMonday, customer_id: str, ask: Callable[[PublishedMonday, str], T]) -> T:
    try:
        return ask(monday, customer_id)
    except UnknownCustomerError:
        raise Refused(problems.UNKNOWN_CUSTOMER, problems.UNKNOWN_CUSTOMER.example) from None
    except ChurnedError as error:
        raise Refused(problems.NOT_ACTIVE, _sentence(error)) from None


def _sentence(error: Exception) -> str:
    """What an error says, as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


@service.get("/health", summary="Health", responses=_answers(examples.HEALTH, problems.FOREIGN, problems.DEFECT))
async def health() -> schemas.Health:
    """Whether the process answers. Needs no token."""
    return schemas.Health(status="well")


@service.get(
    "/ready",
    summary="Readiness",
    responses=_answers(examples.READY, problems.FOREIGN, problems.DEFECT, problems.NOT_READY),
)
async def ready(publication: Reading) -> schemas.Ready:
    """Whether a publication can be read. Needs no token."""
    return schemas.Ready(status="ready", publication=publication.identity, snapshot_date=publication.snapshot_dates[-1])


@service.get(
    "/metrics",
    summary="Metrics",
    response_class=Response,
    responses={
        200: {
            "description": "As Prometheus reads it.",
            "content": {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": 'churn_api_requests_total{route="/v1/customers",status="200"} 17.0\n',
                }
            },
        },
        **problems.documented(problems.NO_TOKEN, problems.FOREIGN, problems.TOO_MANY, problems.DEFECT),
    },
)
async def prometheus(request: Request) -> Response:
    """Requests by route and status, how long they took, and how old the publication is."""
    try:
        lease = await publications_of(request).current()
    except NotReadyError:
        lease = None
    return Response(request.app.state.metrics.text(lease), media_type=metrics.MEDIA_TYPE)
