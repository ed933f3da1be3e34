"""The lock of a data directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trunkline import lock
from trunkline.errors import AlreadyRunningError


def test_one_process_holds_it_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("1234567890\n")  # left by a process that has ended
    assert lock.holder(path) is None
    with lock.exclusive(path):
        assert lock.holder(path) == os.getpid()
        with pytest.raises(AlreadyRunningError, match=rf"\(pid {os.getpid()}\)"), lock.exclusive(path):
            pass
    assert lock.holder(path) is None


def test_its_holder_is_known_at_every_moment_of_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`trunkline restart` looks again and again, and reports the end of the process if there is no holder."""
    path, seen = tmp_path / "lock", list[int | None]()

    def looking(call: Callable[..., Any]) -> Callable[..., Any]:
        def look(*arguments: Any) -> Any:
            result = call(*arguments)
            seen.append(lock.holder(path))
            return result

        return look

    with lock.exclusive(path) as held:
        for name in ("ftruncate", "pwrite"):
            monkeypatch.setattr(os, name, looking(getattr(os, name)))
        with lock.exclusive(path, os.dup(held)):
            pass
    assert seen == [os.getpid()] * 2
