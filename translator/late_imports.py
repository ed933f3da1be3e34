"""Imports modules late, in a thread: loading gRPC takes a tenth of a second, which a restarting translator cannot
spare.

Two threads that begin to import a package at the same time, one with the package and one with a module of it,
would wait for each other's locks. Python ends that by handing one of them a module that is not initialised yet. So
one thread at a time imports here.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from types import ModuleType

_lock = threading.Lock()


async def load(name: str) -> ModuleType:
    """Returns the module, imported while requests are served."""
    return await asyncio.to_thread(_import, name)


def _import(name: str) -> ModuleType:
    with _lock:
        return importlib.import_module(name)
