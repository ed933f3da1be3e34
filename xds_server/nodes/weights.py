"""Computes a node's weight in its pools: free capacity times boost, in steps that not every heartbeat crosses.

Capacity is counted in requests: the node's concurrency limit (NOMINAL_LIMIT if it has none) less the running and
waiting requests, times the free part of the KV cache where that is known. The capacity shown to Envoy follows when
it is off by STEP or more in either direction, and otherwise keeps its value. Example: with a step of 1.5, a shown
10 stays until the capacity is at least 15 or at most 6.7. Envoy itself sees the requests that it sends (least
request), so a slightly outdated weight costs nothing, whereas one push for each heartbeat would make every Envoy
rebuild a pool.
"""

from __future__ import annotations

from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.nodes.report import UNKNOWN_KV_CACHE

#: Concurrent requests that a node without a limit of its own is assumed to serve.
NOMINAL_LIMIT = 16
#: The ratio by which the capacity must differ to be shown.
STEP = 1.5

#: A full node still gets a request now and then: it has a queue, and its report is seconds old.
_MIN = 0.1
#: Bounds what one node can claim. With MAX_WEIGHT, 40,000 nodes of a pool stay below the 2^32 - 1 that Envoy
#: accepts as the sum of an assignment's weights.
_MAX = 1_024.0
MAX_WEIGHT = 100_000


def capacity(load: pb.Load) -> float:
    """Returns the free capacity in requests, 0.1 to 1,024."""
    limit = load.concurrency_limit or NOMINAL_LIMIT
    free = float(limit - load.in_flight - load.queued)
    if load.kv_cache_permille < UNKNOWN_KV_CACHE:
        free *= (1_000 - load.kv_cache_permille) / 1_000
    return min(max(free, _MIN), _MAX)


def shown(before: float | None, wanted: float) -> float:
    """Returns the capacity to show, given the one that is shown."""
    if before is None or wanted >= before * STEP or wanted * STEP <= before:
        return wanted
    return before


def weight(capacity_shown: float, boost: int) -> int:
    """Returns the weight, 1 to 100,000, with `boost` in percent: a neutral node has 10 per free request."""
    return min(max(round(capacity_shown * boost / 10), 1), MAX_WEIGHT)
