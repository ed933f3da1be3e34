"""The memory that Envoy may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunkline import memory
from trunkline.errors import UsageError
from trunkline.memory import EnvoyMemory

MIB, GIB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("heap", "total", "key", "unchecked"),
    [
        (16 * GIB, 1 * GIB, 256 * MIB, 32 * MIB),
        (2 * GIB, 512 * MIB, 128 * MIB, 32 * MIB),
        (256 * MIB, 64 * MIB, 32 * MIB, 16 * MIB),
    ],
)
def test_the_bounds_follow_the_heap(heap: int, total: int, key: int, unchecked: int) -> None:
    envoy = EnvoyMemory(heap)
    assert (envoy.all_bodies, envoy.bodies_of_a_key, envoy.unchecked_bodies) == (total, key, unchecked)


def test_connections_are_bounded_by_files_and_by_memory() -> None:
    assert EnvoyMemory(GIB).connections(1_000) == 500
    assert EnvoyMemory(GIB).connections(1_000_000) == 16_384
    assert EnvoyMemory(GIB).connections(1) == 1


@pytest.mark.parametrize(("text", "heap"), [("256MiB", 256 * MIB), ("3GiB", 3 * GIB)])
def test_a_size_that_is_given_is_taken(text: str, heap: int) -> None:
    assert memory.parse(text).heap == heap


@pytest.mark.parametrize("text", ["", "1", "1GB", "255MiB", "0GiB", "-1GiB", "1.5GiB", "9999999GiB"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--envoy-memory"):
        memory.parse(text)


def test_without_one_it_is_half_of_the_machine() -> None:
    assert memory.parse(None).heap == max(256 * MIB, memory.available() // 2)


def available(root: Path, groups: str, files: dict[str, str]) -> int:
    """Returns the memory available to a process of these groups, with these files below /sys/fs/cgroup."""
    for name, content in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{k}": v for k, v in files.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return memory.available(root)


def test_a_control_group_and_those_above_it_limit_it(tmp_path: Path) -> None:
    files = {"a/b/memory.max": "max\n", "a/memory.max": "1048576\n"}
    assert available(tmp_path, "0::/a/b\n", files) == MIB


def test_a_container_that_sees_only_its_own_group(tmp_path: Path) -> None:
    assert available(tmp_path, "0::/docker/abc\n", {"memory.max": "2097152\n"}) == 2 * MIB


def test_a_group_of_the_old_kind(tmp_path: Path) -> None:
    files = {"memory/x/memory.limit_in_bytes": "3145728\n"}
    assert available(tmp_path, "5:cpu:/y\n4:memory:/x\n0::/\n", files) == 3 * MIB


def test_without_groups_it_is_the_machine(tmp_path: Path) -> None:
    assert memory.available(tmp_path) >= memory.available()
