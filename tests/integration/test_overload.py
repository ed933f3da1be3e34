"""An Envoy whose memory is used up, with its real bootstrap and listeners."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import grpc.aio
import pytest

from tests.ports import ReservedPort
from tests.waiting import until_answered
from trunkline import envoy, envoy_module
from trunkline.layout import Layout
from trunkline.memory import EnvoyMemory
from xds_server.clients import ClientRegistry
from xds_server.model import DesiredState
from xds_server.resources.builder import Builder
from xds_server.resources.settings import EdgeSettings
from xds_server.transport.ads import SERVER_OPTIONS, AdsServer

pytestmark = pytest.mark.envoy

#: Bytes: less than any Envoy needs.
HEAP = 1024 * 1024


async def test_clients_are_asked_to_come_back_later(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "d")
    layout.prepare()
    layout.bootstrap.write_text(envoy.bootstrap(layout, EnvoyMemory(HEAP), 10_000))
    clients, admin = ReservedPort(), ReservedPort()
    edge = EdgeSettings(openai_listen=("127.0.0.1", clients.number), admin_listen=("127.0.0.1", admin.number))
    xds = AdsServer(Builder(edge).build(1, DesiredState(1), {}), ClientRegistry(), quiet=0)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((xds.handler(),))
    server.add_insecure_port(f"unix:{layout.xds_socket}")
    await server.start()
    with layout.log("envoy").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(envoy.binary(), "-c", layout.bootstrap, "--concurrency", "1"),
            *("--service-node", "envoy", "--service-cluster", "envoy"),
            env=envoy.environment(layout, envoy_module.directory(layout.data_dir)),
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as session:

            async def refused() -> aiohttp.ClientResponse | None:
                try:
                    answer = await session.get(f"http://127.0.0.1:{clients.number}/v1/models")
                except aiohttp.ClientConnectionError:
                    return None
                # Envoy looks at its memory four times a second.
                return answer if b"policy_unavailable" not in await answer.read() else None

            answer = await until_answered(refused)
            assert answer is not None
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            error = (await answer.json())["error"]
            assert error == {
                "message": "The gateway has no memory left for more requests. Send the request again later.",
                "type": "server_error",
                "param": None,
                "code": "gateway_overloaded",
            }
    finally:
        process.terminate()
        await process.wait()
        xds.close()
        await server.stop(0.1)
