"""The admin token, asked of every call to a `/trunkline.*` service; other services on the server pass."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import grpc

from xds_server.admin.grpc_errors import status_of
from xds_server.errors import UnauthenticatedError

_GUARDED = "/trunkline."
_SCHEME = "bearer "
_MIN_TOKEN = 16


class TokenInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Refuses with UNAUTHENTICATED whoever does not send `authorization: Bearer <token>`.

    `but` are services, by their full names, that decide by themselves who may call: an interceptor does not learn
    on which socket a call came.
    """

    def __init__(self, token: str, *, but: Collection[str] = ()) -> None:
        if len(token) < _MIN_TOKEN:
            raise ValueError(f"the admin token needs {_MIN_TOKEN} characters or more")
        self._token = token.encode()
        self._unguarded = tuple(f"/{service}/" for service in but)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_GUARDED) or method.startswith(self._unguarded):
            return handler
        try:
            self.check(handler_call_details.invocation_metadata)
        except UnauthenticatedError as error:
            return _refusing(handler, *status_of(error))
        return handler

    def check(self, metadata: Any) -> None:
        """Raises UnauthenticatedError. The time it takes says nothing about the token."""
        values = [value for name, value in metadata or () if name == "authorization"]
        if len(values) != 1 or not isinstance(values[0], str) or not values[0].lower().startswith(_SCHEME):
            raise UnauthenticatedError(
                "send the metadata `authorization: Bearer <admin token>` (once); the token is in credentials.json "
                "of the data directory"
            )
        if not hmac.compare_digest(values[0][len(_SCHEME) :].encode(), self._token):
            raise UnauthenticatedError(
                "this is not the admin token; it is in credentials.json of the data directory"
            )


def _refusing(handler: Any, code: grpc.StatusCode, message: str) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler of the same shape, so that the caller gets the status and not a broken stream."""

    async def refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(code, message)

    async def refuse_stream(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        await context.abort(code, message)
        yield  # makes it the generator that a streaming method is

    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    behaviour = refuse_stream if handler.response_streaming else refuse
    return make(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
