"""Everything that can go wrong, as problem details (RFC 9457). None quotes a row, a path of this machine or a traceback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field

from churn_pipeline.core.json_text import json_text

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """A kind of problem. Its type is a name and no address: nothing has to be fetched to know what it is.

    Attributes:
        name: the end of its type.
        status: over HTTP.
        title: the same for every problem of the kind.
        example: a detail.
    """

    name: str
    status: int
    title: str
    example: str

    @property
    def type(self) -> str:
        return f"urn:churn-pipeline:problem:{self.name}"


BAD_CURSOR = Kind(
    "bad-cursor",
    400,
    "The cursor cannot be used",
    "The cursor cannot be read: pass `next` of a page as it stands, or leave it out to begin.",
)
NO_TOKEN = Kind(
    "no-token",
    401,
    "A token is needed",
    "Send the header Authorization: Bearer TOKEN, with a token of CHURN_API_TOKENS.",
)
FOREIGN = Kind(
    "foreign",
    403,
    "Requests from another site are refused",
    "Another page may not ask here; programs send no Origin of another page.",
)
UNKNOWN_ROUTE = Kind(
    "unknown-route", 404, "There is no such route", "The routes stand in /openapi.json and, to be read, in /docs."
)
UNKNOWN_CUSTOMER = Kind(
    "unknown-customer", 404, "Nobody has this id", "No published Monday holds a customer of this id."
)
UNKNOWN_MONDAY = Kind(
    "unknown-monday",
    404,
    "This Monday is not published",
    "2026-11-03 is not published; /v1/mondays lists those that are.",
)
WRONG_METHOD = Kind("wrong-method", 405, "This can only be read", "Ask by GET or HEAD.")
NOT_ACTIVE = Kind(
    "not-active",
    409,
    "Not active on that Monday",
    "'C000123' was not active on 2026-11-02; published from 2025-11-03 to 2026-08-31",
)
OTHER_PUBLICATION = Kind(
    "other-publication",
    410,
    "The list has been replaced",
    "The cursor is of a publication that has been replaced since: begin the list again without a cursor.",
)
BAD_PARAMETERS = Kind(
    "bad-parameters", 422, "A parameter cannot be used", "limit: Input should be less than or equal to 200"
)
NOT_CANDIDATE = Kind(
    "not-candidate",
    422,
    "Not a candidate for expansion",
    "This customer is not a candidate for expansion on 2026-11-02.",
)
TOO_MANY = Kind(
    "too-many-requests", 429, "Too many requests", "600 requests a minute are used up; ask again in 1 second."
)
DEFECT = Kind("defect", 500, "An error that is not expected", "The server has noted it under this request's id.")
NOT_READY = Kind(
    "not-ready", 503, "No publication can be read", "Nothing has been published yet; the first 'churn run' does."
)

KINDS = tuple(kind for kind in list(vars().values()) if isinstance(kind, Kind))


class ParameterProblem(BaseModel):
    """A parameter that cannot be used. What was given is not repeated."""

    parameter: str = Field(description="Its name; of a path or a query.")
    detail: str = Field(description="The rule that it breaks.")


class Problem(BaseModel):
    """A problem, as RFC 9457 has them."""

    type: str = Field(description="Names the kind of problem; stays the same from version to version.")
    title: str = Field(description="The kind in words.")
    status: int = Field(description="As the answer's own status.")
    detail: str = Field(description="What happened, and what to do; for people.")
    instance: str = Field(description="The request's id, as in the header X-Request-ID and in the server's log.")
    errors: list[ParameterProblem] | None = Field(
        None, description="Which parameters cannot be used; only of bad-parameters."
    )


@dataclass
class Refused(Exception):  # noqa: N818 - an answer, not a defect
    """An answer that is a problem.

    Attributes:
        kind: of problem.
        detail: what happened, and what to do.
        headers: more of the answer.
        errors: parameters that cannot be used.
    """

    kind: Kind
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[ParameterProblem] = ()

    def body(self, request_id: str) -> bytes:
        """The problem as JSON."""
        problem = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": request_id,
        }
        if self.errors:
            problem["errors"] = [error.model_dump() for error in self.errors]
        return json_text(problem, ascii_only=False).encode("utf-8", "replace")


def in_words(errors: Sequence[ParameterProblem]) -> str:
    """Parameters that cannot be used, as a detail."""
    return " ".join(f"{error.parameter}: {error.detail.rstrip('.')}." for error in errors)


def documented(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Problems of a route for its OpenAPI document, by status."""
    described: dict[int | str, dict[str, Any]] = {}
    for kind in sorted(kinds, key=lambda kind: kind.status):
        entry = described.setdefault(
            kind.status,
            {
                "description": kind.title,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        if kind.title not in entry["description"]:
            entry["description"] += f"; or: {kind.title[0].lower()}{kind.title[1:]}"
        entry["content"][MEDIA_TYPE]["examples"][kind.name] = {
            "summary": kind.title,
            "value": {
                "type": kind.type,
                "title": kind.title,
                "status": kind.status,
                "detail": kind.example,
                "instance": "4f0c2a9e6b7d4d1f8f0f3a5b6c7d8e9f",
            },
        }
        headers = _HEADERS.get(kind.status)
        if headers:
            entry["headers"] = headers
    return described


_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "The scheme: Bearer.", "required": True, "schema": {"type": "string"}}},
    429: {
        "Retry-After": {
            "description": "Seconds until the next request may be sent.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        }
    },
    503: {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}},
}
