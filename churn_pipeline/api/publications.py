"""The publication that is answered from, and how one follows the other.

A request keeps the publication that it began with. A request that begins after the file was replaced is answered from the new one: whoever
was forgotten is gone at once. The former one is closed when the last request that reads it has ended, and with it the replaced file.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from churn_pipeline.core import faults
from churn_pipeline.core.errors import ChurnError, RefusedError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings
from churn_pipeline.customers.stores.published import Publication

# Nothing waits longer for a replaced file to be let go, with requests or without.
LOOK_SECONDS = 1.0
NOTHING_PUBLISHED = "Nothing has been published yet; the first 'churn run' does."
UNREADABLE = "What is published cannot be read at the moment; the server's log says why."
_log = logging.getLogger("churn.api")


class NotReadyError(ChurnError):
    """There is no publication that can be read. The message is for whoever asks over HTTP."""


@dataclass
class Lease:
    """A publication with the number of requests that read it.

    Attributes:
        published_at: when its file was written, seconds since 1970.
    """

    publication: Publication
    published_at: float
    readers: int = 0
    is_replaced: bool = False

    def close_when_unread(self) -> None:
        if self.is_replaced and self.readers == 0:
            self.publication.close()


class Publications:
    """Hands out the current publication. To be used in one event loop; opening one happens in a thread beside it.

    Args:
        settings: the home.
        open_publication: how one is opened.
    """

    def __init__(
        self, settings: Settings, open_publication: Callable[[Settings], Publication] = Publication.open
    ) -> None:
        self._settings = settings
        self._open = open_publication
        self._lease: Lease | None = None
        self._renewing = asyncio.Lock()
        self._failure: tuple[float, NotReadyError] | None = None
        self._noted: int | None = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Publication]:
        """The publication as it is now, which stays what it is until the block ends.

        Raises:
            NotReadyError: there is none that can be read.
        """
        lease = await self.current()
        lease.readers += 1
        try:
            yield lease.publication
        finally:
            lease.readers -= 1
            lease.close_when_unread()

    async def current(self) -> Lease:
        """The newest publication, opened where that has not been done.

        Raises:
            NotReadyError: there is none that can be read.
        """
        if (lease := self._still_current()) is not None:
            return lease
        async with self._renewing:
            # Whoever waited finds what the first one opened, unless it has been replaced again.
            if (lease := self._still_current()) is not None:
                return lease
            # A file that cannot be read is not read again for every request.
            if self._failure is not None and time.monotonic() < self._failure[0] + LOOK_SECONDS:
                raise self._failure[1]
            self._let_go()
            try:
                self._lease = await asyncio.to_thread(self._opened)
            except NotReadyError as failure:
                self._failure = time.monotonic(), failure
                raise
            return self._lease

    async def keep_current(self) -> None:
        """Opens what is published and lets go of what was replaced, until it is cancelled."""
        while True:
            with suppress(NotReadyError):
                await self.current()
            await asyncio.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Closes what is open."""
        self._let_go()

    def _still_current(self) -> Lease | None:
        try:
            return self._lease if self._lease is not None and self._lease.publication.is_current() else None
        except OSError:
            # Its folder cannot be looked into any more; what opening it says is told.
            return None

    def _let_go(self) -> None:
        if (former := self._lease) is not None:
            self._lease, former.is_replaced = None, True
            former.close_when_unread()

    def _opened(self) -> Lease:
        path = self._settings.published_database
        stat = None
        try:
            stat = path.stat()
            publication = self._open(self._settings)
        except (RefusedError, FileNotFoundError):
            raise NotReadyError(NOTHING_PUBLISHED) from None
        except Exception as error:
            # Whatever is wrong with the file, requests are told that it cannot be read, and the next file is tried.
            self._note(error, stat.st_mtime_ns if stat is not None else 0)
            raise NotReadyError(UNREADABLE) from error
        if not publication.snapshot_dates:
            publication.close()
            raise NotReadyError(NOTHING_PUBLISHED)
        return Lease(publication, stat.st_mtime)

    def _note(self, error: Exception, written_at: int) -> None:
        """Writes down why a file cannot be read, once for each. The text of the error may quote what is in it, so that the log has none."""
        if written_at != self._noted:
            self._noted = written_at
            details = "".join(traceback.format_exception(error))
            where = faults.write_details(details, "churn serve, opening what is published", self._settings.home)
            _log.warning(json_text({"problem": f"what is published cannot be read ({type(error).__name__}). {where}"}))
