"""Simulated delta clients for `bench.control_plane`, in a separate process.

`python -m bench.control_plane_clients ADDRESS COUNT FIRST` connects, subscribes as Envoy does and accepts
everything. It prints `ready` once every client has its first state. On `finish` it prints the time at which each
client received each revision (CLOCK_MONOTONIC, the same in every process).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import grpc.aio
from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.protocol.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE
from xds_server.transport.ads import SERVICE

METHOD = f"/{SERVICE}/DeltaAggregatedResources"
_CHANNEL_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
_EDS_CLUSTER_PREFIX = "nodes/"


class Client:
    """One stream, one connection."""

    def __init__(self, address: str, node: str) -> None:
        self.node = discovery_pb2.Node(id=node, cluster="envoy", user_agent_name="bench")
        self.channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self.received: list[tuple[int, float]] = []
        self.ready = asyncio.Event()

    async def run(self) -> None:
        self.call = self.channel.stream_stream(
            METHOD,
            request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=None,
        )(None)
        await self.send(CLUSTER, node=self.node)
        waiting_for = {CLUSTER, ENDPOINT, LISTENER, ROUTE}
        while True:
            payload = await self.call.read()
            at = time.monotonic()
            if not isinstance(payload, bytes):  # grpc.aio.EOF
                return
            response = discovery_pb2.DeltaDiscoveryResponse.FromString(payload)
            self.received.append((int(response.system_version_info), at))
            if response.type_url == CLUSTER:
                # Large content comes in several responses.
                pools = [each.name for each in response.resources if each.name.startswith(_EDS_CLUSTER_PREFIX)]
                if pools:
                    await self.send(ENDPOINT, subscribe=pools)
                if LISTENER in waiting_for:
                    await self.send(LISTENER)
                    await self.send(ROUTE, subscribe=["openai"])
            await self.send(response.type_url, nonce=response.nonce)
            waiting_for.discard(response.type_url)
            if not waiting_for:
                self.ready.set()

    async def send(
        self,
        type_url: str,
        *,
        node: discovery_pb2.Node | None = None,
        nonce: str = "",
        subscribe: list[str] | None = None,
    ) -> None:
        await self.call.write(
            discovery_pb2.DeltaDiscoveryRequest(
                node=node, type_url=type_url, response_nonce=nonce, resource_names_subscribe=subscribe or []
            )
        )


async def main(address: str, count: int, first: int) -> None:
    clients = [Client(address, f"client-{number}") for number in range(first, first + count)]
    tasks = [asyncio.create_task(client.run()) for client in clients]
    await asyncio.gather(*(client.ready.wait() for client in clients))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for client in clients:
        client.call.cancel()
        await client.channel.close(None)
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps([client.received for client in clients]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
