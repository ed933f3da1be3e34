"""Forwards one request to a local server and streams its answer back."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import aiohttp
import structlog
from yarl import URL

from node_sidecar.http2.exchange import Exchange
from node_sidecar.http2.limits import KIB
from node_sidecar.serving.headers import for_gateway, for_local_server
from node_sidecar.serving.interfaces import Upstream
from node_sidecar.serving.refusal import Refusal

_log = structlog.get_logger(__name__)
#: Seconds. Local servers are on this machine or next to it.
_CONNECT_TIMEOUT = 5.0
#: Seconds; below the 5 s after which uvicorn, under most local servers, closes an idle connection.
_KEEPALIVE = 2.0
#: Bytes of a head line or field that a local server may send.
_MAX_HEAD_FIELD = 32 * KIB
_ONE_WRITE = 256 * KIB
#: aiohttp reads at most twice this ahead of what the gateway takes.
_READ_AHEAD = 64 * KIB


class Forwarder:
    """An HTTP/1.1 client of the local servers. Call `close` at the end."""

    def __init__(self) -> None:
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_on_reused)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            read_bufsize=_READ_AHEAD,
            max_line_size=_MAX_HEAD_FIELD,
            max_field_size=_MAX_HEAD_FIELD,
            trace_configs=[tracing],
        )

    async def close(self) -> None:
        await self._session.close()

    async def forward(self, exchange: Exchange, upstream: Upstream, path: str, body: bytes) -> None:
        """Answers `exchange`. On cancellation it closes the connection to the local server at once.

        If the local server breaks off, the exchange is left without its end.

        Raises:
            Refusal: the local server gave no answer at all (502).
            StreamClosedError: nobody wants the answer any more.
        """
        response = await self._response(exchange, upstream, path, body)
        try:
            exchange.send_head(response.status, for_gateway(response.raw_headers))
            content = response.content
            while data := await content.readany():
                await exchange.send(data)
            exchange.end()
        except (aiohttp.ClientError, OSError) as error:
            _log.warning("local_server_broke_off", error=type(error).__name__)
        finally:
            # After a complete answer, the connection has already been released and this does nothing.
            response.close()

    async def _response(
        self, exchange: Exchange, upstream: Upstream, path: str, body: bytes
    ) -> aiohttp.ClientResponse:
        """Returns the response as soon as its head has arrived."""
        url = URL(upstream.base_url + path, encoded=True)
        headers = for_local_server(exchange.head.headers, upstream.api_key)
        method = exchange.head.method.decode("ascii")
        while True:
            attempt: dict[str, bool] = {}
            try:
                return await self._session.request(
                    method,
                    url,
                    data=_payload(body) if body or method == "POST" else None,
                    headers=headers,
                    allow_redirects=False,
                    trace_request_ctx=attempt,
                )
            except aiohttp.ClientConnectorError:
                message = "The node's local server cannot be reached."
                raise Refusal(502, "local_server_unreachable", message) from None
            except (aiohttp.ClientError, OSError) as error:
                # A pooled connection may be closed just as it is used again: that is no answer.
                if not attempt.get("reused") or not isinstance(error, (aiohttp.ClientConnectionError, OSError)):
                    _log.warning("local_server_failed", error=type(error).__name__)
                    raise _no_answer(error) from None


async def _on_reused(_session: aiohttp.ClientSession, context: SimpleNamespace, _parameters: Any) -> None:
    context.trace_request_ctx["reused"] = True


def _payload(body: bytes) -> bytes | BytesIO:
    """Returns a large body as a stream of pieces: a single write of 32 MiB would delay all other requests."""
    return body if len(body) <= _ONE_WRITE else BytesIO(body)


def _no_answer(error: Exception) -> Refusal:
    if isinstance(error, TimeoutError):
        return Refusal(502, "local_server_unreachable", "The node's local server cannot be reached.")
    return Refusal(502, "local_server_failed", "The node's local server ended the connection without an answer.")
