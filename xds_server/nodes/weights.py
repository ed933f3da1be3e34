"""A node's weight in its pools: free capacity times boost, in steps that a heartbeat does not climb every time.

Capacity is counted in requests: the node's concurrency limit (none: NOMINAL_LIMIT) less what runs and waits, times
the free part of the KV cache where that is known. What is shown to Envoy follows when it is off by STEP or more in
either direction, and keeps its value otherwise. Envoy itself sees the requests that it sends (least request), so a
weight a little behind costs nothing, and one push for each heartbeat would cost every Envoy a rebuilt pool.
"""

from __future__ import annotations

from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.nodes.report import UNKNOWN_KV_CACHE

#: Requests at a time that a node without a limit of its own is taken to serve.
NOMINAL_LIMIT = 16
#: By how much the capacity must differ, as a ratio, to be shown.
STEP = 1.5

#: A node that is full still gets a request now and then: it has a queue, and its report is seconds old.
_MIN = 0.1
#: Bounds what one node can claim. With MAX_WEIGHT, 40,000 nodes of a pool stay below the 2^32 - 1 that Envoy takes
#: as the sum of an assignment's weights.
_MAX = 1_024.0
MAX_WEIGHT = 100_000


def capacity(load: pb.Load) -> float:
    """Free capacity in requests, 0.1 to 1,024."""
    limit = load.concurrency_limit or NOMINAL_LIMIT
    free = float(limit - load.in_flight - load.queued)
    if load.kv_cache_permille < UNKNOWN_KV_CACHE:
        free *= (1_000 - load.kv_cache_permille) / 1_000
    return min(max(free, _MIN), _MAX)


def shown(before: float | None, wanted: float) -> float:
    """The capacity to show, given the one that is shown."""
    if before is None or wanted >= before * STEP or wanted * STEP <= before:
        return wanted
    return before


def weight(capacity_shown: float, boost: int) -> int:
    """1 to 100,000, `boost` in percent: a neutral node has 10 per free request."""
    return min(max(round(capacity_shown * boost / 10), 1), MAX_WEIGHT)
