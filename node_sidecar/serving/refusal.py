"""The sidecar's own answers, in OpenAI's error format."""

from __future__ import annotations

import json

from node_sidecar.errors import SidecarError
from node_sidecar.http2.exchange import Exchange


class Refusal(SidecarError):  # noqa: N818 - it is an answer, and reads as one
    """A request is refused. The client sees `message`, which must not reveal internals of the node."""

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
        """The refusal in OpenAI's error format."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        if self.status == 429:
            kind = "rate_limit_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return json.dumps({"error": error}).encode()

    async def answer(self, exchange: Exchange) -> None:
        """Sends the refusal. Raises StreamClosedError."""
        body = self.body()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if self.retry_after is not None:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        exchange.send_head(self.status, headers)
        await exchange.send(body)
        exchange.end()
