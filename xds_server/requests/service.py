"""Serves trunkline.requests.v1.Requests: translators keep a call open, which carries inquiries to them."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
from trunkline_proto.requests.v1 import requests_pb2 as pb, requests_pb2_grpc

from xds_server.errors import UnauthenticatedError
from xds_server.requests.attending import TranslatorCall, Translators
from xds_server.rpc.authorise import WHAT_IS_NEEDED, Authorise, anyone
from xds_server.rpc.reporting import reporting_stream

#: For TokenInterceptor: this service checks the token itself, because it knows the peer.
SERVICE = pb.DESCRIPTOR.services_by_name["Requests"].full_name

_MAX_NAME = 128

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class RequestsService(requests_pb2_grpc.RequestsServicer):
    """Implements the service. `authorise` is called for every call, as for every xDS stream: a translator needs
    the same for both.
    """

    def __init__(self, translators: Translators, *, authorise: Authorise = anyone) -> None:
        self._translators = translators
        self._authorise = authorise

    @reporting_stream
    async def Attend(
        self, request_iterator: AsyncIterator[pb.AttendRequest], context: Context
    ) -> AsyncIterator[pb.AttendResponse]:
        """Sends a translator the inquiries of the Admin service, and takes its answers, while the stream lasts."""
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        if not self._authorise(metadata, context.peer()):
            raise UnauthenticatedError(WHAT_IS_NEEDED)
        first = await anext(aiter(request_iterator), None)
        if first is None:
            return
        attending = self._translators.joined(first.translator[:_MAX_NAME], first.gateway[:_MAX_NAME])
        reading = asyncio.create_task(_read(request_iterator, attending))
        try:
            while True:
                sending = asyncio.ensure_future(attending.inquiries.get())
                await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
                if not sending.done():
                    sending.cancel()
                    return
                yield sending.result()
        finally:
            reading.cancel()
            self._translators.left(attending)


async def _read(answers: AsyncIterator[pb.AttendRequest], attending: TranslatorCall) -> None:
    async for answer in answers:
        attending.answered(answer)
