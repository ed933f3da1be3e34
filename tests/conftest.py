"""What holds for all tests: which of them may run beside each other."""

from __future__ import annotations

from pathlib import Path

import pytest

_ROOT = Path(__file__).parent
#: Only one benchmark runs on a machine at a time.
_ALONE = _ROOT / "bench"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests stay together and in order, in one process of `make test`; the files are shared out as
    processes become free. Of the benchmarks all stay together.
    """
    for item in items:
        place = _ALONE if _ALONE in item.path.parents else item.path
        item.add_marker(pytest.mark.xdist_group(str(place.relative_to(_ROOT))))
