"""The machine's own Chromium, driven without a screen and without a network."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from churn_pipeline.core.settings import REPOSITORY


def chromium() -> str:
    """Where Chromium is; `scripts/chromium.sh` knows, and installs it where it may."""
    completed = subprocess.run([REPOSITORY / "scripts" / "chromium.sh"], check=True, stdout=subprocess.PIPE, text=True)
    return completed.stdout.split()[0]


@contextmanager
def headless() -> Iterator[Browser]:
    """A running Chromium; each page is opened in a context of its own."""
    # Root has no sandbox, and a container has a small /dev/shm.
    flags = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page and what it did: requests beside its own file, errors, console messages, dialogs of scripts."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@contextmanager
def opened(browser: Browser, path: Path, fragment: str = "", **context: object) -> Iterator[Watched]:
    """Opens a file in a context of its own and watches it.

    Args:
        browser: from `headless`.
        path: of the file.
        fragment: behind the ``#``.
        **context: of the context, such as viewport and color_scheme.
    """
    with browser.new_context(**context) as own:  # type: ignore[arg-type]
        page = own.new_page()
        watched = Watched(page)
        address = path.as_uri()
        page.on("request", lambda request: _note(watched.requests, request.url, address))
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        page.on(
            "console",
            lambda message: watched.errors.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("dialog", lambda dialog: (watched.dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(address + (f"#{fragment}" if fragment else ""))
        yield watched


def _note(requests: list[str], url: str, address: str) -> None:
    if url.split("#")[0] != address:
        requests.append(url)
