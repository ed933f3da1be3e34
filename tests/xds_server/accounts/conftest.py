"""Fixtures: the Admin service and its REST server running together, with browsers in front, on both databases."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from argon2 import PasswordHasher
from trunkline_proto.admin.v1 import accounts_pb2 as pb, admin_pb2_grpc, console_pb2_grpc
from yarl import URL

from tests.xds_server.admin.conftest import TOKEN, TUNNEL, Authorised, Clients, Nodes
from tests.xds_server.store.databases import database, key_file, open_store, store
from xds_server.accounts import passwords
from xds_server.admin import AdminService, TokenInterceptor
from xds_server.console.service import ConsoleService
from xds_server.ledger.reader import LedgerReader
from xds_server.resources.settings import EdgeSettings
from xds_server.rest import RestServer
from xds_server.store import AsyncStore, Store
from xds_server.transport.ads import SERVER_OPTIONS

__all__ = ["database", "key_file", "open_store", "store"]

CONSOLE = "http://gateway.example:8081"
PASSWORD = "correct horse battery"
EMAIL = "alice@example.org"


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: hasher)
    monkeypatch.setattr(passwords, "_NOBODYS", hasher.hash("nobody's password"))


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `json` is None for an empty body."""

    status: int
    headers: Any
    json: Any

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


@dataclass
class Browser:
    """A browser: it keeps the gateway's cookies, and its calls come from the gateway's own page unless stated
    otherwise.
    """

    session: aiohttp.ClientSession
    cookies: dict[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Sends a call. Headers with an empty value are left out."""
        sent = {"host": "gateway.example:8081", "origin": CONSOLE, "sec-fetch-site": "same-origin"}
        sent |= {"x-trunkline-csrf": "1", "content-type": "application/json", **self.headers, **(headers or {})}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with self.session.request(
            method,
            URL(f"http://rest{path}", encoded=True),
            headers={name: value for name, value in sent.items() if value},
            data=None if body is None else json.dumps(body).encode(),
            allow_redirects=False,
            skip_auto_headers=["content-type"],
        ) as response:
            for name, morsel in response.cookies.items():
                self.cookies[name] = morsel.value
                if not morsel.value or morsel["max-age"] == "0":
                    del self.cookies[name]
            text = await response.read()
            is_json = text and response.content_type == "application/json"
            return Answer(response.status, response.headers, json.loads(text) if is_json else None)

    async def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> Answer:
        return await self("POST", "/admin/v1/sign-in", {"email": email, "password": password})


@dataclass
class Gateway:
    """A running gateway. `admin` calls with the admin token, `stub` without a token."""

    admin: Any
    stub: Any
    store: Store
    clients: Clients
    target: str
    session: aiohttp.ClientSession
    service: AdminService

    def browser(self, **headers: str) -> Browser:
        return Browser(self.session, headers=headers)

    def calling(self, token: str) -> Any:
        """Returns a stub whose calls carry the token."""
        return Bearing(self.stub, token)

    async def set_up(self, email: str = EMAIL) -> Browser:
        """Returns a browser in which the installation's admin is signed in."""
        browser = self.browser()
        link = (await self.admin.CreateSetupLink(pb.CreateSetupLinkRequest())).url
        body = {"token": link.partition("#setup=")[2], "email": email, "name": "Alice", "password": PASSWORD}
        answer = await browser("POST", "/admin/v1/setup:redeem", body)
        assert answer.status == 200, answer.json
        return browser


class Bearing:
    """A stub whose calls carry a token of their own."""

    def __init__(self, stub: Any, token: str) -> None:
        self._stub = stub
        self._metadata = (("authorization", f"Bearer {token}"),)

    def __getattr__(self, method: str) -> Any:
        return lambda request: getattr(self._stub, method)(request, metadata=self._metadata)


@pytest.fixture
async def gateway(store: Store, tmp_path: Path) -> AsyncIterator[Gateway]:
    async for each in serving(store, tmp_path):
        yield each


async def serving(store: Store, directory: Path) -> AsyncIterator[Gateway]:
    """Runs the Admin service of one control plane, over gRPC and REST."""
    clients, ledger = Clients(), LedgerReader(store.url)
    shared = AsyncStore(store)
    guard = TokenInterceptor(TOKEN, store=shared)
    server = grpc.aio.server(interceptors=[guard], options=SERVER_OPTIONS)
    service = AdminService(shared, clients, clients, ledger, tunnel=TUNNEL, live=Nodes(), console=CONSOLE)
    admin_pb2_grpc.add_AdminServicer_to_server(service, server)
    views = ConsoleService(service, EdgeSettings(), nodes=True)
    console_pb2_grpc.add_ConsoleServicer_to_server(views, server)
    directory.mkdir(exist_ok=True)
    target = f"unix:{directory}/grpc.sock"
    server.add_insecure_port(target)
    await server.start()
    rest = RestServer(guard, target)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(directory / "rest.sock"))
    await rest.start(listening)
    async with (
        grpc.aio.insecure_channel(target) as channel,
        aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(directory / "rest.sock")), cookie_jar=aiohttp.DummyCookieJar()
        ) as session,
    ):
        stub = admin_pb2_grpc.AdminStub(channel)
        yield Gateway(Authorised(stub), stub, store, clients, target, session, service)
    await rest.stop()
    await server.stop(None)
    ledger.close()
