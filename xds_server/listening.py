"""Listens on the sockets and addresses of the control plane, and serves REST on its socket."""

from __future__ import annotations

import asyncio
import importlib
import socket
from pathlib import Path

import grpc.aio

from xds_server.admin.auth import TokenInterceptor
from xds_server.errors import ListenError
from xds_server.settings import Settings

#: Connections that may wait in the backlog of the REST server's socket.
_BACKLOG = 128


def listen(server: grpc.aio.Server, settings: Settings) -> None:
    """Listens for gRPC on the control address and on the socket of ADS. Raises ListenError."""
    settings.ads_socket.unlink(missing_ok=True)
    for flag, address in (
        ("--control-listen", settings.control_listen),
        ("--ads-socket", f"unix:{settings.ads_socket}"),
    ):
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError:
            bound = 0
        if not bound:
            raise ListenError(f"{flag}: cannot listen on {address}; is it in use?")


def listen_rest(path: Path | None) -> socket.socket | None:
    """Starts to listen. From now on callers wait in the backlog until REST is served, and none is refused.

    Raises ListenError.
    """
    if path is None:
        return None
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
    except OSError as error:
        raise ListenError(f"--rest-socket: cannot listen on {path}: {error.strerror}") from error
    listening.listen(_BACKLOG)
    listening.setblocking(False)
    return listening


async def serve_rest(listening: socket.socket | None, settings: Settings, guard: TokenInterceptor) -> None:
    """Serves REST until cancelled; returns at once without a socket."""
    if listening is None:
        return
    # Importing aiohttp takes some tenths of a second; Envoy must not wait for that.
    rest = await asyncio.to_thread(importlib.import_module, "xds_server.rest")
    await rest.RestServer(guard, f"unix:{settings.ads_socket}").run(listening)
