"""xDS clients that subscribe to everything and never read, and one that answers guessed nonces."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
from trunkline_proto.xds.v1 import discovery_pb2

from bench.neighbours.scene import Prey
from xds_server.protocol.snapshot import CLUSTER, LISTENER, ROUTE
from xds_server.transport.ads import SERVICE

CLIENTS = 200
#: A second.
GUESSES = 500.0
_METHOD = f"/{SERVICE}/DeltaAggregatedResources"
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))


async def attack(prey: Prey, outcomes: Counter[str]) -> None:
    """Attacks until it is cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(max(2, round(CLIENTS * prey.scale))):
            tasks.create_task(_never_reads(prey, f"stuck-{number}", outcomes))
        tasks.create_task(_guesses(prey, outcomes))


def _metadata(prey: Prey) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {prey.admin_token}"),)


def _call(prey: Prey, channel: grpc.aio.Channel) -> Any:
    method = channel.stream_stream(
        _METHOD,
        request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
        response_deserializer=None,
    )
    call: Any = method  # without messages to begin with: they are written one by one
    return call(metadata=_metadata(prey))


async def _subscribe(call: Any, name: str) -> None:
    node = discovery_pb2.Node(id=name, cluster="envoy", user_agent_name="bench")
    for type_url in (CLUSTER, LISTENER, ROUTE):
        names = ["openai"] if type_url == ROUTE else []
        request = discovery_pb2.DeltaDiscoveryRequest(node=node, type_url=type_url, resource_names_subscribe=names)
        await call.write(request)


async def _never_reads(prey: Prey, name: str, outcomes: Counter[str]) -> None:
    async with grpc.aio.insecure_channel(prey.control, options=_OPTIONS) as channel:
        call = _call(prey, channel)
        try:
            await _subscribe(call, name)
            outcomes["stuck"] += 1
            await call.wait_for_connection()
            await call.code()  # the server has ended the stream
            outcomes["ended by the server"] += 1
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            outcomes["refused"] += 1


async def _guesses(prey: Prey, outcomes: Counter[str]) -> None:
    async with grpc.aio.insecure_channel(prey.control, options=_OPTIONS) as channel:
        for attempt in itertools.count():
            call = _call(prey, channel)
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await _subscribe(call, f"guesser-{attempt}")
                for guess in itertools.count(1):
                    for type_url in (CLUSTER, LISTENER, ROUTE):
                        await call.write(
                            discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, response_nonce=str(guess))
                        )
                    outcomes["guesses"] += 1
                    await asyncio.sleep(1 / GUESSES)
            outcomes["guesser ended"] += 1
            await asyncio.sleep(1)
