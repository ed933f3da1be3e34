"""Handles what is special about browsers: their cookie, and that other sites' pages make them send it.

A call without `authorization`, with a cookie or not, may change something only if our own page sent it. Such a
call has the header `x-trunkline-csrf`, which other sites' pages cannot set without our permission, and comes from
our own origin.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from xds_server.accounts import tokens
from xds_server.admin.oidc import FLOW, SET_FLOW
from xds_server.admin.sign_in import SET_SESSION
from xds_server.rest.errors import RestError

#: Browsers take a cookie with the first prefix only over https and only for this host, and let no subdomain set
#: it.
_SESSION, _FLOW = "trunkline_session", "trunkline_flow"
_SECURE = "__Host-"
CSRF_HEADER = "x-trunkline-csrf"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_secure(request: web.BaseRequest, *, always: bool) -> bool:
    """Returns whether the browser speaks https. Envoy sets the header on every request."""
    return always or request.headers.get("x-forwarded-proto") == "https"


def credentials(request: web.BaseRequest, *, is_open: bool, secure: bool) -> list[tuple[str, str]]:
    """Returns the metadata that stands for the browser's cookie; empty without a cookie.

    `is_open`: anybody may make this call. Raises RestError for a call that another site's page may have caused.
    """
    if is_open or _name(_SESSION, secure) in request.cookies:
        _require_own_page(request)
    return credentials_of_return(request, secure=secure)


def credentials_of_return(request: web.BaseRequest, *, secure: bool) -> list[tuple[str, str]]:
    """Same as `credentials`, for a browser that an identity provider sends back, necessarily from another
    site. The sign-in that this browser has begun protects it.
    """
    found = []
    value = request.cookies.get(_name(_SESSION, secure), "")
    if tokens.kind_of(value) is tokens.TokenKind.SESSION and value.isascii() and value.isprintable():
        found.append(("authorization", f"Bearer {value}"))
    begun = request.cookies.get(_name(_FLOW, secure), "")
    if begun and begun.isascii() and begun.isprintable():
        found.append((FLOW, begun))
    return found


def keep(response: web.StreamResponse, metadata: Any, *, secure: bool) -> None:
    """Sets or ends cookies according to a call's trailing metadata."""
    for cookie, name in ((_SESSION, SET_SESSION), (_FLOW, SET_FLOW)):
        said = metadatum(metadata, name)
        if said is None:
            continue
        value, _, seconds = said.partition(" ")
        response.set_cookie(
            _name(cookie, secure),
            value,
            max_age=int(seconds),
            path="/",
            secure=secure,
            httponly=True,
            samesite="Lax",
        )


def _name(cookie: str, secure: bool) -> str:
    return f"{_SECURE}{cookie}" if secure else cookie


def metadatum(metadata: Any, name: str) -> str | None:
    """Returns a text of a call's trailing metadata."""
    found = dict(metadata or ()).get(name)
    return found if isinstance(found, str) else None


def _require_own_page(request: web.BaseRequest) -> None:
    headers = request.headers
    site = headers.get("sec-fetch-site", "same-origin")
    if request.method in _READING:
        if site not in {"same-origin", "none"}:
            raise _forbidden("it comes from another site's page (Sec-Fetch-Site)")
        return
    if headers.get(CSRF_HEADER) != "1":
        raise _forbidden(f"send the header {CSRF_HEADER}: 1, or `authorization: Bearer <token>`")
    if site != "same-origin":
        raise _forbidden("it comes from another site's page (Sec-Fetch-Site)")
    origin = headers.get("origin")
    if origin is not None and not _is_own(origin, request.host):
        raise _forbidden("it comes from another site's page (Origin)")


def _is_own(origin: str, host: str) -> bool:
    """Returns whether `origin`, which may be `null`, has the host and port that the browser requested. A proxy
    that ends TLS before us may have changed only the scheme.
    """
    scheme = origin.partition("://")[0]
    found, own = _host_and_port(origin), _host_and_port(f"{scheme}://{host}")
    return found is not None and found == own


def _host_and_port(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None


def _forbidden(why: str) -> RestError:
    return RestError(403, "permission_denied", f"this call is refused: {why}")
