"""A provider for demonstrations: answers every chat request at once with one word, from this process."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

_WORDS = ("ready", ".")
_USAGE = {"prompt_tokens": 12, "completion_tokens": len(_WORDS), "total_tokens": 12 + len(_WORDS)}


class DemoProvider:
    """Listens on a free port of loopback while its `with` block lasts, and serves the model `demo`."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="demo provider", daemon=True)

    @property
    def address(self) -> str:
        """The URL, `http://127.0.0.1:PORT`; the API is below `/v1`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, failing: bool) -> None:
        """Sets whether every answer is a 500 from now on."""
        self._server.failing = failing

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    failing = False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, {"object": "list", "data": [{"id": "demo", "object": "model", "owned_by": "trunkline"}]})

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        try:
            asked = json.loads(self.rfile.read(length))
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            self._answer(400, {"error": {"message": "a JSON object is expected", "type": "invalid_request_error"}})
        elif self._is_failing():
            self._answer(500, {"error": {"message": "this provider fails on purpose", "type": "server_error"}})
        elif asked.get("stream"):
            self._stream(asked)
        else:
            message = {"role": "assistant", "content": "".join(_WORDS)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._answer(200, {**_head("chat.completion"), "choices": [choice], "usage": _USAGE})

    def log_message(self, *_: Any) -> None:
        """Logs nothing: the smoke test prints what it saw."""

    def _is_failing(self) -> bool:
        return isinstance(self.server, _Server) and self.server.failing

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, asked: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        head = _head("chat.completion.chunk")
        for word in _WORDS:
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            self._event(json.dumps({**head, "choices": [choice]}))
        self._event(json.dumps({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        if (asked.get("stream_options") or {}).get("include_usage"):
            self._event(json.dumps({**head, "choices": [], "usage": _USAGE}))
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-demo", "object": kind, "created": int(time.time()), "model": "demo"}
