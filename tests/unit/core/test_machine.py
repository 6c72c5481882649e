"""What a process may use is the smallest of what the machine has and what its control groups allow, of either version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from churn_pipeline.core import machine

GIB = 1 << 30


def root(folder: Path, **files: str) -> Path:
    """A file system with these files; an underscore pair stands for a slash."""
    for name, text in {"proc__meminfo": "MemTotal:       16777216 kB\n", **files}.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def test_without_limits_it_is_the_machine(tmp_path: Path) -> None:
    assert machine.processors(root(tmp_path)) == 8
    assert machine.memory_bytes(tmp_path) == 16 * GIB


def test_a_quota_of_the_second_version_counts_and_one_of_a_group_above_it_too(tmp_path: Path) -> None:
    root(tmp_path, proc__self__cgroup="0::/pod/job\n")
    job, pod = tmp_path / "sys/fs/cgroup/pod/job", tmp_path / "sys/fs/cgroup/pod"
    job.mkdir(parents=True)
    (job / "cpu.max").write_text("max 100000\n")
    (job / "memory.max").write_text(f"{4 * GIB}\n")
    assert (machine.processors(tmp_path), machine.memory_bytes(tmp_path)) == (8, 4 * GIB)
    (pod / "cpu.max").write_text("350000 100000\n")
    (pod / "memory.max").write_text(f"{2 * GIB}\n")
    assert (machine.processors(tmp_path), machine.memory_bytes(tmp_path)) == (3, 2 * GIB)


def test_in_a_container_the_group_is_the_root_of_what_is_mounted(tmp_path: Path) -> None:
    mounted = tmp_path / "sys/fs/cgroup"
    root(tmp_path, proc__self__cgroup="0::/../../host/only\n")
    mounted.mkdir(parents=True)
    (mounted / "cpu.max").write_text("50000 100000\n")
    (mounted / "memory.max").write_text(f"{GIB}\n")
    assert (machine.processors(tmp_path), machine.memory_bytes(tmp_path)) == (1, GIB)


def test_limits_of_the_first_version_count_and_its_way_to_write_none_is_none(tmp_path: Path) -> None:
    root(
        tmp_path,
        proc__self__cgroup="4:cpu,cpuacct:/docker/a\n3:memory:/docker/a\n",
    )
    cpu, memory = tmp_path / "sys/fs/cgroup/cpu,cpuacct/docker/a", tmp_path / "sys/fs/cgroup/memory/docker/a"
    for folder in (cpu, memory):
        folder.mkdir(parents=True)
    (cpu / "cpu.cfs_quota_us").write_text("-1\n")
    (cpu / "cpu.cfs_period_us").write_text("100000\n")
    (memory / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert (machine.processors(tmp_path), machine.memory_bytes(tmp_path)) == (8, 16 * GIB)
    (cpu / "cpu.cfs_quota_us").write_text("200000\n")
    (memory / "memory.limit_in_bytes").write_text(f"{3 * GIB}\n")
    assert (machine.processors(tmp_path), machine.memory_bytes(tmp_path)) == (2, 3 * GIB)
