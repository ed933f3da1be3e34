"""A small coverage-guided fuzzer for systems without atheris: it keeps inputs that reach new lines."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

Check = Callable[[bytes], object]
_MOST_CHANGES = 6
_LONGEST = 4096


class Guided:
    """`modules` are the names of modules and packages whose lines count. `last` is the current or last input."""

    def __init__(self, check: Check, modules: Sequence[str], words: Sequence[bytes] = (), seed: int = 0) -> None:
        self._check = check
        self._prefixes = tuple(modules)
        self._words = list(words)
        self._random = random.Random(seed)
        self._lines: set[tuple[str, int]] = set()
        self._counts: dict[str, bool] = {}
        self.kept: list[bytes] = []
        self.last = b""
        self.runs = 0

    def fuzz(self, seeds: Sequence[bytes], seconds: float) -> None:
        """Runs the seeds, then mutations of them until the time is over. Raises the check's exception."""
        end = time.monotonic() + seconds
        self.kept = [b"", *seeds]
        for each in list(self.kept):
            self.try_input(each)
        while time.monotonic() < end:
            changed = self._changed()
            if self.try_input(changed):
                self.kept.append(changed)

    def try_input(self, data: bytes) -> bool:
        """Returns whether the input reaches new lines."""
        self.last = data
        self.runs += 1
        before = len(self._lines)
        outer = sys.gettrace()
        sys.settrace(self._called)
        try:
            self._check(data)
        finally:
            sys.settrace(outer)
        return len(self._lines) > before

    def _called(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        name = frame.f_globals.get("__name__", "")
        if name not in self._counts:
            self._counts[name] = any(name == each or name.startswith(f"{each}.") for each in self._prefixes)
        return self._line if self._counts[name] else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        self._lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line

    def _changed(self) -> bytes:
        dice, data = self._random, bytearray(self._random.choice(self.kept))
        for _ in range(dice.randint(1, _MOST_CHANGES)):
            at = dice.randint(0, len(data))
            until = min(len(data), at + dice.choice((0, 1, 1, 2, 8, len(data))))
            match dice.randrange(6):
                case 0:
                    del data[at:until]
                case 1:
                    data[at:until] = dice.randbytes(until - at)
                case 2:
                    data[at:at] = data[at:until] * dice.choice((1, 1, 3, 40))
                case 3 if self._words:
                    data[at:until] = dice.choice(self._words)
                case 4:
                    other = dice.choice(self.kept)
                    start = dice.randint(0, len(other))
                    data[at:until] = other[start : dice.randint(start, len(other))]
                case _:
                    data[at:at] = dice.randbytes(1)
        return bytes(data[:_LONGEST])
