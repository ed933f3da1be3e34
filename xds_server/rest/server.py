"""The HTTP server behind Envoy's admin listener, on a Unix socket. Each request becomes one gRPC call to our own
Admin service, so that sign-in, roles and audit have one place. A browser's cookie becomes the call's token here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import grpc
import structlog
from aiohttp import web
from google.api import httpbody_pb2
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from trunkline_proto.admin.v1 import admin_pb2, console_pb2
from trunkline_proto.metrics.v1 import metrics_pb2

from xds_server.accounts import permissions
from xds_server.accounts.caller import Caller
from xds_server.admin.values import quoted
from xds_server.console.answers import Console
from xds_server.errors import InvalidFieldError, UnauthenticatedError
from xds_server.rest import browser, oidc_callback, request as requests
from xds_server.rest.bindings import Binding, PathMatch, Table
from xds_server.rest.errors import RestError

#: Bytes up to which a body that is too large is read to its end: a client that is still sending when the answer
#: arrives loses the answer.
_MAX_DISCARDED = 256 * 1024 * 1024
#: Served to GET and HEAD without a token. The first is the console's page, whose other files are below /console/;
#: the last is served here, and the others by Envoy and the translator.
OTHER_PATHS = ("/", "/healthz", "/readyz", "/metrics", "/metrics/translator", "/metrics/control")
_METRICS = "/metrics/control"
#: The document of everything that is served, for callers with a token.
OPENAPI = "/admin/v1/openapi.json"
#: Services whose methods are served.
SERVICES = (
    admin_pb2.DESCRIPTOR.services_by_name["Admin"],
    console_pb2.DESCRIPTOR.services_by_name["Console"],
)
#: Bytes of the request's line and of its headers, of which Envoy passes on 60 KiB in all.
_MAX_HEADERS = 128 * 1024
#: Seconds; longer than Envoy keeps an idle connection, so that Envoy never sends into a closing one.
_KEEP_ALIVE = 7_200
#: Bytes of a body, or of a message, that are read and written on the event loop.
_LIGHT = 64 * 1024
_CLIENT_ADDRESS = "x-trunkline-client-address"
_PASSED_ON = ("authorization", "x-trunkline-actor", "x-trunkline-take-over", _CLIENT_ADDRESS)
_FINISH_OIDC = "/trunkline.admin.v1.Admin/FinishOidc"
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_JSON = "application/json"

_log = structlog.get_logger(__name__)


class Guard(Protocol):
    """Decides who may call; the gRPC server uses it too."""

    def is_open(self, method: str) -> bool:
        """Returns whether anybody may call a method, given by its full name."""
        ...

    async def is_reached_by_https(self) -> bool:
        """Returns whether browsers reach the console over https, whichever proxy stands before Envoy."""
        ...

    async def authenticate(self, method: str, metadata: Any) -> Caller:
        """Returns the caller. Raises UnauthenticatedError. `method` is empty for a path that is not served."""
        ...


class RestServer:
    """Serves REST. gRPC is served at `target`."""

    def __init__(self, guard: Guard, target: str) -> None:
        self._guard = guard
        self._table = Table(SERVICES, (*OTHER_PATHS, OPENAPI))
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.aio.insecure_channel(target, options=options)
        self._calls = {
            each.full_name: self._channel.unary_unary(
                each.full_name,
                request_serializer=each.request.SerializeToString,
                response_deserializer=each.response.FromString,
            )
            for each in self._table.bindings
        }
        self._scrape = self._channel.unary_unary(
            "/trunkline.metrics.v1.Metrics/Scrape",
            request_serializer=metrics_pb2.ScrapeRequest.SerializeToString,
            response_deserializer=httpbody_pb2.HttpBody.FromString,
        )
        self._console = Console()
        self._runner: web.ServerRunner | None = None

    async def run(self, listening: socket.socket) -> None:
        """Serves on a listening socket until it is cancelled; running calls may then take half a second more."""
        await self.start(listening)
        try:
            await asyncio.Event().wait()
        finally:
            await self.stop()

    async def start(self, listening: socket.socket) -> None:
        """Serves on a listening socket."""
        server = web.Server(
            self._answer,
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE,
            max_line_size=_MAX_HEADERS,
            max_field_size=_MAX_HEADERS,
            auto_decompress=False,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    async def stop(self) -> None:
        """Ends running calls after half a second."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._channel.close(None)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._respond(request)
        except RestError as error:
            return _refusal(error)
        except InvalidFieldError as error:
            return _refusal(RestError.of(grpc.StatusCode.INVALID_ARGUMENT, str(error)))
        except UnauthenticatedError as error:
            return _refusal(RestError.of(grpc.StatusCode.UNAUTHENTICATED, str(error)))
        except grpc.aio.AioRpcError as error:
            refused = RestError.of(error.code(), error.details() or "")
            if (seconds := browser.metadatum(error.trailing_metadata(), "retry-after")) is not None:
                refused.headers["retry-after"] = seconds
            return _refusal(refused)
        except Exception as error:  # noqa: BLE001  # after any error, the caller gets the documented shape
            _log.error("rest.unexpected_error", exc_info=error)
            what = f"internal error ({type(error).__name__}); the control plane's log has more"
            return _refusal(RestError.of(grpc.StatusCode.INTERNAL, what))

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        """Answers a request. A caller without a token learns only that it needs one, and is counted in the
        metrics.
        """
        if request.raw_path == _METRICS and request.method in {"GET", "HEAD"}:
            page = await self._scrape(metrics_pb2.ScrapeRequest())
            return web.Response(body=page.data, headers={**_HEADERS, "content-type": page.content_type})
        file = await self._console.answer(request)
        if file is not None:
            return file
        if provider := oidc_callback.provider_of(request):
            return await self._finish_oidc(request, provider)
        path, _, query = request.raw_path.partition("?")
        found = self._table.find(path)
        binding = found.bindings.get("GET" if request.method == "HEAD" else request.method) if found else None
        method = binding.full_name if binding else ""
        secure = browser.is_secure(request, always=await self._guard.is_reached_by_https())
        metadata = [(name, value) for name in _PASSED_ON for value in request.headers.getall(name, ())]
        if "authorization" not in request.headers:
            metadata += browser.credentials(request, is_open=self._guard.is_open(method), secure=secure)
        caller = await self._guard.authenticate(method, metadata)
        for name, value in metadata:
            if not (value.isascii() and value.isprintable()):  # gRPC accepts no other values
                raise RestError(400, "invalid_argument", f"header {name}: accepted: printable ASCII")
        if found is None:
            raise self._nothing_at(path)
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={**_HEADERS, "allow": _allow(self._table, path, found)})
        if path == OPENAPI and request.method in {"GET", "HEAD"}:
            return await self._console.reference(request)
        if binding is None:
            allow = _allow(self._table, path, found)
            message = f"{request.method[:20]} is not served at this path; accepted: {allow}"
            raise RestError(405, "method_not_allowed", message, {"allow": allow})
        content = await _content(request, binding, permissions.max_bytes(permissions.rule_of(method), caller))
        message = await _apart(len(content), requests.message, binding, found.values, query, content)
        call = self._calls[binding.full_name](message, metadata=metadata)
        answer: Message = await call
        text = await _apart(answer.ByteSize(), _json, answer)
        response = web.Response(body=text, content_type=_JSON, headers=_HEADERS)
        browser.keep(response, await call.trailing_metadata(), secure=secure)
        return response

    async def _finish_oidc(self, request: web.BaseRequest, provider: str) -> web.Response:
        secure = browser.is_secure(request, always=await self._guard.is_reached_by_https())
        metadata = [(name, request.headers[name]) for name in (_CLIENT_ADDRESS,) if name in request.headers]
        metadata += browser.credentials_of_return(request, secure=secure)

        async def call(wanted: Message) -> tuple[Any, Any]:
            made = self._calls[_FINISH_OIDC](wanted, metadata=metadata)
            return await made, await made.trailing_metadata()

        response, said = await oidc_callback.finish(request, provider, call)
        browser.keep(response, said, secure=secure)
        return response

    def _nothing_at(self, path: str) -> RestError:
        near = self._table.nearest(path)
        meant = f"; did you mean {near}?" if near else "; the Admin API is below /admin/v1/"
        return RestError(404, "not_found", f"nothing is served at {quoted(path)}{meant}")


async def _content(request: web.BaseRequest, binding: Binding, most: int) -> bytes:
    """Returns the body, of which `most` bytes are accepted. Raises RestError."""
    if binding.has_body and request.body_exists:
        _check_type(request.headers)
    content, size = bytearray(), 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size <= most:
            content += piece
        elif size > _MAX_DISCARDED:
            break
    if size > most:
        raise RestError(413, "request_too_large", f"the body is larger than {most:,} bytes")
    return bytes(content)


def _check_type(headers: Mapping[str, str]) -> None:
    """Checks the type of a body. A body without a type counts as JSON."""
    given = headers.get("content-type", _JSON)
    kind, _, parameters = (part.strip().lower() for part in given.partition(";"))
    charset = parameters.replace(" ", "").replace('"', "")
    if kind != _JSON or charset not in {"", "charset=utf-8"}:
        shown = quoted(given)
        raise RestError(415, "unsupported_media_type", f"content-type {shown} is not accepted; accepted: {_JSON}")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        shown = quoted(encoding)
        raise RestError(415, "unsupported_media_type", f"content-encoding {shown} is not accepted; accepted: none")


async def _apart(size: int, work: Callable[..., Any], *arguments: Any) -> Any:
    """Runs long work in a thread, so that no other call waits for it."""
    return await asyncio.to_thread(work, *arguments) if size > _LIGHT else work(*arguments)


def _json(message: Message) -> bytes:
    text = MessageToJson(message, preserving_proto_field_name=True, indent=None, ensure_ascii=False)
    return text.encode()


def _allow(table: Table, path: str, found: PathMatch) -> str:
    return "GET, HEAD, OPTIONS" if table.is_other(path) else ", ".join(found.allowed)


def _refusal(error: RestError) -> web.Response:
    return web.Response(
        body=error.body(), status=error.status, content_type=_JSON, headers={**_HEADERS, **error.headers}
    )
