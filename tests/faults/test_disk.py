"""The disk is full while publishing."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from churn_pipeline.core.settings import Settings
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.faults.conftest import leftovers
from tests.support.homes import query
from tests.support.processes import BIN, churn, in_namespace

NEWEST_WORD = "select snapshot_date, status from ledger.runs order by recorded_at desc limit 1"


def test_a_disk_that_is_full_while_publishing_leaves_the_old_copy_whole_and_the_next_run_mends_it(
    tiny_copy: Settings, same_as_undisturbed: Callable[[Settings], None]
) -> None:
    published = tiny_copy.published
    # A file system of its own, with room for what is there and hardly more; its content is brought back out as it was left.
    completed = in_namespace(
        f"""
        cp -a {published} {tiny_copy.home}/before && size=$(du -sk {published} | cut -f1)
        mount -t tmpfs -o size=$((size + 200))k tmpfs {published} || exit 77
        cp -a {tiny_copy.home}/before/. {published}/
        {BIN}/churn run --week {TINY_MONDAY} >/dev/null; echo "exit $?"
        rm -rf {tiny_copy.home}/after && cp -a {published} {tiny_copy.home}/after
        """,
        tiny_copy,
    )
    assert "exit 1" in completed.stdout, completed.stderr
    assert "No space left on device" in completed.stderr
    assert "Traceback" not in completed.stderr
    after = tiny_copy.home / "after"
    assert query(after / "churn.duckdb", "from predictions order by all") == query(
        tiny_copy.home / "before" / "churn.duckdb", "from predictions order by all"
    )
    kept = after / "predictions" / f"{TINY_BEFORE}.parquet"
    assert kept.read_bytes() == (published / kept.relative_to(after)).read_bytes()

    # The small file system is gone with its namespace: the next run finds what it held, and now has room.
    shutil.rmtree(published)
    after.rename(published)
    # A publication that fails makes room for the ledger; what monitoring half wrote waits for the next run.
    leftover_names = [path.name for path in leftovers(tiny_copy.home)]
    assert leftover_names
    assert not [name for name in leftover_names if "churn.duckdb" in name or "predictions" in name]
    assert query(tiny_copy.warehouse, NEWEST_WORD) == [(TINY_MONDAY, "failed")]
    completed = churn(tiny_copy, "run", "--week", str(TINY_MONDAY))
    assert completed.returncode == 0, completed.stderr
    same_as_undisturbed(tiny_copy)
    assert list(leftovers(tiny_copy.home)) == []
