"""The application: routes, what their errors are over HTTP, and the gate before them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from churn_pipeline.api import pages, problems, routes
from churn_pipeline.api.gate import Gate
from churn_pipeline.api.limits import Buckets
from churn_pipeline.api.metrics import Metrics
from churn_pipeline.api.problems import ParameterProblem, Refused
from churn_pipeline.api.publications import LOOK_SECONDS, NotReadyError, Publications
from churn_pipeline.api.tokens import Tokens
from churn_pipeline.core import faults
from churn_pipeline.core.settings import Settings

_DOING = "churn serve"


def build_app(settings: Settings, publications: Publications | None = None) -> Gate:
    """The application of a home.

    Args:
        settings: the home, the tokens and the limit.
        publications: what is answered from; those of the home unless given.
    """
    publications = publications or Publications(settings)
    tokens = Tokens(settings.tokens_of_api)
    app = FastAPI(
        title="Churn pipeline",
        lifespan=_keeping_current,
        # Ours are plain pages; FastAPI's load scripts from elsewhere.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            Refused: _refused,
            NotReadyError: _not_ready,
            RequestValidationError: _bad_parameters,
            HTTPException: _of_the_router,
            Exception: _defect,
        },
    )
    app.state.publications = publications
    app.state.metrics = Metrics()
    app.include_router(routes.v1)
    app.include_router(routes.service)
    document = pages.document(app, needs_token=bool(tokens))
    pages.add_to(app, document)
    return Gate(
        app,
        [*document["paths"], *pages.PATHS],
        tokens=tokens,
        buckets=Buckets(settings.api_rate) if settings.api_rate else None,
        metrics=app.state.metrics,
        defect=_noting(settings),
    )


@contextlib.asynccontextmanager
async def _keeping_current(app: FastAPI) -> AsyncIterator[None]:
    publications: Publications = app.state.publications
    looking = asyncio.create_task(publications.keep_current())
    try:
        yield
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        publications.close()


def _noting(settings: Settings) -> Callable[[Exception, str], None]:
    def note(error: Exception, request_id: str) -> None:
        faults.keep(error, f"{_DOING}, request {request_id}", settings.home)

    return note


def _answer(request: Request, refused: Refused) -> Response:
    body = refused.body(request.scope["request_id"])
    return Response(body, refused.kind.status, dict(refused.headers), problems.MEDIA_TYPE)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _answer(request, error)


async def _not_ready(request: Request, error: Exception) -> Response:
    headers = {"Retry-After": str(max(round(LOOK_SECONDS), 1))}
    return _answer(request, Refused(problems.NOT_READY, str(error), headers))


async def _defect(request: Request, error: Exception) -> Response:
    # The gate notes it.
    return _answer(request, Refused(problems.DEFECT, problems.DEFECT.example))


async def _bad_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [_parameter(problem) for problem in error.errors()]
    return _answer(request, Refused(problems.BAD_PARAMETERS, problems.in_words(errors), errors=errors))


def _parameter(problem: dict[str, Any]) -> ParameterProblem:
    # Its input and its context may repeat what was given.
    return ParameterProblem(parameter=str(problem["loc"][-1]), detail=str(problem["msg"]).removeprefix("Value error, "))


async def _of_the_router(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = problems.WRONG_METHOD if error.status_code == 405 else problems.UNKNOWN_ROUTE
    return _answer(request, Refused(kind, kind.example, error.headers or {}))
