"""The channel through which `status`, `drain`, `pause` and `resume` reach the running sidecar: HTTP on loopback,
with a token in a file.

Only the sidecar's user can read the file, and thereby command the sidecar. This works on every system, unlike Unix
sockets.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from node_sidecar.errors import SidecarControlError
from node_sidecar.files import write_private

_TIMEOUT = aiohttp.ClientTimeout(total=10.0, sock_connect=2.0)
Command = Callable[[], Awaitable[Mapping[str, Any]] | Mapping[str, Any]]


def _file(state_dir: Path) -> Path:
    return state_dir / "control.json"


class ControlServer:
    """Serves `GET /status`, and POST for the other commands; each answers with a JSON object."""

    def __init__(self, state_dir: Path, status: Command, commands: Mapping[str, Command]) -> None:
        self._file = _file(state_dir)
        self._token = secrets.token_urlsafe(32)
        self._status = status
        self._commands = commands
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Raises OSError."""
        application = web.Application(middlewares=[self._authorise])
        application.router.add_get("/status", self._answer(self._status))
        for name, command in self._commands.items():
            application.router.add_post(f"/{name}", self._answer(command))
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        write_private(self._file, json.dumps({"port": port, "token": self._token, "pid": os.getpid()}).encode())

    async def stop(self) -> None:
        self._file.unlink(missing_ok=True)
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _authorise(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            raise web.HTTPUnauthorized
        return await handler(request)

    @staticmethod
    def _answer(command: Command) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(_: web.Request) -> web.StreamResponse:
            result = command()
            return web.json_response(result if isinstance(result, Mapping) else await result)

        return handle


class ControlClient:
    """Sends commands to the sidecar that runs on a state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._file = _file(state_dir)

    async def ask(self, command: str) -> dict[str, Any]:
        """Sends `status` or another command, and returns the answer.

        Raises:
            SidecarControlError: no sidecar runs on this state directory, or it may not be asked by this user.
        """
        try:
            found = json.loads(self._file.read_text())
            url = f"http://127.0.0.1:{int(found['port'])}/{command}"
            headers = {"authorization": f"Bearer {found['token']}"}
        except FileNotFoundError as error:
            raise SidecarControlError(
                f"the sidecar is not running (state directory {self._file.parent})"
            ) from error
        except PermissionError as error:
            raise SidecarControlError(
                f"{self._file} belongs to another user: run this as root (sudo) or as the sidecar's user"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SidecarControlError(f"{self._file} cannot be used ({type(error).__name__})") from error
        method = "GET" if command == "status" else "POST"
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session,
                session.request(method, url, headers=headers) as response,
            ):
                if response.status != 200:
                    raise SidecarControlError(f"the sidecar refuses {command} (status {response.status})")
                answer: dict[str, Any] = await response.json()
                return answer
        except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError) as error:
            raise SidecarControlError("the sidecar is not running (it was killed)") from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise SidecarControlError(f"the sidecar does not answer ({type(error).__name__})") from error
