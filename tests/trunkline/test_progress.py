"""A progress bar on terminals, nothing in files and pipes, and every page in both cases."""

from __future__ import annotations

import io
import sys

import pytest

from trunkline import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_pages_pass_and_a_terminal_sees_how_far_they_are(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    stderr = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    pages = [[1, 2], [3], []]
    assert list(progress.shown(pages, lambda: 3, "records")) == pages
    assert ("3/3" in stderr.getvalue()) == terminal


def test_nobody_asks_for_a_total_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    def total() -> int:
        raise AssertionError("asked")

    assert list(progress.shown([[1]], total, "records")) == [[1]]


def test_more_than_was_expected_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert len(list(progress.shown([[1, 2, 3]], lambda: 0, "records"))) == 1
