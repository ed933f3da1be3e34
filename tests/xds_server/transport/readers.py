"""Clients that never read, in a process: `python -m tests.xds_server.transport.readers ADDRESS COUNT MODE`.

Each has a connection and a stream, subscribes, and guesses nonces.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio
from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.protocol.snapshot import CLUSTER, LISTENER, POLICY_KEY
from xds_server.transport.ads import SERVICE

METHODS = {"delta": "DeltaAggregatedResources", "sotw": "StreamAggregatedResources"}
GUESSES = 60


async def main(address: str, count: int, mode: str) -> None:
    request: Any = discovery_pb2.DeltaDiscoveryRequest if mode == "delta" else discovery_pb2.DiscoveryRequest
    channels, calls = [], []
    for number in range(count):
        channel = grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
        call = channel.stream_stream(
            f"/{SERVICE}/{METHODS[mode]}",
            request_serializer=request.SerializeToString,
            response_deserializer=None,
        )(None)
        channels.append(channel)
        calls.append(call)
        node = discovery_pb2.Node(id=f"reader-{number}", cluster="envoy")
        for type_url in (CLUSTER, LISTENER, POLICY_KEY):
            await call.write(request(type_url=type_url, node=node))
    for guess in range(GUESSES):
        for call in calls:
            await call.write(request(type_url=CLUSTER, response_nonce=f"{guess}"))
    sys.stdout.write("guessed\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    for channel in channels:
        await channel.close(None)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
