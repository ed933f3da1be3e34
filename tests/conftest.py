"""What holds for all tests: which of them may run beside each other."""

from __future__ import annotations

from pathlib import Path

import pytest

#: Only one benchmark runs on a machine at a time.
_ALONE = Path(__file__).parent / "bench"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two groups, each in a process of its own in `make test`: files with slow tests, which mostly wait, and all
    others. A file's tests stay together and in order.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow") and _ALONE not in item.path.parents}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("slow" if item.path in slow else "others"))
