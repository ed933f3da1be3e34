"""A node behind NAT, unreachable from outside: it joins, serves, and reconnects by itself after its
link was cut.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.load import Load
from tests.gateway.nodes.asking import figure, first_answer
from tests.gateway.nodes.behind_nat import BehindNat
from tests.gateway.nodes.node_process import NodeProcess
from tests.gateway.process import GatewayProcess
from tests.waiting import until

pytestmark = pytest.mark.network

#: Seconds for which the link is cut. The test also passes with 30; see docs/nodes.md.
CUT_SECONDS = 10.0
FIRST_BYTE_SECONDS = 4.0
#: Seconds that a busy machine may add. Without the limit a request would wait for 300 s.
SLACK_SECONDS = 30.0
_CONNECT = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2).close()"
_LISTEN = (
    "import socket; s=socket.create_server(('', 0)); print(s.getsockname()[1], flush=True); s.accept(); s.accept()"
)


@pytest.fixture(scope="module")
def nat() -> Iterator[BehindNat]:
    with BehindNat() as made:
        yield made


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            {
                "model": "lab",
                "targets": [{"nodes": "lab"}, {"provider": "a", "model": "lab", "tier": 1}],
                "timeouts": {"first_byte": f"{FIRST_BYTE_SECONDS:g}s"},
            }
        ],
    }


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], nat: BehindNat
) -> Iterator[GatewayProcess]:
    arguments = ("--tunnel-listen", f"{nat.gateway_address}:0", "--envoy-concurrency", "2")
    data_dir: Path = tmp_path_factory.mktemp("gw") / "data"
    with GatewayProcess(data_dir, config, environment=PROVIDER_CREDENTIALS, arguments=arguments) as running:
        yield running


@pytest.fixture
def node(gateway: GatewayProcess, nat: BehindNat, tmp_path: Path) -> Iterator[NodeProcess]:
    with (
        ProviderProcess("lab", models=["lab"], launcher=nat.machine) as server,
        NodeProcess(
            gateway, tmp_path / "node", server.base_url.removesuffix("/v1"), launcher=nat.machine
        ) as joined,
    ):
        yield joined


def test_there_is_no_way_in(nat: BehindNat) -> None:
    """Neither the router's address nor the machine's own leads in, even with a route to it."""
    listening = subprocess.Popen(
        [*nat.machine, sys.executable, "-c", _LISTEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert listening.stdout is not None
        port = listening.stdout.readline().strip()

        def connects(address: str, launcher: tuple[str, ...] = ()) -> bool:
            command = [*launcher, sys.executable, "-c", _CONNECT, address, port]
            return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0

        assert connects(nat.machine_address, nat.router), "the machine does not listen for its neighbours"
        nat.add_route()
        assert not connects(nat.router_address)
        assert not connects(nat.machine_address)
    finally:
        listening.kill()
        listening.communicate()


@pytest.mark.slow
async def test_a_node_is_back_by_itself_after_its_link_was_cut(
    gateway: GatewayProcess, nat: BehindNat, node: NodeProcess
) -> None:
    await first_answer(gateway, "lab", target="nodes/lab")
    figure("behind NAT, from join to the first 200", time.monotonic() - node.started, "s")
    async with Load(gateway.base_url, gateway.api_key, "lab", rate=20) as load:
        await load.wait_for(20, target="nodes/lab")
        cut = time.monotonic()
        nat.cut()
        nat.forget()
        await load.wait_for(10, target="a/lab")
        while time.monotonic() < cut + CUT_SECONDS:
            await load.wait_for(5)
        restored = time.monotonic()
        nat.restore()
        await load.wait_for(1, target="nodes/lab")
        back = time.monotonic() - restored
        # Its share grows, starting with room for one request.
        await until(lambda: {each.target for each in load.outcomes[-20:]} == {"nodes/lab"})
    figure(f"after {CUT_SECONDS:g} s without a link, the node is back within", back, "s")
    assert not load.problems
    slowest = max(each.duration for each in load.outcomes)
    figure("slowest request meanwhile", slowest, "s")
    assert slowest < FIRST_BYTE_SECONDS + SLACK_SECONDS
