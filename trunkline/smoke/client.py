"""A client that sends small requests to the OpenAI listener."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from trunkline.errors import ControlError

#: A model may have to be loaded first.
_SECONDS = 120.0
_PROMPT = "Answer with the single word: ready"
_MOST_TOKENS = 16


@dataclass(frozen=True, slots=True)
class SmokeResponse:
    """A complete answer. `ms` is the time to its last byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ms: int

    @property
    def id(self) -> str:
        """The request's id, by which its usage record is found."""
        return self.headers.get("x-request-id", "")

    @property
    def target(self) -> str:
        """The target that answered; empty if none did."""
        return self.headers.get("x-trunkline-target", "")

    @property
    def attempts(self) -> int:
        """The number of attempts; 0 if no target was tried."""
        return int(self.headers.get("x-trunkline-attempts", "0") or 0)

    @property
    def error_code(self) -> str:
        """The `error.code` of OpenAI's format; empty if the body has none."""
        try:
            return str(json.loads(self.body)["error"]["code"] or "")
        except (ValueError, KeyError, TypeError):
            return ""

    @property
    def problem(self) -> str:
        """The error of a refused request on one line; empty for a success. Never a completion."""
        if self.status < 400:
            return ""
        try:
            said = str(json.loads(self.body)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            said = "an answer that is not in OpenAI's shape"
        return f"{' '.join(filter(None, (str(self.status), self.error_code)))}: {said}"[:300]


class SmokeClient:
    """Sends requests to `base_url`, such as `https://host/v1`. `ca_file` replaces the system's CAs."""

    def __init__(self, base_url: str, ca_file: str | None = None) -> None:
        self._url = urlsplit(base_url.rstrip("/"))
        if self._url.scheme not in {"http", "https"} or not self._url.hostname:
            raise ControlError(f"--base-url: expected http(s)://HOST[:PORT]/v1, not {base_url!r}")
        self._tls = ssl.create_default_context(cafile=ca_file) if self._url.scheme == "https" else None

    @property
    def host(self) -> str:
        return self._url.hostname or ""

    def chat(self, key: str, model: str, *, stream: bool = False, text: str = _PROMPT) -> SmokeResponse:
        """Raises ControlError if there is no answer."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "max_completion_tokens": _MOST_TOKENS,
        }
        if stream:
            body["stream"] = True
        return self.post("/chat/completions", key, body)

    def embed(self, key: str, model: str) -> SmokeResponse:
        """Raises ControlError if there is no answer."""
        return self.post("/embeddings", key, {"model": model, "input": "ready"})

    def post(self, path: str, key: str, body: Mapping[str, Any]) -> SmokeResponse:
        """Sends a request and reads the whole answer. Raises ControlError if there is none."""
        host, port = self._url.hostname or "", self._url.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=self._tls)
            if self._tls is not None
            else http.client.HTTPConnection(host, port, timeout=_SECONDS)
        )
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        start = time.monotonic()
        try:
            connection.request("POST", self._url.path + path, json.dumps(body).encode(), headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ControlError(
                f"no answer from {self._url.scheme}://{self._url.netloc}: {error}; is the gateway ready?"
            ) from error
        finally:
            connection.close()
        taken = round((time.monotonic() - start) * 1000)
        received = {name.lower(): value for name, value in response.getheaders()}
        return SmokeResponse(response.status, received, content, taken)
