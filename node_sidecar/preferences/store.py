"""Where preferences come from, and that they are followed when they change.

What was said to `join` (flags.yaml) is overruled by node.yaml, that by the options of `run`; `pause` and `resume`
(a file `paused`, so that a restart does not forget) count beside `paused: true`.
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

#: Seconds between two looks at the files.
INTERVAL = 1.0


class PreferenceStore:
    """`options` are fields of Preferences that the command line sets."""

    def __init__(self, directory: Path, environment: Mapping[str, str], options: Mapping[str, Any]) -> None:
        self._flags = directory / "flags.yaml"
        self._file = directory / "node.yaml"
        self._paused = directory / "paused"
        self._environment = environment
        self._options = options
        self._seen: tuple[object, ...] = ()
        #: What is wrong with node.yaml as it is now; the last good one stays in force.
        self.problem = ""

    def load(self) -> Preferences:
        """Raises:
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
        """What `join` was told, in node.yaml's words, for every later `run`."""
        if flags:
            write_private(self._flags, yaml.safe_dump(dict(flags)).encode())
        else:
            self._flags.unlink(missing_ok=True)

    def pause(self) -> None:
        write_private(self._paused, b"")

    def resume(self) -> None:
        self._paused.unlink(missing_ok=True)

    async def follow(self, changed: Callable[[Preferences], None], log: FilteringBoundLogger) -> None:
        """Calls `changed` when a file changes, until cancelled. Logs once that a file cannot be used."""
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
