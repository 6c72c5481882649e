"""Which Mondays there are for Dagster: from the first one that the landed data tell something of to this one.

Landing notes that Monday in ``HOME/data/first_monday.json``, because definitions may open no warehouse while they load. A home where nothing
was landed offers as many Mondays as marts keep. ``CHURN_FIRST_MONDAY`` overrules both where it is set, and the shell can ask for any
Monday from it on.
"""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

from churn_pipeline.core import calendar
from churn_pipeline.core.atomic import replace_bytes
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings

if TYPE_CHECKING:
    import duckdb

_KEY = "first_monday"


def first_offered(settings: Settings) -> date:
    """The oldest Monday that the Dagster UI offers.

    Raises:
        InputError: the note of the landed data cannot be read.
    """
    if _KEY in settings.model_fields_set:
        return settings.first_monday
    latest = calendar.latest_monday(settings.clock(), settings.timezone)
    path = settings.first_monday_note
    try:
        noted = date.fromisoformat(json.loads(path.read_text(encoding="utf-8"))[_KEY])
    except FileNotFoundError:
        noted = latest - settings.history_weeks * calendar.WEEK
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{path} cannot be read: take it away, the next landing writes it again") from None
    return min(max(noted, settings.first_monday), latest)


def note_first_monday(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Notes the oldest Monday that the landed data tell something of; the newest one where they tell of none."""
    from churn_pipeline.features.plan import read_beginning

    latest = calendar.latest_monday(settings.clock(), settings.timezone)
    first = read_beginning(con).first_told(latest) or latest
    content = json_text({_KEY: first.isoformat()}).encode()
    path = settings.first_monday_note
    if not path.is_file() or path.read_bytes() != content:
        replace_bytes(path, content)


def is_code_server() -> bool:
    """Whether Dagster loads the definitions to show and schedule them, and not for a run or in a program of ours."""
    from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType

    context = DefinitionsLoadContext.get()
    return context.load_type == DefinitionsLoadType.INITIALIZATION and context.code_location_name is not None


def of_this_load(settings: Settings) -> date:
    """The oldest Monday for definitions that Dagster loads: a run has the Mondays that it was asked for with, whatever was landed since.

    A run's process loads the definitions again. Where its partitions began later than those of the code server that was asked, the run would
    be of partitions that are not there. So the code server gives it its own.
    """
    from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType

    context = DefinitionsLoadContext.get()
    if context.load_type == DefinitionsLoadType.RECONSTRUCTION and _KEY in context.reconstruction_metadata:
        first = date.fromisoformat(context.reconstruction_metadata[_KEY])
    else:
        first = first_offered(settings)
    context.add_to_pending_reconstruction_metadata(_KEY, first.isoformat())
    return first
