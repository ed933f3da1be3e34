"""Turns exceptions of a gRPC service's methods into gRPC statuses."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc

from xds_server.accounts.errors import TooManyGuessesError
from xds_server.rpc.status_codes import status_of

T = TypeVar("T")
Method = Callable[[Any, Any, "grpc.aio.ServicerContext[Any, Any]"], Awaitable[T]]
StreamMethod = Callable[[Any, Any, "grpc.aio.ServicerContext[Any, Any]"], AsyncIterator[T]]


def reporting(method: Method[T]) -> Method[T]:
    """Decorates `method` so that what it raises becomes a gRPC status."""

    @functools.wraps(method)
    async def call(service: Any, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> T:
        try:
            return await method(service, request, context)
        except grpc.aio.AbortError:
            raise  # a call that consists of others: one of them has reported the error
        except Exception as error:  # noqa: BLE001  # after any error, the caller gets a status and no traceback
            code, message = status_of(error)
            if isinstance(error, TooManyGuessesError):
                context.set_trailing_metadata((("retry-after", str(error.seconds)),))
        await context.abort(code, message)
        raise AssertionError("abort returns never")

    return call


def reporting_stream(method: StreamMethod[T]) -> StreamMethod[T]:
    """Same as `reporting`, for a method that streams its answers."""

    @functools.wraps(method)
    async def call(service: Any, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[T]:
        try:
            async for answer in method(service, request, context):
                yield answer
        except Exception as error:  # noqa: BLE001  # as above
            code, message = status_of(error)
        else:
            return
        await context.abort(code, message)

    return call
