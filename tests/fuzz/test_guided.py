"""Our own fuzzer, for systems without atheris."""

from __future__ import annotations

import sys

import pytest

from fuzz.guided import Guided


def hidden(data: bytes) -> None:
    """Fails behind four bytes, which only a guided search finds one by one."""
    if data[:1] == b"f":
        if data[1:2] == b"u":
            if data[2:3] == b"z":
                if data[3:4] == b"z":
                    raise ValueError("found")
                return
            return
        return


def test_it_finds_its_way_by_coverage() -> None:
    guided = Guided(hidden, [__name__], seed=1)
    with pytest.raises(ValueError, match="found"):
        guided.fuzz([b"xxxxxxxx"], seconds=60)
    assert guided.last.startswith(b"fuzz")
    assert {each[:3] for each in guided.kept} >= {b"fuz"}


def test_it_leaves_other_tracers_alone() -> None:
    before = sys.gettrace()
    Guided(lambda data: None, [__name__]).try_input(b"")
    assert sys.gettrace() is before


def test_it_ends_in_time_and_runs_every_seed() -> None:
    seen: list[bytes] = []
    Guided(seen.append, [__name__], [b"word"]).fuzz([b"one", b"two"], seconds=0)
    assert seen == [b"", b"one", b"two"]
