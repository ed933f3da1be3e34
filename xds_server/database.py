"""Opens the database when the control plane starts, and watches that it stays where it was opened."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from xds_server.accounts import links
from xds_server.accounts.links import Purpose
from xds_server.errors import DatabaseReplacedError
from xds_server.settings import Settings
from xds_server.store import Store
from xds_server.store.migration_report import MigrationReport
from xds_server.troubles import Troubles

#: Seconds between two checks of the database file.
_WATCH_SECONDS = 2.0


def open_store(settings: Settings) -> Store:
    """Opens the store, and writes the first API key and the set-up link to their files on the first start.

    Raises:
        XdsServerError: the store cannot be opened.
    """
    report = MigrationReport(settings.migration_file)
    if settings.secret_key:
        store = Store.open(settings.database, key=settings.secret_key, report=report)
    else:
        store = Store.open(settings.database, key_file=settings.secret_key_file, report=report)
    key_file = settings.bootstrap_key_file
    if key_file is not None:
        link_file = settings.setup_link_file
        store.bootstrap(
            lambda value: _write_private(key_file, value),
            None
            if link_file is None
            else lambda value: _write_private(link_file, links.url(settings.console_url, Purpose.SETUP, value)),
        )
    return store


async def watch(store: Store, troubles: Troubles) -> None:
    """Checks every two seconds whether the database is still where it was opened, until cancelled."""
    while True:
        try:
            await asyncio.to_thread(store.require)
        except DatabaseReplacedError as error:
            troubles.set("database", error.reason, unready=True)
        else:
            troubles.set("database", unready=True)
        await asyncio.sleep(_WATCH_SECONDS)


def _write_private(path: Path, text: str) -> None:
    """Writes `text` durably and readable only by this user, before the key in it is stored as a hash for good."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
