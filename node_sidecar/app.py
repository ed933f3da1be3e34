"""Wires the parts together and runs them until a signal, a drain, or the removal of the node by the gateway."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from structlog.typing import FilteringBoundLogger

from node_sidecar.control import ControlClient, ControlServer
from node_sidecar.direct_address import DirectAddress
from node_sidecar.errors import SidecarControlError
from node_sidecar.files import private_directory
from node_sidecar.identity import IdentityStore
from node_sidecar.machine import Machine
from node_sidecar.node import RunningNode
from node_sidecar.owner_commands import OwnerCommands
from node_sidecar.preferences.store import PreferenceStore
from node_sidecar.probes.watch import Watch
from node_sidecar.renewable_identity import RenewableIdentity
from node_sidecar.renewal import Renewal
from node_sidecar.report import Reporter
from node_sidecar.serving_parts import Build
from node_sidecar.settings import Settings
from node_sidecar.upstreams import Upstreams

#: Seconds for the first probe of the local servers, so that the first report does not withdraw existing offers.
_FIRST_PROBE = 3.0


async def run(settings: Settings, log: FilteringBoundLogger, build: Build) -> None:
    """Returns after a signal or a drain.

    Raises:
        NotJoinedError, IdentityError, SettingsError, SidecarControlError: it cannot start.
        RemovedError: the gateway has removed the node.
    """
    state_dir = private_directory(settings.state_dir)
    identity = RenewableIdentity(IdentityStore(state_dir))
    store = PreferenceStore(state_dir, settings.environment, settings.options)
    preferences = store.load()
    await _refuse_a_second(state_dir)
    watch = Watch(preferences.upstreams, log, ports=settings.ports)
    upstreams = Upstreams(watch.servers, preferences)
    serving = build(identity, upstreams, preferences)
    direct_address = DirectAddress(preferences.direct, log)
    node = RunningNode(
        preferences=preferences,
        watch=watch,
        upstreams=upstreams,
        serving=serving,
        machine=Machine(log),
        direct_address=direct_address,
        log=log,
    )
    reporter = Reporter(identity, node.state, node.on_instruction, log)
    node.changed = direct_address.changed = reporter.changed
    watch.changed = node.servers_changed
    stop = asyncio.Event()
    _on_signal(stop)
    commands = OwnerCommands(node, store, identity, reporter, log)
    control = ControlServer(state_dir, commands.status, commands.by_name)
    await control.start()
    record = identity.current.record
    log.info("node starts", node=record.node_id, name=record.name, gateway=record.gateway)
    try:
        await _supervise(
            {
                **await _metrics(settings, commands.status, serving.outcomes),
                "probes": watch.run(),
                "preferences": store.follow(node.apply, log),
                "clock": node.follow_clock(),
                "ingress": serving.ingress.run(),
                "renewal": Renewal(identity, log).run(),
                "direct address": direct_address.follow(),
                "reports": _report(watch, direct_address, reporter),
            },
            stop,
            node,
            settings.grace,
        )
    finally:
        await control.stop()
        log.info("node stopped")


async def _metrics(
    settings: Settings, status: Callable[[], Mapping[str, Any]], outcomes: Mapping[str, int]
) -> Mapping[str, Coroutine[Any, Any, None]]:
    """Starts the listener for metrics if the settings have one."""
    if settings.metrics_listen is None:
        return {}
    from node_sidecar import metrics  # noqa: PLC0415 - loaded only if needed

    listener = metrics.MetricsListener(settings.metrics_listen, lambda: metrics.page(status(), outcomes))
    await listener.start()
    return {"metrics": listener.run()}


async def _report(watch: Watch, direct_address: DirectAddress, reporter: Reporter) -> None:
    # Without its address, the gateway would wait for tunnels, which a direct node never opens.
    await direct_address.known.wait()
    with suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_PROBE):
            await watch.ready.wait()
    await reporter.run()


async def _supervise(
    parts: Mapping[str, Coroutine[Any, Any, None]], stop: asyncio.Event, node: RunningNode, grace: float
) -> None:
    """Runs until one part fails or the node is drained: without a limit if by its owner, within `grace` if by a
    signal.
    """
    tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    stopping = asyncio.create_task(stop.wait(), name="signal")
    draining = asyncio.create_task(_drained(node), name="drain")
    try:
        done, _ = await asyncio.wait({stopping, draining, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        if stopping in done:
            stop.clear()
            node.draining.set()
            again = asyncio.create_task(stop.wait())
            done, _ = await asyncio.wait(
                {again, draining, *tasks}, timeout=grace, return_when=asyncio.FIRST_COMPLETED
            )
            again.cancel()
        # The parts never end by themselves: one that ended has failed, and so does the process.
        for task in done.intersection(tasks):
            task.result()
    finally:
        for task in (stopping, draining, *tasks):
            task.cancel()
        await asyncio.gather(stopping, draining, *tasks, return_exceptions=True)


async def _drained(node: RunningNode) -> None:
    await node.draining.wait()
    await node.drain()


async def _refuse_a_second(state_dir: Path) -> None:
    """Refuses to run twice with one identity: the two would keep interrupting each other's stream."""
    try:
        running = await ControlClient(state_dir).ask("status")
    except SidecarControlError:
        return
    raise SidecarControlError(
        f"the sidecar of this state directory is already running (process {running.get('pid')})"
    )


def _on_signal(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
