"""Tiny stand-ins for the supervised services. The first line of their log is `pid N`."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path


def _serve_http(first_key: str, translator: str, *addresses: str) -> None:
    """Answers 200 to every request on any of the addresses, once the others exist."""
    written = Path(f"{first_key}.written")
    while not written.exists():
        time.sleep(0.01)  # a process of its own, without the helpers of the tests
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(translator)
        connection.recv(1)
    selector = selectors.DefaultSelector()
    for address in addresses:
        host, port = address.rsplit(":", 1)
        selector.register(socket.create_server((host, int(port))), selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            connection, _ = key.fileobj.accept()
            with connection:
                if connection.recv(65536):
                    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 19\r\n\r\n"
                    connection.sendall(head + b'{"up_to_date":true}')


def _serve_pid() -> None:
    """Sends its pid to every client of the inherited socket, and keeps the connection."""
    assert os.environ["LISTEN_FDS"] == "1"
    assert os.environ["LISTEN_PID"] == str(os.getpid())
    listening = socket.socket(fileno=3)
    kept = []
    while True:
        connection, _ = listening.accept()
        connection.sendall(f"{os.getpid()}\n".encode())
        kept.append(connection)


def main(mode: str, *arguments: str) -> None:
    sys.stdout.write(f"pid {os.getpid()}\n")
    sys.stdout.flush()
    if mode == "http":
        _serve_http(*arguments)
    elif mode == "pid":
        _serve_pid()
    elif mode == "first-key":
        Path(arguments[0]).write_text("sk-tl-first-secret")
        Path(f"{arguments[0]}.written").touch()
    elif mode == "exit":
        sys.exit(f"{arguments[0]}: cannot go on")
    while True:
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
