"""Ports for programs that listen only after a test has chosen the port, or that come back on the same one.

A port that `bind` to 0 chose and that is closed again may go to any other process before the program listens
there; Envoy would even share it in silence (SO_REUSEPORT). Reserved ports lie below those that Linux assigns by
itself (from 32768 on) and those that `trunkline up` chooses (from 20000 on), and no other test process takes one.
None is a default port of ours, or of a local server (Ollama's 11434), where gateways and nodes look for one.
"""

from __future__ import annotations

import os
import secrets
import socket
import weakref

_RANGE = range(12_000, 18_000)


class ReservedPort:
    """A free TCP port of loopback, reserved until `release`, or until the object or its process is gone.

    Raises OSError if none is free.
    """

    def __init__(self) -> None:
        first = secrets.randbelow(len(_RANGE))
        for each in (*_RANGE[first:], *_RANGE[:first]):
            try:
                reservation = _reserve(each)
            except OSError:
                continue
            self.number = each
            self._release = weakref.finalize(self, os.close, reservation)
            return
        raise OSError(f"no port of {_RANGE} is free")

    def release(self) -> None:
        """Lets other tests take the port."""
        self._release()


def _reserve(port: int) -> int:
    """Returns a descriptor whose closing ends the reservation. Raises OSError if the port is reserved or used."""
    with socket.socket() as probe, socket.socket(socket.AF_UNIX) as reservation:
        reservation.bind(f"\0trunkline-test-port-{port}")
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        probe.listen()
        return reservation.detach()
