"""An HTTP client for one local server: bounded in time and size, without redirects and proxies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from node_sidecar.errors import ProbeError

_LIMIT = 8 * 1024 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=5.0, sock_connect=2.0)


@dataclass(frozen=True, slots=True)
class ProbeResponse:
    """The answer of a local server. Its body is bounded by `LocalClient`."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Parses the body.

        Raises:
            ProbeError: the body is not JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ProbeError("the answer is not JSON") from error


class LocalClient:
    """A client of one local server. `base_url` has no trailing slash; `api_key` may be empty."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, api_key: str = "") -> None:
        self.base_url = base_url
        self._session = session
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}

    async def ask(self, path: str, body: Any = None) -> ProbeResponse:
        """Sends a GET, or a POST if there is a body. Returns the response with any status.

        Raises:
            ProbeError: no answer within five seconds, or one that is too long.
        """
        method = "GET" if body is None else "POST"
        try:
            async with self._session.request(
                method,
                self.base_url + path,
                json=body,
                headers=self._headers,
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as response:
                content = bytearray()
                async for chunk in response.content.iter_chunked(64 * 1024):
                    content += chunk
                    if len(content) > _LIMIT:
                        raise ProbeError(f"{path} answers with more than {_LIMIT} bytes")
                return ProbeResponse(response.status, bytes(content))
        except TimeoutError as error:
            raise ProbeError(f"{path} does not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ProbeError(f"{path} cannot be reached ({type(error).__name__})") from error

    async def json(self, path: str, body: Any = None) -> Any:
        """Returns the JSON of a response with status 200.

        Raises:
            ProbeError: another status, not JSON, or no answer.
        """
        answer = await self.ask(path, body)
        if answer.status != 200:
            raise ProbeError(f"{path} answers {answer.status}")
        return answer.json()

    async def find(self, path: str) -> Any:
        """Like `json`, but returns None after any error: for endpoints that a server may lack."""
        try:
            return await self.json(path)
        except ProbeError:
            return None
