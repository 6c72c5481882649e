"""What this process may use of the machine: processors and memory, whatever limits it, and nothing of it asked of a library.

A container sees the whole machine and is given a part of it. The part stands in the files of its control groups, of the first version or the
second, and a limit of any group above holds too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def processors(root: Path = _ROOT) -> int:
    """How many threads can run at once: the processors that this process may run on, or fewer where a quota allows no more.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for quota in _quotas(root) if quota > 0]
    # One and a half processors are one: a second thread would wait for half of its time, and the first one with it.
    return max(1, min([allowed, *(int(quota) for quota in quotas)]))


def memory_bytes(root: Path = _ROOT) -> int:
    """How much memory this process may have: the machine's, or less where a control group allows no more.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    # The first version writes "no limit" as a number, which is larger than the memory of any machine.
    return min([_physical_bytes(root), *(limit for limit in _memory_limits(root) if limit > 0)])


def _physical_bytes(root: Path) -> int:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))


def _quotas(root: Path) -> Iterator[float]:
    for folder in _groups(root, ""):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.strip().isdigit():
            yield int(quota) / int(period)
    for folder in _groups(root, "cpu"):
        quota, period = _read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit():
            yield int(quota) / int(period)


def _memory_limits(root: Path) -> Iterator[int]:
    for controller, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        for folder in _groups(root, controller):
            limit = _read(folder / name).strip()
            if limit.isdigit():
                yield int(limit)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of those above it; of a controller of the first version, or of the second without one."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller not in controllers.split(",") or (not controller and number != "0"):
            continue
        mounts = [root / "sys/fs/cgroup"] if not controller else _mounts(root, controllers, controller)
        # In a container the path is often the host's, and what is mounted is the group itself.
        parts = [part for part in path.split("/") if part and part != ".."]
        for mount in mounts:
            for depth in range(len(parts), -1, -1):
                folder = mount.joinpath(*parts[:depth])
                if folder.is_dir():
                    yield folder


def _mounts(root: Path, controllers: str, controller: str) -> list[Path]:
    folders = {root / "sys/fs/cgroup" / name for name in (controllers, controller)}
    return [folder for folder in sorted(folders) if folder.is_dir()]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
