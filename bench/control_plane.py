"""`python -m bench.control_plane`: measures the cost of one endpoint's health flip in the control plane, and its
delay.

It uses 10,000 endpoints in 100 pools, 500 routes, and 100 delta clients over gRPC in separate processes. Prints a
table and writes JSON to bench/results/.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import grpc.aio
import structlog

from bench.control_plane_report import table
from bench.errors import BenchError
from bench.lock import exclusive
from xds_server.clients import ClientRegistry
from xds_server.model import DesiredState, NodesTarget, Provider, ProviderTarget, Route
from xds_server.pool import Pool, PoolEndpoint, pool_name
from xds_server.protocol.changes import changes_between
from xds_server.protocol.encoding import ResponseEncoder
from xds_server.protocol.snapshot import ResourceSnapshot
from xds_server.resources.builder import Builder
from xds_server.resources.settings import EdgeSettings
from xds_server.transport.ads import SERVER_OPTIONS, AdsServer

RESULTS = Path(__file__).parent / "results" / "control_plane.json"
SETTLE_SECONDS = 60.0


class Content(Protocol):
    """The served content: a first snapshot, and another one for each flip of an endpoint."""

    def first(self) -> ResourceSnapshot: ...

    def flip(self) -> ResourceSnapshot: ...


class Gateway:
    """Runs the real builder over `pools` pools and `routes` routes; routes beyond the pools use only providers."""

    def __init__(self, *, pools: int, endpoints: int, routes: int) -> None:
        self._builder = Builder(EdgeSettings())
        self._revision = 1
        per_pool = endpoints // pools
        every = (
            Pool(f"model-{number}", tuple(PoolEndpoint(f"node-{number}-{index}") for index in range(per_pool)))
            for number in range(pools)
        )
        self._live = {pool.name: pool for pool in every}
        providers = {name: Provider(name, f"https://{name}.example/v1") for name in ("alpha", "beta", "gamma")}
        self._state = DesiredState(
            1, providers, {each.id: each for each in _routes(routes, pools, tuple(providers))}
        )

    def first(self) -> ResourceSnapshot:
        return self._builder.build(self._revision, self._state, self._live)

    def flip(self) -> ResourceSnapshot:
        self._revision += 1
        name = pool_name(f"model-{self._revision % len(self._live)}")
        pool = self._live[name]
        flipped = replace(
            pool.endpoints[0], health="unhealthy" if pool.endpoints[0].health == "healthy" else "healthy"
        )
        self._live = {**self._live, name: replace(pool, endpoints=(flipped, *pool.endpoints[1:]))}
        return self._builder.build(self._revision, self._state, self._live)


def _routes(count: int, pools: int, providers: Sequence[str]) -> list[Route]:
    routes = []
    for number in range(count):
        model = f"model-{number}"
        cloud = ProviderTarget(providers[number % len(providers)], model)
        nodes = (NodesTarget(model),) if number < pools else ()
        routes.append(Route(f"route-{number}", model, (*nodes, cloud)))
    return routes


@dataclass(frozen=True)
class Results:
    """CPU in milliseconds per flip, latency in milliseconds (debounce of 20 ms included), memory in MiB."""

    endpoints: int
    pools: int
    routes: int
    clients: int
    flips: int
    first_build_ms: float
    first_state_s: float
    control_plane_cpu_ms: float
    control_plane_cpu_ms_worst: float
    fan_out_cpu_ms: float
    fan_out_cpu_us_per_client: float
    received_p50_ms: float
    received_p99_ms: float
    received_max_ms: float
    response_kib: float
    rss_content_mib: float
    rss_clients_mib: float
    rss_end_mib: float


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


@asynccontextmanager
async def _clients(address: str, count: int, first: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.control_plane_clients",
        address,
        str(count),
        str(first),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 1024 * 1024,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None:
        raise BenchError("the clients were started without a pipe")
    async with asyncio.timeout(SETTLE_SECONDS):
        line = await process.stdout.readline()
    if not line:
        raise BenchError("the simulated clients ended early; their output is above")
    return line.decode()


@dataclass(frozen=True)
class _Flips:
    """When each revision was published, CPU seconds of each flip (`core` is independent of the number of clients),
    and bytes of the last response.
    """

    flipped_at: dict[int, float]
    core: list[float]
    total: list[float]
    response: int


async def _flip(
    content: Content,
    before: ResourceSnapshot,
    ads: AdsServer,
    registry: ClientRegistry,
    *,
    flips: int,
    clients: int,
) -> _Flips:
    flipped_at: dict[int, float] = {}
    core: list[float] = []
    total: list[float] = []
    response = 0
    for _ in range(flips):
        cpu = time.process_time()
        at = time.monotonic()
        own = time.thread_time()
        after = content.flip()
        own = time.thread_time() - own
        flipped_at[after.revision] = at
        ads.publish(after)
        propagation = await registry.wait_settled(after.revision, SETTLE_SECONDS)
        if propagation.accepted != clients:
            raise BenchError(f"{propagation.accepted} of {clients} clients took a flip: {propagation}")
        total.append(time.process_time() - cpu)
        # Repeats, in isolation, the part that is independent of the number of clients.
        again = time.thread_time()
        encoder = ResponseEncoder()
        for type_url, names in changes_between(before, after).items():
            resources = [after.of_type(type_url)[name] for name in names]
            response = sum(map(len, encoder.delta(type_url, resources, (), nonce="1", revision=1)))
        core.append(own + time.thread_time() - again)
        before = after
    return _Flips(flipped_at, core, total, response)


async def _delays(clients: Sequence[asyncio.subprocess.Process], flipped_at: Mapping[int, float]) -> list[float]:
    """Ends the clients. Returns the seconds from each flip to its arrival at each client, sorted."""
    delays = []
    for process in clients:
        if process.stdin is None:
            raise BenchError("the clients were started without a pipe")
        process.stdin.write(b"finish\n")
        await process.stdin.drain()
        for received in json.loads(await _line(process)):
            got = {revision: moment for revision, moment in received if revision in flipped_at}
            delays += [got[revision] - moment for revision, moment in flipped_at.items()]
    return sorted(delays)


async def measure(*, endpoints: int, pools: int, routes: int, clients: int, flips: int, processes: int) -> Results:
    """Runs the benchmark. Flips are sequential: the next begins when every client has accepted the last."""
    started = time.process_time()
    content: Content = Gateway(pools=pools, endpoints=endpoints, routes=routes)
    before = content.first()
    first_build = time.process_time() - started
    rss_content = _rss_mib()
    registry = ClientRegistry()
    ads = AdsServer(before, registry)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((ads.handler(),))
    async with AsyncExitStack() as stack:
        address = f"unix:{stack.enter_context(tempfile.TemporaryDirectory())}/xds.sock"
        server.add_insecure_port(address)
        await server.start()
        stack.push_async_callback(server.stop, 0.2)
        started = time.monotonic()
        shares = [clients // processes + (number < clients % processes) for number in range(processes)]
        started_clients = [
            await stack.enter_async_context(_clients(address, share, sum(shares[:number])))
            for number, share in enumerate(shares)
        ]
        for process in started_clients:
            await _line(process)
        first_state = time.monotonic() - started
        await registry.wait_settled(before.revision, SETTLE_SECONDS)
        rss_clients = _rss_mib()

        measured = await _flip(content, before, ads, registry, flips=flips, clients=clients)
        rss_end = _rss_mib()
        delays = await _delays(started_clients, measured.flipped_at)
        ads.close()
    core_ms = statistics.fmean(measured.core) * 1000
    fan_out_ms = statistics.fmean(measured.total) * 1000 - core_ms
    return Results(
        endpoints=endpoints,
        pools=pools,
        routes=routes,
        clients=clients,
        flips=flips,
        first_build_ms=first_build * 1000,
        first_state_s=first_state,
        control_plane_cpu_ms=core_ms,
        control_plane_cpu_ms_worst=max(measured.core) * 1000,
        fan_out_cpu_ms=fan_out_ms,
        fan_out_cpu_us_per_client=fan_out_ms * 1000 / clients,
        received_p50_ms=delays[len(delays) // 2] * 1000,
        received_p99_ms=delays[int(len(delays) * 0.99)] * 1000,
        received_max_ms=delays[-1] * 1000,
        response_kib=measured.response / 1024,
        rss_content_mib=rss_content,
        rss_clients_mib=rss_clients,
        rss_end_mib=rss_end,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.control_plane", description=__doc__)
    parser.add_argument("--endpoints", type=int, default=10_000)
    parser.add_argument("--pools", type=int, default=100)
    parser.add_argument("--routes", type=int, default=500)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2, help="processes that the clients are spread over")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = vars(parser.parse_args())
    path: Path = options.pop("json")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        with exclusive():
            results = asdict(asyncio.run(measure(**options)))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(table(results))
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
    path.write_text(json.dumps({"machine": machine, **results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
