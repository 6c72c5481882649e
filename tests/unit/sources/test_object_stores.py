"""By what it is told that an object changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from churn_pipeline.sources.object_stores import _stamp

NOW, LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        # Of S3: written again with the same content, and another content of the same length within the second.
        ({"size": 4, "ETag": '"a"', "LastModified": NOW}, {"size": 4, "ETag": '"a"', "LastModified": LATER}, False),
        ({"size": 4, "ETag": '"a"', "LastModified": NOW}, {"size": 4, "ETag": '"b"', "LastModified": NOW}, True),
        # A store without tags.
        ({"size": 4, "mtime": NOW}, {"size": 4, "mtime": LATER}, True),
        ({"size": 4, "mtime": NOW}, {"size": 5, "mtime": NOW}, True),
        ({"size": 4, "mtime": NOW}, {"size": 4, "mtime": NOW}, False),
    ],
)
def test_an_object_changed_when_its_tag_did_and_without_one_when_size_or_time_did(
    before: dict[str, Any], after: dict[str, Any], changed: bool
) -> None:
    assert (_stamp(before) != _stamp(after)) is changed
