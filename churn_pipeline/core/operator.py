"""Who is at the keyboard, for ledgers and audits."""

from __future__ import annotations

import getpass
import os


def user() -> str:
    """The user of the operating system; by number where it has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
