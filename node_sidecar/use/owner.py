"""Computes the owner's use from a reading: the total minus the local servers' part. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from node_sidecar.use.gpu import Gpu


@dataclass(frozen=True, slots=True)
class OwnerUse:
    """One sample; None for values that cannot be read.

    `cpu` is percent of all CPUs. `gpu` is percent of the busiest GPU. `gpu_memory_free` are the bytes that the
    owner leaves on the fullest GPU: free, or held by the local servers. Unless `separate`, the servers' part could
    not be separated, and both values are totals. `in_flight` counts the gateway's requests on this node.
    """

    cpu: float | None = None
    gpu: float | None = None
    gpu_memory_free: int | None = None
    separate: bool = True
    in_flight: int = 0


def gpu_use(gpus: Sequence[Gpu], theirs: Collection[int], *, known: bool) -> tuple[float | None, bool]:
    """Returns the owner's use of the busiest GPU in percent, and whether the servers' part has been subtracted.

    `theirs` are the servers' pids; `known` means that they include every server.
    """
    readable = [gpu for gpu in gpus if gpu.use is not None or gpu.use_by_process is not None]
    if not readable:
        return None, False
    if known and all(gpu.use_by_process is not None for gpu in readable):
        shares = [
            sum(use for pid, use in (gpu.use_by_process or {}).items() if pid not in theirs) for gpu in readable
        ]
        return min(100.0, max(shares)), True
    totals = [gpu.use if gpu.use is not None else sum((gpu.use_by_process or {}).values()) for gpu in readable]
    return max(totals), False


def memory_free(gpus: Sequence[Gpu], theirs: Collection[int]) -> int | None:
    """Returns the bytes that the owner leaves on the fullest GPU. Memory held by the servers is available to
    them.
    """
    left = [
        gpu.memory_free + sum(held for pid, held in (gpu.memory_by_process or {}).items() if pid in theirs)
        for gpu in gpus
        if gpu.memory_free is not None
    ]
    return min(left, default=None)
