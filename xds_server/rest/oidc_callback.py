"""The address to which identity providers send browsers back: `GET /admin/v1/oidc/{provider}:callback`. It is not
a call of the API.

The handler makes the call FinishOidc, sets the cookie, and sends the browser on to the console. After a failure,
the fragment has the outcome: `/#sign-in-error=denied`, `refused` or `failed`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from aiohttp import web
from trunkline_proto.admin.v1 import accounts_pb2 as pb

from xds_server.accounts.oidc.flow import is_own_path

_PATH = re.compile(r"/admin/v1/oidc/([a-z0-9._-]{1,63}):callback")
_REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
#: Makes the call; returns the answer and its trailing metadata.
Finish = Callable[[pb.FinishOidcRequest], Awaitable[tuple[pb.FinishOidcResponse, Any]]]


def provider_of(request: web.BaseRequest) -> str:
    """Returns the provider whose answer a request brings; empty for any other request."""
    match = _PATH.fullmatch(request.path) if request.method == "GET" else None
    return match[1] if match is not None else ""


async def finish(request: web.BaseRequest, provider: str, call: Finish) -> tuple[web.Response, Any]:
    """Returns the answer, and the trailing metadata of the call, which is empty if nobody was signed in."""
    query = request.query
    given = {name: query.getall(name, []) for name in ("state", "code", "iss", "error")}
    if given["error"]:
        return _to("/#sign-in-error=denied"), ()
    if any(len(values) > 1 for values in given.values()) or not (given["state"] and given["code"]):
        return _to("/#sign-in-error=failed"), ()
    wanted = pb.FinishOidcRequest(
        provider=provider, state=given["state"][0], code=given["code"][0], iss="".join(given["iss"])
    )
    try:
        answer, metadata = await call(wanted)
    except grpc.aio.AioRpcError as error:
        return _to(f"/#sign-in-error={'refused' if error.code() in _REFUSED else 'failed'}"), ()
    return _to(answer.next if is_own_path(answer.next) else "/"), metadata


def _to(path: str) -> web.Response:
    headers = {"location": path, "cache-control": "no-store", "referrer-policy": "no-referrer"}
    return web.Response(status=303, headers=headers)
