"""A real Redis for tests: `redis-server` on a port of its own, without anything on disk."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.fakes.certificates import CertificateAuthority
from tests.ports import ReservedPort

_START_SECONDS = 60.0
#: The name in its certificate.
NAME = "localhost"


class RedisServer:
    """A server. `words` are further configuration, such as `--requirepass PASSWORD`. With an `authority` it speaks
    only TLS, with a certificate of that authority.
    """

    def __init__(self, directory: Path, *words: str, authority: CertificateAuthority | None = None) -> None:
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.place = f"{NAME}:{self.port}" if authority else f"127.0.0.1:{self.port}"
        self.address = f"{'rediss' if authority else 'redis'}://{self.place}/0"
        self.ca_file = directory / "ca.pem"
        self._directory = directory
        self._words = [*words, *(self._tls(authority) if authority else ("--port", str(self.port)))]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts the server. Returns when it listens."""
        command = ["redis-server", "--bind", "127.0.0.1", "--save", "", *self._words]
        self._process = subprocess.Popen(command, cwd=self._directory, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < deadline, "redis-server does not listen"
                time.sleep(0.02)  # nothing to await: nobody listens yet
            else:
                return self

    def send(self, number: signal.Signals) -> None:
        """Sends the server a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Kills the server."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _tls(self, authority: CertificateAuthority) -> tuple[str, ...]:
        identity = authority.issue(NAME)
        certificate, key = self._directory / "redis.pem", self._directory / "redis.key"
        certificate.write_text(identity.certificate)
        key.write_text(identity.key)
        self.ca_file.write_text(authority.pem)
        files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
        return (
            "--port", "0", "--tls-port", str(self.port), *files,
            "--tls-ca-cert-file", str(self.ca_file), "--tls-auth-clients", "no",
        )  # fmt: skip
