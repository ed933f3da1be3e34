"""Answers the gateway's requests: checks the endpoint, waits for a turn, and forwards to a local server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from node_sidecar.http2.exchange import Exchange
from node_sidecar.http2.limits import MIB
from node_sidecar.serving.endpoints import find
from node_sidecar.serving.forward import Forwarder
from node_sidecar.serving.gate import Gate
from node_sidecar.serving.interfaces import Upstream, Upstreams
from node_sidecar.serving.model import requested_model
from node_sidecar.serving.refusal import Refusal

#: Bytes of one request's body, and of all bodies held at once.
MAX_BODY = 32 * MIB
_MAX_BODIES = 256 * MIB
#: Seconds for the arrival of a request's body; the gateway has the whole body before it sends it.
_BODY_TIMEOUT = 60.0
#: Seconds after which clients retry while a model is loading.
_LOADING_RETRY_AFTER = 5


class Service:
    """The handler of requests from tunnels and direct connections. Call `close` after they are closed."""

    def __init__(self, upstreams: Upstreams, gate: Gate, *, max_body: int = MAX_BODY) -> None:
        self._upstreams = upstreams
        self._gate = gate
        self._max_body = max_body
        self._held = 0
        self._forwarder = Forwarder()
        #: Counts requests by outcome: `forwarded` (any answer of the local server), `abandoned`, or a refusal's
        #: code.
        self.outcomes: Counter[str] = Counter(forwarded=0, abandoned=0)

    async def close(self) -> None:
        await self._forwarder.close()

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one request. Raises StreamClosedError if the client has left."""
        outcome = "abandoned"
        try:
            await self._serve(exchange)
            outcome = "forwarded"
        except Refusal as refusal:
            outcome = refusal.code
            await refusal.answer(exchange)
        finally:
            self.outcomes[outcome] += 1

    async def _serve(self, exchange: Exchange) -> None:
        head = exchange.head
        found = find(head.method, head.path)
        if found is None:
            raise Refusal(404, "unknown_url", "This node serves OpenAI's inference endpoints and nothing else.")
        kind, path = found
        own = head.header(b"x-trunkline-own") == b"1"
        self._gate.check(own=own)
        async with self._body(exchange) as body:
            named = head.header(b"x-trunkline-model") or b""
            content_type = head.header(b"content-type") or b""
            model = requested_model(kind, body, content_type, named, path.partition("?")[2])
            self._upstream(model)  # fails early, before the wait
            async with self._gate.enter(own=own, model=model):
                upstream = self._upstream(model)
                with upstream.serving():
                    await self._forwarder.forward(exchange, upstream, path, body)

    @asynccontextmanager
    async def _body(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """Yields the whole body, counted among the held bodies. Raises Refusal (413, 408, 429)."""
        pieces: list[bytes] = []
        size = 0
        deadline = asyncio.get_running_loop().time() + _BODY_TIMEOUT
        try:
            while piece := await self._piece(exchange, deadline):
                pieces.append(piece)
                size += len(piece)
                self._held += len(piece)
                self._check_size(size)
            body = b"".join(pieces)
            pieces.clear()
            yield body
        finally:
            self._held -= size

    @staticmethod
    async def _piece(exchange: Exchange, deadline: float) -> bytes:
        try:
            async with asyncio.timeout_at(deadline):
                return await exchange.read()
        except TimeoutError:
            raise Refusal(408, "request_timeout", "The request's body did not arrive in time.") from None

    def _check_size(self, size: int) -> None:
        if size > self._max_body:
            message = f"The request body is larger than this node's limit of {self._max_body} bytes."
            raise Refusal(413, "request_too_large", message)
        if self._held > _MAX_BODIES:
            raise Refusal(429, "node_busy", "This node holds too many large requests.", retry_after=1)

    def _upstream(self, model: str) -> Upstream:
        """Returns the local server. Raises Refusal with 503, because the gateway expected the model here and may
        find it elsewhere.
        """
        upstream = self._upstreams.find(model)
        if upstream is not None:
            return upstream
        if self._upstreams.loading(model):
            message = f"The model '{model}' is being loaded on this node."
            raise Refusal(503, "model_loading", message, param="model", retry_after=_LOADING_RETRY_AFTER)
        message = f"The model '{model}' is not on this node at the moment."
        raise Refusal(503, "model_not_available", message, param="model")
