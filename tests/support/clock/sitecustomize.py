"""Moves the clock by which Dagster's daemon decides what is due, in every process started with this folder on PYTHONPATH.

Only the wall clock that Dagster itself reads: locks, timeouts and gRPC deadlines go by the machine's. A library that fakes the clock of a
whole process (libfaketime) makes time.sleep or waiting for a lock fail with this Python, whichever of its switches are set.
"""

import os
import time
from datetime import UTC, datetime, timedelta

OFFSET = "TEST_DAGSTER_CLOCK_OFFSET"

if _seconds := os.environ.get(OFFSET):
    import dagster._time as _clock

    _offset = float(_seconds)
    _clock._mockable_get_current_datetime = lambda: datetime.now(UTC) + timedelta(seconds=_offset)
    _clock._mockable_get_current_timestamp = lambda: time.time() + _offset
