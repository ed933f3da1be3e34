"""Importing SQLAlchemy late, from several threads at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import threading
from xds_server.store import orm

names = ["sqlalchemy", "sqlalchemy.engine", "sqlalchemy.orm", "sqlmodel", "xds_server.store.writing.transaction"]
start, failed = threading.Barrier(len(names)), []

def load(name):
    start.wait()
    try:
        orm.load()
        __import__(name)
    except Exception as error:
        failed.append((name, repr(error)))

threads = [threading.Thread(target=load, args=[name]) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failed)
"""


@pytest.mark.processes
def test_threads_that_import_it_at_once_get_it_whole() -> None:
    """Without `load`, nearly every run fails with a module that is not initialised, or a deadlock."""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True, timeout=240
        )
        assert done.stdout == "[]\n", done.stderr
