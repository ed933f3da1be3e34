"""Answers requests for the console's files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from xds_server.console import documentation
from xds_server.console.files import File, Files, directory, load, reference

#: The page loads scripts, styles and data only from its own origin, runs no text as code, makes no element of
#: text, and is shown inside no other page. Images are those that a user puts into the playground.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
#: Headers of everything that browsers get as a page, a script or a style.
HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Console:
    """Serves the console's files, and reads them when the first one is requested."""

    def __init__(self) -> None:
        self._files: asyncio.Task[Files] | None = None
        self._documentation: asyncio.Task[Mapping[str, File]] | None = None
        self._reference: File | None = None

    async def answer(self, request: web.BaseRequest) -> web.Response | None:
        """Returns the answer; None for a request other than GET or HEAD of one of the files. A query changes
        nothing.
        """
        path = request.raw_path.partition("?")[0]
        if request.method not in {"GET", "HEAD"}:
            return None
        if path == documentation.PREFIX.rstrip("/"):
            return web.Response(status=308, headers={**HEADERS, "location": documentation.PREFIX})
        if path.startswith(documentation.PREFIX):
            return await self._page(path, request)
        if not (path == "/" or path.startswith("/console/")):
            return None
        if self._files is None:
            self._files = asyncio.create_task(asyncio.to_thread(load, directory()))
        file = (await asyncio.shield(self._files)).by_path.get(path)
        return None if file is None else _answer(file, request)

    async def _page(self, path: str, request: web.BaseRequest) -> web.Response:
        """Returns a page of the documentation, or one that says that there is none, or how to build the site."""
        if self._documentation is None:
            root = await asyncio.to_thread(documentation.directory)
            if root is None:
                return _answer(documentation.missing(), request, status=404)
            self._documentation = asyncio.create_task(asyncio.to_thread(documentation.load, root))
        file = (await asyncio.shield(self._documentation)).get(path)
        return _answer(documentation.nowhere(), request, status=404) if file is None else _answer(file, request)

    async def reference(self, request: web.BaseRequest) -> web.Response:
        """Returns the OpenAPI document."""
        if self._reference is None:
            self._reference = await asyncio.to_thread(reference)
        return _answer(self._reference, request)


def _answer(file: File, request: web.BaseRequest, *, status: int = 200) -> web.Response:
    compressed = _takes_gzip(request.headers.get("accept-encoding", ""))
    etag = file.etag(compressed=compressed)
    headers = {**HEADERS, "etag": etag, "cache-control": file.cache_control}
    if status == 200 and _is_known(etag, request.headers.get("if-none-match", "")):
        return web.Response(status=304, headers=headers)
    headers["content-type"] = file.content_type
    if compressed:
        headers["content-encoding"] = "gzip"
    return web.Response(body=file.compressed if compressed else file.content, status=status, headers=headers)


def _takes_gzip(accepted: str) -> bool:
    """Returns whether the header `accept-encoding` has gzip with a weight above 0 (RFC 9110 section 12.5.3)."""
    for each in accepted.lower().split(","):
        coding, _, weight = each.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return not weight or weight.strip("0.") != ""
    return False


def _is_known(etag: str, given: str) -> bool:
    """Returns whether `if-none-match` has the tag, by the weak comparison that it requires (RFC 9110 section
    13.1.2).
    """
    tags = {each.strip().removeprefix("W/") for each in given.split(",")}
    return etag in tags or "*" in tags
