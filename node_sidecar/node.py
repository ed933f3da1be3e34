"""The running node: its reports, whom it serves, and its owner's commands. `app` assembles it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from structlog.typing import FilteringBoundLogger
from trunkline_proto.node.v1 import registry_pb2 as wire

from node_sidecar import channel
from node_sidecar.concurrency import ConcurrencyLimits, concurrency_limits
from node_sidecar.direct_address import DirectAddress
from node_sidecar.identity import Identity, utc_now
from node_sidecar.machine import Machine
from node_sidecar.offers import offers
from node_sidecar.preferences.availability import Availability, Serves, cut, decide
from node_sidecar.preferences.model import Preferences
from node_sidecar.preferences.schedule import Schedule
from node_sidecar.preferences.store import PreferenceStore
from node_sidecar.probes.watch import Watch
from node_sidecar.serving_parts import Serving
from node_sidecar.state import UNKNOWN_CACHE, LocalNodeState
from node_sidecar.upstreams import Upstreams

#: Seconds between two samples of the clock and of the machine's use.
_TICK = 2.0
#: Preferences that take effect only at the start.
_FIXED = ("concurrency", "queue", "share", "own_first", "direct")


class RunningNode:
    """`changed` is called when anything except the load changes; `draining` is set once and stays set."""

    def __init__(
        self,
        *,
        preferences: Preferences,
        watch: Watch,
        upstreams: Upstreams,
        serving: Serving,
        machine: Machine,
        direct_address: DirectAddress,
        log: FilteringBoundLogger,
    ) -> None:
        self._preferences = preferences
        self._watch = watch
        self._upstreams = upstreams
        self._serving = serving
        self._log = log
        self._machine = machine
        self._direct_address = direct_address
        self._availability = Availability(Serves.OPEN)
        self._instruction = wire.NodeInstruction()
        self._has_instruction = False
        self._left_out = 0
        #: The owner's limit at the start, which holds until the next start.
        self._concurrency = preferences.concurrency
        self._limits = ConcurrencyLimits(serving.gate.limit)
        self.changed: Callable[[], None] = lambda: None
        self.draining = asyncio.Event()
        self.apply(preferences)

    def servers_changed(self) -> None:
        """Called when a local server has appeared, disappeared or changed."""
        self._update_limits()
        self.changed()

    def state(self) -> LocalNodeState:
        """Returns what the next report says, and logs a change of what cannot be offered."""
        made, left_out = offers(self._watch.servers, self._effective_preferences)
        if left_out != self._left_out:
            self._left_out = left_out
            self._log.warning(
                "models that cannot be offered: too many, or a name that is too long or cannot be printed",
                count=left_out,
            )
        facts_now = _facts(
            self._machine, self._direct_address.address, self._limits.source, self._preferences.schedule
        )
        return LocalNodeState(
            facts_now,
            made,
            self._shown_availability(),
            self.draining.is_set(),
            self._load(),
            self._machine.wants_measurement,
        )

    def on_instruction(self, instruction: wire.NodeInstruction) -> None:
        """Applies an instruction of the gateway."""
        before, self._instruction = self._instruction, instruction
        if not self._has_instruction:
            # The instruction says how many tunnels are needed.
            self._has_instruction = True
            self._serving.ingress.on_ready = self.changed
            self.changed()
        self._serving.ingress.set_count(min(64, max(1, instruction.tunnels)))
        if instruction.pending_approval and not before.pending_approval:
            self._log.warning("an operator has yet to approve this node: `trunkline nodes approve`")
        if before.pending_approval and not instruction.pending_approval:
            self._log.info("node approved")
        if instruction.measure and not before.measure:
            self._machine.measure()
            self._decide()
        if instruction.drain != before.drain:
            self._log.info("drained by an operator" if instruction.drain else "resumed by an operator")
            self._admit()

    def apply(self, preferences: Preferences) -> None:
        """Applies changed preferences of the owner."""
        later = [name for name in _FIXED if getattr(preferences, name) != getattr(self._preferences, name)]
        if later:
            self._log.warning("takes effect at the next start", preferences=later)
        self._machine.set_idle_rule(preferences.idle)
        self._preferences = self._upstreams.preferences = preferences
        self._watch.configure(preferences.upstreams)
        self._update_limits()
        self._decide()
        self.changed()

    async def follow_clock(self) -> None:
        """Opens and closes the gate by schedule and use, until it is cancelled."""
        while True:
            servers = [
                (server.base_url, server.kind_name) for server in self._watch.servers if server.kind is not None
            ]
            wanted = self._machine.wants_measurement
            new_hardware = await self._machine.sample(servers, self._serving.gate.in_flight)
            if new_hardware or self._machine.wants_measurement != wanted:
                self.changed()
            self._decide()
            await asyncio.sleep(_TICK)

    async def drain(self) -> None:
        """Returns when no request runs any more. The gateway is informed first, so that few requests arrive in
        vain.
        """
        self.draining.set()
        self.changed()
        await asyncio.sleep(0.3)
        self._serving.gate.drain()
        self._serving.ingress.drain()
        await self._serving.gate.idle()
        await self._serving.ingress.drained()

    def status(self, identity: Identity, problem: str, store: PreferenceStore) -> dict[str, Any]:
        """Returns the content of `trunkline-node status`."""
        gate, ingress = self._serving.gate, self._serving.ingress
        made, _ = offers(self._watch.servers, self._effective_preferences)
        return {
            "node": identity.record.node_id,
            "name": identity.record.name,
            "gateway": identity.record.gateway,
            "version": version("trunkline"),
            "pid": os.getpid(),
            "reports": problem or "open",
            "connections": ingress.connected,
            "approved": not self._instruction.pending_approval,
            "drained_by_operator": self._instruction.drain,
            "draining": self.draining.is_set(),
            "serves": self._availability.serves.value,
            "reason": self._availability.reason,
            "in_flight": gate.in_flight,
            "queued": gate.queued,
            "concurrency": gate.limit,
            "concurrency_source": self._limits.source,
            "certificate_until": identity.not_after.isoformat(),
            "problem": store.problem or self._direct_address.problem,
            **self._machine.status(),
            "servers": [
                {
                    "url": server.base_url,
                    "kind": server.kind_name,
                    "healthy": server.health.healthy,
                    "reason": server.health.reason or "",
                    "models": len(server.health.models),
                    "in_flight": server.in_flight,
                }
                for server in self._watch.servers
                if server.kind is not None or self._preferences.upstreams
            ],
            "models": [
                {
                    "model": offer.model,
                    "healthy": offer.healthy,
                    "context_length": offer.context_length,
                    "capabilities": list(offer.capabilities),
                    "server": offer.server,
                    "input_price": offer.input_price,
                    "output_price": offer.output_price,
                }
                for offer in made
            ],
        }

    def _shown_availability(self) -> Availability:
        """Returns CLOSED until requests can arrive: earlier ones would fail, and the gateway would eject the
        node.
        """
        reachable = self._has_instruction and self._serving.ingress.ready
        if reachable or self._availability.serves is Serves.CLOSED:
            return self._availability
        return Availability(Serves.CLOSED, "its tunnels are not open")

    def _load(self) -> wire.Load:
        """Returns the load. Requests of other clients of the local servers count as much as the node's own."""
        gate = self._serving.gate
        seen = [server.health.last for server in self._watch.servers]
        cache = [observation.kv_cache for observation in seen if observation.kv_cache is not None]
        return wire.Load(
            in_flight=max(gate.in_flight, sum(observation.running or 0 for observation in seen)),
            queued=gate.queued + sum(observation.waiting or 0 for observation in seen),
            concurrency_limit=gate.limit,
            kv_cache_permille=max(cache, default=UNKNOWN_CACHE),
            gpus=self._machine.gpu_load(),
            idle=self._machine.idle_report(),
        )

    @property
    def _effective_preferences(self) -> Preferences:
        """The preferences with the concurrency in force."""
        return replace(self._preferences, concurrency=self._concurrency)

    def _update_limits(self) -> None:
        """Adapts the limits to what the local servers can batch, unless the owner has set a limit."""
        found = concurrency_limits(self._watch.servers, self._effective_preferences)
        if self._concurrency is None and not any(
            server.health.reason is not None for server in self._watch.servers
        ):
            return
        if found != self._limits:
            self._limits = found
            self._serving.gate.set_limits(found.limit, found.models)
            self._log.info("requests at once", limit=found.limit or "no limit", source=found.source)

    def _decide(self) -> None:
        decided = decide(self._preferences, utc_now(), self._machine.state)
        if decided == self._availability:
            return
        self._availability = decided
        self._log.info("availability", serves=decided.serves.value, reason=decided.reason)
        self._admit()
        self.changed()

    def _admit(self) -> None:
        gate, now = self._serving.gate, self._availability
        if self._instruction.drain:
            gate.close("drained by an operator")
        elif now.serves is Serves.CLOSED and now.turns_away:
            gate.close(now.reason)
        elif now.serves is Serves.OWNER_ONLY and now.turns_away:
            gate.close_to_others(now.reason)
        else:
            gate.open()


def _facts(machine: Machine, direct: str, concurrency_source: str, schedule: Schedule | None) -> wire.NodeFacts:
    return wire.NodeFacts(
        sidecar_version=version("trunkline"),
        operating_system=machine.facts.operating_system,
        memory_bytes=machine.facts.memory_bytes,
        gpus=machine.gpu_facts(),
        direct_address=direct,
        protocol=channel.PROTOCOL,
        cpus=machine.facts.cpus,
        concurrency_source=concurrency_source,
        schedule=cut(str(schedule)) if schedule is not None else "",
    )
