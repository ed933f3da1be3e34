"""Guards every call to a `/trunkline.*` service: identifies the caller and checks that their role allows the call.
Other services on the server pass.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from trunkline_proto.admin.v1 import admin_pb2, console_pb2

from xds_server.accounts import permissions
from xds_server.accounts.caller import Caller, calling
from xds_server.accounts.permissions import RequiredRole
from xds_server.accounts.sessions import DEFAULT, Lifetime
from xds_server.admin.authenticate import Authenticator
from xds_server.admin.references import Resolver
from xds_server.errors import UnauthenticatedError
from xds_server.rpc.status_codes import status_of
from xds_server.store import AsyncStore

_GUARDED = "/trunkline."
_SERVICES = (admin_pb2.DESCRIPTOR.services_by_name["Admin"], console_pb2.DESCRIPTOR.services_by_name["Console"])
#: Services whose methods users may call too.
_BY_ROLE = tuple(f"/{each.full_name}/" for each in _SERVICES)

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class TokenInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Refuses callers without a valid `authorization: Bearer <token>` with UNAUTHENTICATED, and callers whose role
    does not allow the call with PERMISSION_DENIED.

    The Admin and Console services accept the admin token and, with a store, users' sessions and personal tokens.
    The other services accept only the admin token. `but` are services, by their full names, that decide for
    themselves who may call, because an interceptor does not learn on which socket a call came.
    """

    def __init__(
        self,
        token: str,
        *,
        but: Collection[str] = (),
        store: AsyncStore | None = None,
        lifetime: Lifetime = DEFAULT,
    ) -> None:
        self._authenticator = Authenticator(token, store, lifetime)
        self._store = store
        self._resolver = Resolver(store)
        self._unguarded = tuple(f"/{service}/" for service in but)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Wraps the handler of a guarded method, so that it runs only for a caller who may make the call, and
        parses only then.
        """
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_GUARDED):
            return handler
        if method.startswith(self._unguarded):
            return self._bounded(handler)
        metadata = handler_call_details.invocation_metadata
        try:
            if not method.startswith(_BY_ROLE):
                self._authenticator.require_admin_token(metadata)
                return handler
            caller = await self.authenticate(method, metadata)
            permissions.require_possible(permissions.rule_of(method), caller)
        except Exception as error:  # noqa: BLE001  # such as a database that is gone
            return _refusing(handler, *status_of(error))
        return self._checking(handler, method, caller)

    def is_open(self, method: str) -> bool:
        """Returns whether anybody may call a method, given by its full name."""
        return permissions.rule_of(method).need is RequiredRole.ANYBODY

    async def is_reached_by_https(self) -> bool:
        """Returns whether browsers reach the console over https, whichever proxy stands before Envoy."""
        if self._store is None:
            return False
        return (await self._store.load()).gateway.accounts.console_url.startswith("https:")

    async def authenticate(self, method: str, metadata: Any) -> Caller:
        """Returns the caller; NOBODY is enough for a method that anybody may call. `method` is empty for one that
        does not exist.

        Raises UnauthenticatedError.
        """
        if self.is_open(method):
            return await self._authenticator.caller_if_any(metadata)
        return await self._authenticator.caller(metadata)

    def _bounded(self, handler: Any) -> _Handler:
        """Returns `handler`, which decides who may call. It parses large requests only of those who surely may."""
        if handler.request_streaming or handler.response_streaming:
            return handler  # type: ignore[no-any-return]

        async def behave(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if len(raw) > permissions.MAX_ANYBODYS_BYTES and not (context.peer() or "").startswith("unix:"):
                try:
                    self._authenticator.require_admin_token(context.invocation_metadata())
                except UnauthenticatedError as error:
                    await context.abort(*status_of(error))
            return await handler.unary_unary(await _parsed(handler, raw, context), context)

        return _like(handler, behave)

    def _checking(self, handler: Any, method: str, caller: Caller) -> _Handler:
        """Returns `handler` for a caller whose role allows this very request."""
        rule = permissions.rule_of(method)
        most = permissions.max_bytes(rule, caller)

        async def parsed(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if len(raw) > most:
                await context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, f"the request is larger than {most:,} bytes"
                )
            return await _parsed(handler, raw, context)

        async def check(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            try:
                permissions.require(rule, caller, request)
                await self._resolver.resolve(rule, caller, request)
            except Exception as error:  # noqa: BLE001  # after any error, nothing is done
                code, message = status_of(error)
            else:
                return
            await context.abort(code, message)

        async def behave(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            request = await parsed(raw, context)
            await check(request, context)
            with calling(caller):
                return await handler.unary_unary(request, context)

        async def stream(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            request = await parsed(raw, context)
            await check(request, context)
            with calling(caller):
                async for answer in handler.unary_stream(request, context):
                    yield answer

        return _like(handler, stream if handler.response_streaming else behave)


async def _parsed(handler: Any, raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
    try:
        return handler.request_deserializer(raw)
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request is not a valid message")


def _refusing(handler: Any, code: grpc.StatusCode, message: str) -> _Handler:
    """Returns a handler of the same kind, so that the caller gets the status and not a broken stream."""

    async def refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(code, message)

    async def refuse_stream(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        await context.abort(code, message)
        yield  # makes this a generator, as a streaming method must be

    return _like(handler, refuse_stream if handler.response_streaming else refuse)


def _like(handler: Any, behaviour: Callable[[Any, Any], Any]) -> _Handler:
    """Returns a handler of the same kind. `behaviour` gets the bytes of the request, and parses them once it knows
    that the caller may send so many.
    """
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return make(
        behaviour,
        request_deserializer=None,
        response_serializer=handler.response_serializer,
    )
