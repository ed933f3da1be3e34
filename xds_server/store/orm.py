"""Imports SQLAlchemy late: it takes 0.4 s, which a start with nothing to change does not pay.

Two threads that begin to import it at the same time, one with a module and one with the package, would wait for
each other's locks. Python ends that by handing one of them a module that is not initialised yet. So it is imported
here, by one thread at a time, before any module that needs it.
"""

from __future__ import annotations

import importlib
import threading

_lock = threading.Lock()


def load() -> None:
    """Imports SQLAlchemy unless that has been done. Call it before importing anything that needs it."""
    with _lock:
        importlib.import_module("sqlmodel")
