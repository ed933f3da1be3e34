"""The current state of the machine: its GPUs, its owner's use of it, and whether the owner's idle rule allows
serving.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger
from trunkline_proto.node.v1 import registry_pb2 as wire

from node_sidecar import facts
from node_sidecar.preferences.idle import IdleRule, IdleState, IdleWatch
from node_sidecar.use.gpu import Gpu
from node_sidecar.use.owner import OwnerUse
from node_sidecar.use.reading import UseReader

#: Seconds between two readings of the GPUs if no rule depends on them and they are only shown.
_INTERVAL = 30.0


class Reader(Protocol):
    """Reads the use of the machine, as `UseReader` does."""

    async def gpus(self) -> tuple[Gpu, ...]:
        """Reads the machine's GPUs; empty if there are none, or they cannot be read."""

    async def owner_use(
        self, servers: Iterable[tuple[str, str]], gpus: tuple[Gpu, ...], in_flight: int
    ) -> OwnerUse:
        """Reads how much of the machine its owner uses, without the local servers and their requests."""


class Machine:
    """`sample` is called every few seconds; everything else is as of the last sample."""

    def __init__(self, log: FilteringBoundLogger, reader: Reader | None = None) -> None:
        self.facts = facts.machine()
        self.gpus: tuple[Gpu, ...] = ()
        self._use = OwnerUse()
        self._idle: IdleWatch | None = None
        self._rule: IdleRule | None = None
        self._reader = reader or UseReader()
        self._log = log
        self._sampled_at = float("-inf")

    @property
    def state(self) -> IdleState | None:
        """The state of the idle rule; None if the owner has none."""
        return None if self._idle is None else self._idle.state

    @property
    def wants_measurement(self) -> bool:
        """True if a measurement without new requests is needed or under way; see `IdleWatch`."""
        return self._idle is not None and (self._idle.wants_measurement or self._idle.state is IdleState.MEASURING)

    @property
    def unreadable(self) -> str:
        """The values that the rule needs but that cannot be read, as node.yaml names them; empty if there are
        none.
        """
        rule, use = self._rule, self._use
        if rule is None or self.state is not IdleState.UNREADABLE:
            return ""
        needs = {
            "cpu": (rule.cpu, use.cpu),
            "gpu": (rule.gpu, use.gpu),
            "gpu_memory_free": (rule.gpu_memory_free, use.gpu_memory_free),
        }
        return ", ".join(name for name, (wanted, read) in needs.items() if wanted is not None and read is None)

    def set_idle_rule(self, rule: IdleRule | None) -> None:
        """Sets the owner's idle rule. A changed rule starts from the beginning."""
        if rule != self._rule:
            self._rule = rule
            self._idle = None if rule is None else IdleWatch(rule, asyncio.get_running_loop().time())

    def measure(self) -> None:
        """Starts a measurement: the gateway has granted a time without new requests."""
        if self._idle is not None:
            self._idle.measure(asyncio.get_running_loop().time())

    async def sample(self, servers: Iterable[tuple[str, str]], in_flight: int) -> bool:
        """Reads the machine; `servers` are URLs and kinds. Returns whether its GPUs are others than before."""
        now = asyncio.get_running_loop().time()
        if self._idle is None and now - self._sampled_at < _INTERVAL:
            return False
        self._sampled_at = now
        before, self.gpus = self.gpus, await self._reader.gpus()
        if self._idle is not None:
            self._use = await self._reader.owner_use(servers, self.gpus, in_flight)
            was = self._idle.state
            # Reads the clock again: a driver may have taken seconds to answer.
            if self._idle.sample(asyncio.get_running_loop().time(), self._use) is not was:
                self._log_state()
        return _hardware(before) != _hardware(self.gpus)

    def _log_state(self) -> None:
        if self.state is IdleState.UNREADABLE:
            self._log.error(
                "the rule `idle` cannot be checked, so others are not served", unreadable=self.unreadable
            )

    def gpu_facts(self) -> list[wire.Gpu]:
        return [wire.Gpu(name=gpu.name, memory_bytes=gpu.memory_bytes) for gpu in self.gpus]

    def gpu_load(self) -> list[wire.GpuLoad]:
        return [wire.GpuLoad(use_percent=_rounded(gpu.use), memory_free=gpu.memory_free) for gpu in self.gpus]

    def idle_report(self) -> wire.IdleRule | None:
        """Returns the measurements that the idle rule has; None if the owner has no rule."""
        if self._idle is None:
            return None
        return wire.IdleRule(
            state=self._idle.state.value,
            owner_cpu_percent=_rounded(self._use.cpu),
            owner_gpu_percent=_rounded(self._use.gpu),
            gpu_memory_free=self._use.gpu_memory_free,
            separate=self._use.separate,
        )

    def status(self) -> dict[str, Any]:
        """Returns the machine's part of `trunkline-node status`."""
        return {
            "gpus": [
                {
                    "name": gpu.name,
                    "memory_bytes": gpu.memory_bytes,
                    "memory_free": gpu.memory_free,
                    "use_percent": _rounded(gpu.use),
                }
                for gpu in self.gpus
            ],
            "idle": None
            if self._idle is None
            else {
                "state": self._idle.state.value,
                "owner_cpu_percent": _rounded(self._use.cpu),
                "owner_gpu_percent": _rounded(self._use.gpu),
                "gpu_memory_free": self._use.gpu_memory_free,
                "separate": self._use.separate,
                "unreadable": self.unreadable,
            },
        }


def _hardware(gpus: tuple[Gpu, ...]) -> list[tuple[str, int]]:
    return [(gpu.name, gpu.memory_bytes) for gpu in gpus]


def _rounded(percent: float | None) -> int | None:
    return None if percent is None else round(percent)
