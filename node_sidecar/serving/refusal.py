"""Answers that the sidecar gives by itself, in OpenAI's error shape."""

from __future__ import annotations

import json

from node_sidecar.errors import SidecarError
from node_sidecar.http2.exchange import Exchange


class Refusal(SidecarError):  # noqa: N818 - it is an answer, and reads as one
    """A request that goes no further. `message` goes to the client: nothing of the node's inside may be in it."""

    def __init__(
        self, status: int, code: str, message: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after  # seconds

    def body(self) -> bytes:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        if self.status == 429:
            kind = "rate_limit_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return json.dumps({"error": error}).encode()

    async def answer(self, exchange: Exchange) -> None:
        """Sends it. Raises StreamClosedError."""
        body = self.body()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if self.retry_after is not None:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        exchange.send_head(self.status, headers)
        await exchange.send(body)
        exchange.end()
