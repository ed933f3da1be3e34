"""Sends one request to an identity provider over HTTP. The answer is bounded, and redirects are never followed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from xds_server.accounts.errors import ProviderError

_SECONDS = 10.0
_MAX_BYTES = 512 * 1024


async def ask(
    method: str,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Returns the answer, a JSON object. Raises ProviderError."""
    import aiohttp  # noqa: PLC0415  # some tenths of a second

    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    sent = {"accept": "application/json", **(headers or {})}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.request(method, url, data=form, headers=sent, allow_redirects=False) as response,
        ):
            content = await response.content.read(_MAX_BYTES + 1)
            while len(content) <= _MAX_BYTES and (more := await response.content.read(_MAX_BYTES)):
                content += more
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise ProviderError(f"{shown(url)} does not answer ({type(error).__name__})") from error
    if len(content) > _MAX_BYTES:
        raise ProviderError(f"{shown(url)} answers with more than {_MAX_BYTES:,} bytes")
    if status != 200:
        raise ProviderError(f"{shown(url)} answers with status {status}")
    try:
        said = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"{shown(url)} answers with something other than JSON") from error
    if not isinstance(said, dict):
        raise ProviderError(f"{shown(url)} answers with something other than an object")
    return said


def shown(url: str) -> str:
    """Returns the URL without its query, which may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
