"""Where DuckDB puts what does not fit into its memory.

Beside a database DuckDB keeps a folder of the database's name and ``.tmp``. It can be told another one, but not again once it has used it,
and dbt tells it anew for every model; so the folder of that name is a link where CHURN_SPILL_DIR is set, and every connection to the warehouse
goes the same way without being told. What a killed process has left there are rows of customers, and nobody comes back for them.
"""

from __future__ import annotations

import shutil

from churn_pipeline.core.atomic import PRIVATE_FOLDER
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import Settings

# What DuckDB calls its files.
_SPILLED = "duckdb_temp_*"


def prepare_spill(settings: Settings) -> None:
    """Removes what killed processes have spilled, and leads DuckDB to the folder of the settings. Only for whoever holds the home's lock.

    Raises:
        InputError: CHURN_SPILL_DIR cannot be used.
    """
    link, folder = settings.spill_link, settings.spill
    # The link of a copied home leads to the folder of the home that it was copied from, which may be running.
    is_own = not link.is_symlink() or link.readlink().name == settings.spill_name
    for place in {folder, link} if is_own else {folder} - {link}:
        if place.is_dir():
            for file in place.glob(_SPILLED):
                file.unlink(missing_ok=True)
    leads_elsewhere = link.is_symlink() and (settings.spill_dir is None or link.readlink() != folder)
    if leads_elsewhere:
        link.unlink()
    if settings.spill_dir is None:
        return
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"CHURN_SPILL_DIR: {settings.spill_dir} cannot be used: {error.strerror}") from None
    if not link.is_symlink():
        if link.is_dir():
            # Of DuckDB's own making, and empty by now.
            shutil.rmtree(link)
        link.symlink_to(folder, target_is_directory=True)
