"""Fixtures: the REST server over its Unix socket, in front of a gRPC server that records its calls."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.protobuf.message import Message
from yarl import URL

from xds_server.admin import TokenInterceptor
from xds_server.rest import RestServer
from xds_server.rest.bindings import Table
from xds_server.rest.server import SERVICES

TOKEN = "admin-token-of-the-tests-0123456789"
TABLE = Table(SERVICES)


@dataclass
class Recorder(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in grpc-stubs alone
    """Answers every call of the service with an empty message, or with `failure`."""

    calls: list[tuple[str, Message]] = field(default_factory=list)
    answers: dict[str, Message] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    failure: tuple[grpc.StatusCode, str] | None = None

    def service(self, details: Any) -> Any:
        (binding,) = [each for each in TABLE.bindings if each.full_name == details.method]

        async def behave(request: Message, context: Any) -> Message:
            self.metadata = dict(context.invocation_metadata())
            self.calls.append((binding.method.name, request))
            if self.failure is not None:
                await context.abort(*self.failure)
            return self.answers.get(binding.method.name, binding.response())

        return grpc.unary_unary_rpc_method_handler(
            behave,
            request_deserializer=binding.request.FromString,
            response_serializer=binding.response.SerializeToString,
        )


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `json` is None for an empty body."""

    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def error(self) -> dict[str, Any]:
        """The error object, which is all that a refusal contains."""
        assert set(self.json) == {"error"}, self.json
        error: dict[str, Any] = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == ("server_error" if self.status >= 500 else "invalid_request_error")
        return error


@dataclass
class Rest:
    """A client of the server under test."""

    session: aiohttp.ClientSession
    admin: Recorder
    server: RestServer

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends a call. `body` is sent unchanged if it is bytes or a file, and as JSON otherwise."""
        sent = {} if token is None else {"authorization": f"Bearer {token}"}
        content = body if body is None or isinstance(body, bytes | io.BytesIO) else json.dumps(body).encode()
        if content is not None:
            sent["content-type"] = "application/json"
        url = URL(f"http://rest{path}", encoded=True)
        async with self.session.request(
            method,
            url,
            allow_redirects=False,
            headers={**sent, **(headers or {})},
            data=content,
            skip_auto_headers=["content-type"],
        ) as response:
            text = await response.read()
            if text:
                assert response.content_type == "application/json"
            return Answer(response.status, response.headers, json.loads(text) if text else None)


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    admin, server = Recorder(), grpc.aio.server()
    server.add_generic_rpc_handlers((admin,))
    target = f"unix:{tmp_path}/grpc.sock"
    server.add_insecure_port(target)
    await server.start()
    under_test = RestServer(TokenInterceptor(TOKEN), target)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "rest.sock"))
    await under_test.start(listening)
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "rest.sock"))) as session:
        yield Rest(session, admin, under_test)
    await under_test.stop()
    await server.stop(None)
