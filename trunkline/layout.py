"""The paths below the data directory."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from trunkline.errors import UsageError

# sun_path of sockaddr_un without its final NUL.
_LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the absolute `data_dir`."""

    data_dir: Path

    @property
    def run(self) -> Path:
        """The folder of sockets and of files that last as long as the gateway runs."""
        return self.data_dir / "run"

    @property
    def xds_socket(self) -> Path:
        """The control plane's socket for Envoy and the translator."""
        return self.run / "xds.sock"

    @property
    def rest_socket(self) -> Path:
        """The control plane's socket for REST, which Envoy forwards to."""
        return self.run / "rest.sock"

    @property
    def translator_socket(self) -> Path:
        """The translator's socket, which the supervisor holds."""
        return self.run / "translator.sock"

    @property
    def envoy_admin_socket(self) -> Path:
        """The socket of Envoy's admin interface."""
        return self.run / "envoy-admin.sock"

    @property
    def admin_token(self) -> Path:
        """The admin token, alone in a file."""
        return self.run / "admin-token"

    @property
    def first_key(self) -> Path:
        """The first API key, from its creation until it is in `credentials`."""
        return self.run / "first-key"

    @property
    def setup_link(self) -> Path:
        """Holds the console's set-up link until it is shown."""
        return self.run / "setup-link"

    @property
    def draining(self) -> Path:
        """Exists while a gateway stops and is no longer ready."""
        return self.run / "draining"

    @property
    def starting(self) -> Path:
        """Exists until trunkline.yaml is applied, so that its keys and models are not refused before."""
        return self.run / "starting"

    @property
    def trouble(self) -> Path:
        """Exists while the control plane cannot store anything, and says why."""
        return self.run / "trouble"

    @property
    def migration(self) -> Path:
        """Exists while the control plane migrates the database, and has the progress."""
        return self.run / "migration"

    @property
    def ready(self) -> Path:
        """Written whenever a gateway has become ready, with different content each time."""
        return self.run / "ready"

    @property
    def bootstrap(self) -> Path:
        """Envoy's bootstrap, written at each start."""
        return self.run / "envoy.yaml"

    @property
    def lock(self) -> Path:
        """The file that only one running gateway can lock."""
        return self.data_dir / "up.lock"

    @property
    def credentials(self) -> Path:
        """The admin token and the first API key, for people and commands."""
        return self.data_dir / "credentials.json"

    @property
    def database(self) -> Path:
        """The SQLite file, unless the state is in PostgreSQL."""
        return self.data_dir / "trunkline.db"

    @property
    def translator_state(self) -> Path:
        """The translator's folder: its policy, quotas and stored responses."""
        return self.data_dir / "translator"

    @property
    def ledger(self) -> Path:
        """The folder of the write-ahead ledger."""
        return self.data_dir / "ledger"

    @property
    def access_log(self) -> Path:
        """The log that Envoy writes and the translator follows."""
        return self.ledger / "access.log"

    def log(self, name: str) -> Path:
        """The log of one child, such as `envoy`."""
        return self.data_dir / "log" / f"{name}.log"

    def prepare(self) -> None:
        """Makes the directories. Raises UsageError if that, or a socket below them, is impossible."""
        longest = max(len(os.fsencode(path)) for path in self._sockets)
        if longest > _LONGEST_SOCKET_PATH:
            raise UsageError(
                f"{self.data_dir} is too long for Unix sockets below it ({longest} bytes, at most "
                f"{_LONGEST_SOCKET_PATH}): choose a shorter --data-dir"
            )
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            for directory in (self.run, self.data_dir / "log", self.translator_state, self.ledger):
                directory.mkdir(mode=0o700, exist_ok=True)
            self.run.chmod(0o700)
            self.ledger.chmod(0o700)
        except OSError as error:
            raise UsageError(
                f"cannot write below {self.data_dir}: {error.strerror}; choose another --data-dir"
            ) from error

    def clear_run(self) -> None:
        """Removes leftovers of an earlier run. Call it only with the lock held."""
        for path in (*self._sockets, self.draining, self.starting, self.trouble, self.migration, self.ready):
            path.unlink(missing_ok=True)

    @property
    def _sockets(self) -> tuple[Path, ...]:
        return (self.xds_socket, self.rest_socket, self.translator_socket, self.envoy_admin_socket)
