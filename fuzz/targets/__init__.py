"""The Python targets. Each module has `check`, which takes any bytes and raises if a property does not hold.

Each must not crash, and has an oracle: another way to the same result, or properties of every result.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

#: Returns whether the input was accepted rather than refused: part of each corpus must be.
Check = Callable[[bytes], bool]


def names() -> list[str]:
    """The names of all Python targets."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def load(name: str) -> ModuleType:
    """Returns the target's module. Its `UNDER_TEST` names the modules whose coverage guides the fuzzer."""
    return importlib.import_module(f"{__name__}.{name}")
