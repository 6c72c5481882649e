"""What a request's own words are taken for. Over loopback: tests/integration/test_api.py."""

from __future__ import annotations

import pytest

from churn_pipeline.api.gate import _host, _path
from churn_pipeline.api.routes import SLASH
from churn_pipeline.core.serving import is_loopback


@pytest.mark.parametrize(
    ("header", "own"),
    [
        ("127.0.0.1:8787", True),
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("[::1]:8787", True),
        # Of a tunnel: the port is another.
        ("localhost:9999", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("evil.example@localhost", False),
        ("localhost/evil", False),
        ("localhost:x", True),
        ("[::1", False),
        ("", False),
        ("0.0.0.0", False),
    ],
)
def test_a_name_is_of_this_machine_only_where_nobody_else_can_have_it(header: str, own: bool) -> None:
    assert is_loopback(_host(header)) == own


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/v1/customers/C1", "/v1/customers/C1"),
        (b"/v1/customers/a%2Fb/prediction", f"/v1/customers/a{SLASH}b/prediction"),
        (b"/v1/customers/a%2fb", f"/v1/customers/a{SLASH}b"),
        # Encoded twice, it is an id with a percent sign.
        (b"/v1/customers/a%252Fb", "/v1/customers/a%2Fb"),
        (b"/v1/customers/%C3%A9%2F", f"/v1/customers/é{SLASH}"),
    ],
)
def test_a_slash_within_an_id_divides_no_path(raw: bytes, path: str) -> None:
    from urllib.parse import unquote

    assert _path({"raw_path": raw, "path": unquote(raw.decode())}) == path
