"""Loads the preferences from their files, and reloads them when a file changes.

node.yaml takes precedence over the options given to `join` (flags.yaml), and the options of `run` over node.yaml.
`pause` and `resume` (a file `paused`, so that a restart keeps it) count in addition to `paused: true`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from structlog.typing import FilteringBoundLogger

from node_sidecar.errors import SettingsError
from node_sidecar.files import write_private
from node_sidecar.preferences import file
from node_sidecar.preferences.model import Preferences

#: Seconds between two checks of the files.
INTERVAL = 1.0


class PreferenceStore:
    """`options` are the fields of Preferences set on the command line."""

    def __init__(self, directory: Path, environment: Mapping[str, str], options: Mapping[str, Any]) -> None:
        self._flags = directory / "flags.yaml"
        self._file = directory / "node.yaml"
        self._paused = directory / "paused"
        self._environment = environment
        self._options = options
        self._seen: tuple[object, ...] = ()
        #: What is wrong with the current node.yaml; the last valid one stays in force.
        self.problem = ""

    def load(self) -> Preferences:
        """Loads and merges the preferences.

        Raises:
            SettingsError: names the file and the key.
        """
        self._seen = self._stamps()
        preferences = Preferences()
        for path in (self._flags, self._file):
            try:
                preferences = file.parse(path.read_text(), self._environment, preferences, name=path.name)
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"{path} cannot be read ({type(error).__name__})") from error
        preferences = replace(preferences, **self._options)
        return replace(preferences, paused=preferences.paused or self._paused.exists())

    def keep_flags(self, flags: Mapping[str, Any]) -> None:
        """Stores the options given to `join`, under their keys in node.yaml, for every later `run`."""
        if flags:
            write_private(self._flags, yaml.safe_dump(dict(flags)).encode())
        else:
            self._flags.unlink(missing_ok=True)

    def pause(self) -> None:
        """Pauses the node, until `resume` and across restarts."""
        write_private(self._paused, b"")

    def resume(self) -> None:
        """Ends the pause, if there is one."""
        self._paused.unlink(missing_ok=True)

    async def follow(self, changed: Callable[[Preferences], None], log: FilteringBoundLogger) -> None:
        """Calls `changed` when a file changes, until cancelled. Logs once if a file is invalid."""
        while True:
            await asyncio.sleep(INTERVAL)
            if self._stamps() == self._seen:
                continue
            try:
                preferences = self.load()
            except SettingsError as error:
                self.problem = str(error)
                log.error("preferences not changed", reason=self.problem)  # noqa: TRY400 - the reason says it all
                continue
            self.problem = ""
            log.info("preferences changed")
            changed(preferences)

    def _stamps(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in (self._flags, self._file, self._paused))


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
