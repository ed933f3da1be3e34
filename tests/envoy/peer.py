"""The translator's end of the connection, with the behaviour that each test needs."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from translator.checks.answers import Admitted, Allowed, Queued, refused
from translator.checks.frames import CommandResult, Copied, FrameKind, FrameReader, MachineNotice, ResponseCreated
from translator.message import Request, Response

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: trunkline-authorise\r\n\r\n"
PATIENCE = 60.0  # seconds; for an event that must happen
MAX_BODY = 33 << 20


class Connection:
    """An accepted connection."""

    def __init__(self, sock: socket.socket, patience: float | None = PATIENCE) -> None:
        self.sock = sock
        self._reader = FrameReader(MAX_BODY)
        self._read: list[
            tuple[int, int, Request | str | Copied | ResponseCreated | MachineNotice | CommandResult]
        ] = []
        self._rest = b""
        sock.settimeout(patience)

    def upgrade(self, answer: bytes = SWITCHING) -> None:
        """Reads the request for the upgrade and answers it."""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._receive()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        assert head.startswith(b"GET /authorise HTTP/1.1\r\n")
        assert b"\r\nupgrade: trunkline-authorise" in head
        self.sock.sendall(answer)

    def check(self) -> tuple[int, Request]:
        """Returns the next frame, which is a whole check."""
        number, kind, content = self.next()
        assert kind == FrameKind.WHOLE
        assert isinstance(content, Request)
        return number, content

    def next(self) -> tuple[int, int, Request | str | Copied | ResponseCreated | MachineNotice | CommandResult]:
        """Returns the next frame of any kind: number, kind, and a request, the id in an end notice, a copy, or a
        created response.
        """
        while not self._read:
            data = self._rest or self._receive()
            self._rest = b""
            for number, kind, content in self._reader.feed(data):
                assert content is not None
                if isinstance(content, Request) and content.pieces:
                    content.body, content.pieces = b"".join(content.pieces), ()
                self._read.append((number, kind, content))
        return self._read.pop(0)

    def checks(self, count: int) -> dict[str, int]:
        """Returns the numbers of the next checks by the methods of their heads, each of which is sent once."""
        asked = [self.check() for _ in range(count)]
        numbers = {check.method: number for number, check in asked}
        assert len(numbers) == count
        return numbers

    def has_begun(self) -> None:
        """Waits until something has arrived that is not read yet."""
        assert select.select([self.sock], [], [], PATIENCE)[0]

    def is_closed(self) -> bool:
        """Waits until the other side closes the connection."""
        with contextlib.suppress(ConnectionResetError):
            while self.sock.recv(1 << 20):
                pass
        return True

    def _receive(self) -> bytes:
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError
        return data


class Peer:
    """Listens at `path`."""

    def __init__(self, path: Path, backlog: int = 16) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(backlog)
        self._open: list[socket.socket] = []
        self.shutting = False

    def accept(self, patience: float | None = PATIENCE) -> Connection:
        """Returns the next connection. Waits for it, and later for its data, for `patience` seconds at most."""
        self._listening.settimeout(patience)
        sock, _ = self._listening.accept()
        self._open.append(sock)
        return Connection(sock, patience)

    def connected(self) -> Connection:
        """Returns the next connection, accepted and upgraded."""
        connection = self.accept()
        connection.upgrade()
        return connection

    def shut(self) -> None:
        """Ends what waits for a connection, or for its frames."""
        self.shutting = True
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as waker:
            waker.connect(self._listening.getsockname())
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for sock in (self._listening, *self._open):
            sock.close()


def allowed(number: int) -> bytes:
    """Returns the answer to check `number`, whose route contains the number."""
    return Allowed(f"route-{number}").encode(number)


def queued(number: int, longest: float = 60.0, key: str = "key-1") -> bytes:
    """Returns the frame that says that the request of check `number` waits."""
    return Queued(longest, key).encode(number)


def denied(number: int, body: bytes = b"no") -> bytes:
    return refused(number, Response(429, {"retry-after": "1"}, body))


def admitted(number: int, key: str = "key") -> bytes:
    return Admitted(key).encode(number)


@contextlib.contextmanager
def serving(
    peer: Peer,
    decide: Callable[[int, Request], bytes] = lambda number, _: allowed(number),
    admit: Callable[[int, Request], bytes] = lambda number, _: admitted(number),
    end: Callable[[int, str], object] = lambda number, _: None,
    copied: Callable[[Copied], object] = lambda _: None,
    made: Callable[[str], object] = lambda _: None,
    machine: Callable[[MachineNotice], object] = lambda _: None,
) -> Iterator[None]:
    """Answers all checks, in a thread for each connection, which an OSError of `decide` ends. A connection that is
    idle for long is kept.
    """

    def answer(
        number: int,
        kind: int,
        content: Request | str | Copied | ResponseCreated | MachineNotice | CommandResult,
    ) -> bytes:
        if isinstance(content, MachineNotice):
            machine(content)
            return b""
        assert not isinstance(content, CommandResult), "no command was sent"
        if isinstance(content, Copied):
            copied(content)
            return b""
        if isinstance(content, ResponseCreated):
            made(content.text)
            return b""
        if isinstance(content, str):
            end(number, content)
            return b""
        return decide(number, content) if kind == FrameKind.WHOLE else admit(number, content)

    def converse(connection: Connection) -> None:
        with connection.sock as sock, contextlib.suppress(OSError, EOFError):
            connection.upgrade()
            while True:
                sock.sendall(answer(*connection.next()))

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = peer.accept(None)
                if peer.shutting:
                    break
                threads.append(threading.Thread(target=converse, args=(connection,)))
                threads[-1].start()

    threads = [threading.Thread(target=listen)]
    threads[0].start()
    try:
        yield
    finally:
        peer.shut()
        for thread in threads:
            thread.join()
