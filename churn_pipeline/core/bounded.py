"""A bound on the time that something may take which can be asked for no bound of its own, such as a request over a network."""

from __future__ import annotations

import threading
from collections.abc import Callable


def within[T](seconds: float, call: Callable[[], T]) -> T:
    """Calls, and gives up after so many seconds.

    Socket timeouts start anew with every byte and do not cover name resolution; only a thread that nobody waits for bounds
    the whole. It is a daemon, so it does not keep the process from ending either.

    Raises:
        TimeoutError: it took longer; what it did is unknown.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="bounded", daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise TimeoutError(f"nothing came back within {seconds:.0f} s")
    return results[0]
