"""Rules for all tests: which of them may run beside each other, and how properties are searched."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Every run has the same examples, at any speed; `--hypothesis-profile explore` searches for new ones.
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

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
