"""What a request's method, target and headers say: its endpoint, its id, and whether its body can be read."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from translator import endpoints, responses, unserved
from translator.bodies.names import check_query
from translator.endpoints import BodyKind, Endpoint
from translator.errors import Refusal
from translator.message import Request

#: Visible ASCII, not too long.
_USABLE_ID = re.compile(rb"[!-~]{1,128}").fullmatch
ENCODING = b"content-encoding"


def endpoint_of(request: Request) -> Endpoint:
    """Returns the endpoint that the request names.

    Raises:
        Refusal: there is none, it has another method, or its query has a name that another parser could take for
            ours.
    """
    path, _, query = request.target.partition(b"?")
    endpoint = endpoints.find(path)
    if endpoint is None:
        raise unserved.refusal(request.method, path)
    if request.method != endpoint.method and request.method not in endpoint.methods:
        message = f"{request.method} {endpoint.path} is not served by this gateway: use {endpoint.method}."
        raise Refusal(405, "method_not_allowed", message, headers={"allow": ", ".join(endpoint.methods)})
    if query and endpoint.body is not BodyKind.NONE:
        check_query(query.decode("latin-1"))
    return endpoint


def stored_response(request: Request) -> str:
    """Returns the id of the existing response that the request is about; empty if it is about none."""
    return responses.named(request.method, request.target.partition(b"?")[0])


def check_encoding(request: Request) -> None:
    """Refuses a body that could not be read, by the headers alone."""
    if request.headers[ENCODING].lower() not in {b"identity", b""}:
        message = "The request body must not be compressed: send it without content-encoding."
        raise Refusal(400, "unsupported_content_encoding", message)


def id_of(headers: Mapping[bytes, bytes]) -> str:
    """Returns Envoy's id of the request, which no client can choose, or a new id if Envoy's cannot be logged."""
    sent = headers.get(b"x-request-id", b"")
    return sent.decode() if _USABLE_ID(sent) else secrets.token_hex(16)
