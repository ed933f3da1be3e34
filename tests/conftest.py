"""Rules for all tests: which of them may run at the same time, what each needs, and how properties
are searched.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.marking import INCIDENTAL, excludes, folder_markers, guard, mark

# Every run has the same examples, at any speed; `--hypothesis-profile explore` searches for new ones.
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

# A shell starts background work with SIGINT ignored, and programs that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_ROOT = Path(__file__).parent
#: Only one benchmark runs on a machine at a time.
_ALONE = _ROOT / "bench"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skips the import of folders in which `-m` selects nothing."""
    expression = config.option.markexpr
    if not expression or not collection_path.is_dir() or _ROOT not in collection_path.parents:
        return None
    markers = folder_markers(collection_path.relative_to(_ROOT))
    return True if markers and excludes(expression, markers) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps a file's tests together and in order, in one process of `make test`; processes take the next file when
    they become free. All benchmarks stay together.
    """
    for item in items:
        place = _ALONE if _ALONE in item.path.parents else item.path
        item.add_marker(pytest.mark.xdist_group(str(place.relative_to(_ROOT))))
        mark(item, _ROOT)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    guard.watch(item)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    result = yield
    # Without `-m`, nothing depends on the markers of small programs.
    unmarked = sorted(guard.unmarked if item.config.option.markexpr else guard.unmarked - INCIDENTAL)
    guard.watch(None)
    if unmarked:
        pytest.fail(f"the test starts programs that it is not marked for: add pytest.mark.{', '.join(unmarked)}")
    return result
