"""The transport of inquiries: one call to the control plane, which is reopened for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger
from trunkline_proto.requests.v1 import requests_pb2 as pb, requests_pb2_grpc

from translator.control_plane import CHANNEL_OPTIONS, ControlPlaneAddress

_FIRST_DELAY, _MAX_DELAY = 0.1, 2.0
#: For a control plane of an earlier version, which does not have this call.
_UNKNOWN_DELAY = 60.0

Answer = Callable[[pb.AttendResponse], Awaitable[pb.AttendRequest]]


async def attend(
    control: ControlPlaneAddress, name: str, answer: Answer, log: FilteringBoundLogger, gateway: str = ""
) -> None:
    """Answers inquiries until it is cancelled. `name` is the translator's, `gateway` the id of its gateway."""
    metadata = (("authorization", f"Bearer {control.token}"),) if control.token else ()
    delay, logged = _FIRST_DELAY, ""
    async with grpc.aio.insecure_channel(control.address, options=CHANNEL_OPTIONS) as channel:
        stub = requests_pb2_grpc.RequestsStub(channel)
        while True:
            answers: asyncio.Queue[pb.AttendRequest] = asyncio.Queue()
            answers.put_nowait(pb.AttendRequest(translator=name, gateway=gateway))
            call = stub.Attend(_drain(answers), metadata=metadata)
            try:
                async for inquiry in call:
                    delay, logged = _FIRST_DELAY, ""
                    answers.put_nowait(await answer(inquiry))
                reason = "the control plane ended the call"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    delay = _UNKNOWN_DELAY
            finally:
                call.cancel()
            if reason != logged:  # once, not with every attempt
                log.info("no inquiries about requests", reason=reason)
                logged = reason
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            delay = min(delay * 2, max(delay, _MAX_DELAY))


async def _drain(answers: asyncio.Queue[pb.AttendRequest]) -> AsyncIterator[pb.AttendRequest]:
    while True:
        yield await answers.get()
