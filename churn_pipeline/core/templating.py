"""The templates of our own pages."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def templates(*folders: Path) -> Environment:
    """Templates that escape what they are given, and stop at a name they are not given.

    Args:
        *folders: where they lie; the first that has a name is asked for it.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def source_text(environment: Environment, name: str) -> Markup:
    """A file of ours as it stands: braces of scripts and styles are no template."""
    from markupsafe import Markup

    if environment.loader is None:
        raise RuntimeError("templates have no loader")
    return Markup(environment.loader.get_source(environment, name)[0].strip())


def source_hash(script: bytes) -> str:
    """How a Content-Security-Policy names a script that may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}"
