"""The OpenAPI document, and the page of the API that is made of it: plain HTML, without a script, that loads nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from markupsafe import Markup, escape

from churn_pipeline.api.problems import KINDS, Problem
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.templating import templates

OPENAPI, DOCS = "/openapi.json", "/docs"
PATHS = (OPENAPI, DOCS)
_TEMPLATES = Path(__file__).with_name("templates")
_REFERENCES = "#/components/schemas/{model}"
_TAGS = [
    {"name": "One customer", "description": "What is known and predicted of one customer."},
    {"name": "Lists", "description": "Who there is, and what is published."},
    {"name": "Service", "description": "For whoever runs the server."},
]
# What every route under /v1 may answer stands once on the page.
_COMMON = ("401", "403", "429", "500", "503")
_ABOUT = """\
What the pipeline knows about a customer, as it was published. Read only.

Every answer is read from one publication. A request that begins after a new one was published is answered from the new one. Numbers are
those of the table `predictions`, to the bit. Errors are problem details (RFC 9457); every answer has an `X-Request-ID`, and one that was sent
along is kept."""


def document(app: FastAPI, *, needs_token: bool) -> dict[str, Any]:
    """The OpenAPI document of the routes.

    Args:
        app: with its routes.
        needs_token: whether this server asks for a token.
    """
    made = get_openapi(
        title=app.title,
        version=version("churn-pipeline"),
        summary="Customers, what is predicted of them, and what to do.",
        description=_ABOUT,
        routes=app.routes,
        tags=_TAGS,
    )
    schemas = made["components"]["schemas"]
    problem = Problem.model_json_schema(ref_template=_REFERENCES)
    schemas.update(problem.pop("$defs"), Problem=problem)
    # What FastAPI describes of its own errors, which none of ours looks like.
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    made["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A token of CHURN_API_TOKENS."}
    }
    for path, operations in made["paths"].items():
        for operation in operations.values():
            if needs_token and (path.startswith("/v1/") or path == "/metrics"):
                operation["security"] = [{"token": []}]
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _not_null(parameter["schema"])
    return made


def add_to(app: FastAPI, made: Mapping[str, Any]) -> None:
    """Adds the document and its page to the routes."""
    content = json_text(made, ascii_only=False).encode()
    page, policy = _page(made)
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}

    @app.get(OPENAPI, include_in_schema=False)
    async def openapi() -> Response:
        return Response(content, media_type="application/json")

    @app.get(DOCS, include_in_schema=False)
    async def docs() -> Response:
        return Response(page, media_type="text/html", headers=headers)


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter may be left out; in an address there is no null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    others = {name: value for name, value in schema.items() if name != "anyOf"}
    return others | choices[0] if len(choices) == 1 else schema


def _page(made: Mapping[str, Any]) -> tuple[bytes, str]:
    """The page, and the policy that lets a browser apply its style and nothing else."""
    environment = templates(_TEMPLATES)
    environment.filters["in_html"] = _in_html
    style = environment.get_template("api.css.j2").render()
    page = environment.get_template("api.html.j2").render(
        document=made,
        style=style,
        groups=[(tag, _operations(made, tag["name"])) for tag in made["tags"]],
        kinds=KINDS,
        common=_COMMON,
        curl=_curl,
        model_of=_model_of,
        type_of=_type_of,
        pretty=lambda value: json_text(value, indent=2, ascii_only=False),
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode(), policy


def _operations(made: Mapping[str, Any], tag: str) -> list[dict[str, Any]]:
    return [
        {"path": path, "method": method.upper(), "anchor": operation["operationId"], **operation}
        for path, operations in made["paths"].items()
        for method, operation in operations.items()
        if tag in operation["tags"]
    ]


def _in_html(text: str) -> Markup:
    """Words between backticks as code; everything else as it stands."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _model_of(response: Mapping[str, Any]) -> str:
    """Name of the model that an answer has; nothing of a problem and of plain text."""
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _type_of(schema: Mapping[str, Any]) -> str:
    """The type of a field in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type_of(choice) for choice in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_type_of(schema['items'])}"
    if schema.get("type") == "object":
        return "by name"
    return str(schema.get("format", schema.get("type", "")))


def _curl(operation: Mapping[str, Any]) -> str:
    """How to ask."""
    path, asked = operation["path"], []
    for parameter in operation.get("parameters", ()):
        example = next(iter(parameter["schema"].get("examples") or [None]))
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(example))
        elif parameter["name"] == "limit" and example is not None:
            asked.append(f"{parameter['name']}={example}")
    address = f"http://127.0.0.1:8787{path}" + (f"?{'&'.join(asked)}" if asked else "")
    token = ' -H "Authorization: Bearer $TOKEN"' if "security" in operation else ""
    return f"curl -s{token} '{address}'"
