"""The transport of the policy: one delta ADS stream over grpc.aio, reopened for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger
from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from translator.control_plane import CHANNEL_OPTIONS, ControlPlaneAddress
from translator.policy.subscription import PolicySubscription

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_FIRST_DELAY = 0.1
_MAX_DELAY = 2.0


Stream = grpc.aio.StreamStreamCall[discovery.DeltaDiscoveryRequest, discovery.DeltaDiscoveryResponse]


async def follow(
    control: ControlPlaneAddress, subscribe: Callable[[], PolicySubscription], log: FilteringBoundLogger
) -> None:
    """Keeps the policy up to date until it is cancelled. `subscribe` creates the state of a new stream."""
    metadata = (("authorization", f"Bearer {control.token}"),) if control.token else ()
    delay, logged = _FIRST_DELAY, ""
    async with grpc.aio.insecure_channel(control.address, options=CHANNEL_OPTIONS) as channel:
        open_stream: grpc.aio.StreamStreamMultiCallable[
            discovery.DeltaDiscoveryRequest, discovery.DeltaDiscoveryResponse
        ] = channel.stream_stream(
            METHOD,
            request_serializer=discovery.DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=discovery.DeltaDiscoveryResponse.FromString,
        )
        while True:
            requests: asyncio.Queue[discovery.DeltaDiscoveryRequest] = asyncio.Queue()
            stream = open_stream(_drain(requests), metadata=metadata)
            answered, reason = await _exchange(stream, requests, subscribe(), log)
            if answered:
                delay, logged = _FIRST_DELAY, ""
            if reason != logged:  # once, not with every attempt
                log.warning("policy stream ended, serving the policy held", reason=reason)
                logged = reason
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            delay = min(delay * 2, _MAX_DELAY)


async def _drain(
    requests: asyncio.Queue[discovery.DeltaDiscoveryRequest],
) -> AsyncIterator[discovery.DeltaDiscoveryRequest]:
    while True:
        yield await requests.get()


async def _exchange(
    stream: Stream,
    requests: asyncio.Queue[discovery.DeltaDiscoveryRequest],
    subscription: PolicySubscription,
    log: FilteringBoundLogger,
) -> tuple[bool, str]:
    """Runs one stream to its end. Returns whether the control plane sent anything, and why the stream ended."""
    answered = False
    try:
        for request in subscription.opening():
            requests.put_nowait(request)
        async for response in stream:
            if not answered:
                answered = True
                log.info("policy stream open")
            answer = subscription.receive(response)
            if answer.refused:
                log.error("policy response refused", type_url=response.type_url, reason=answer.refused)
            else:
                log.debug(
                    "policy response taken in",
                    type_url=response.type_url,
                    resources=len(response.resources),
                    removed=len(response.removed_resources),
                )
            requests.put_nowait(answer.request)
    except grpc.aio.AioRpcError as error:
        return answered, f"{error.code().name}: {error.details()}"
    finally:
        stream.cancel()
    return answered, "the control plane ended the stream"
