"""The targets in Python: each module has `check`, which takes any bytes and raises where something does not hold.

Beside "it does not crash" each has an oracle: another way to the same result, or what must hold of every result.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

#: Returns whether the input was taken, rather than refused: some of each corpus must be.
Check = Callable[[bytes], bool]


def names() -> list[str]:
    """Of every target in Python."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def load(name: str) -> ModuleType:
    """The target's module. Its `UNDER_TEST` names the modules whose coverage guides."""
    return importlib.import_module(f"{__name__}.{name}")
