"""Decides how many requests run at once: the owner's limit, or what the local servers can batch. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from node_sidecar.preferences.model import Preferences
from node_sidecar.probes.detect import KINDS
from node_sidecar.probes.watch import WatchedServer

#: Used until a local server has been seen.
UNKNOWN = 16
#: The source of a limit names at most this many servers and counts the others.
_MOST_NAMED = 4
#: The bound of texts in registry.proto.
_MOST_BYTES = 256


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """`limit` requests run at once on this node (0: no limit), of which at most `models[m]` are for the model m.

    `source` explains to people where the limit comes from.
    """

    limit: int
    models: Mapping[str, int] = field(default_factory=dict)
    source: str = ""


def concurrency_limits(servers: Iterable[WatchedServer], preferences: Preferences) -> ConcurrencyLimits:
    """Returns the owner's limit if there is one. Otherwise it is the sum over the healthy servers, and for a model
    the sum over the healthy servers that have it.

    While no server is healthy, the failed ones count with their last values, because they usually return.
    """
    if preferences.concurrency is not None:
        return ConcurrencyLimits(preferences.concurrency, source="set by the owner")
    able = [server for server in servers if server.kind_name and _offered(server, preferences)]
    serving = [server for server in able if server.health.healthy] or able
    if not serving:
        return ConcurrencyLimits(UNKNOWN, source="no local server yet")
    models: dict[str, int] = {}
    for server in serving:
        for model in _offered(server, preferences):
            models[model] = models.get(model, 0) + parallel(server)
    return ConcurrencyLimits(sum(map(parallel, serving)), models, _source(serving))


def _offered(server: WatchedServer, preferences: Preferences) -> list[str]:
    return list(dict.fromkeys(model.name for model in server.health.models if preferences.offers(model.name)))


def parallel(server: WatchedServer) -> int:
    """Returns how many requests a server is assumed to batch."""
    return server.health.last.parallel or KINDS[server.kind_name].default_parallel


def _source(servers: Sequence[WatchedServer]) -> str:
    """Returns, for example, `llama.cpp at http://127.0.0.1:8080 reports 4; ollama at http://127.0.0.1:11434 does
    not report it, 4 assumed`.
    """
    reported = [
        f"{server.kind_name} at {server.base_url} reports {server.health.last.parallel}"
        if server.health.last.parallel
        else f"{server.kind_name} at {server.base_url} does not report it, {parallel(server)} assumed"
        for server in servers[:_MOST_NAMED]
    ]
    if len(servers) > _MOST_NAMED:
        reported.append(f"and {len(servers) - _MOST_NAMED} more")
    return "; ".join(reported).encode()[:_MOST_BYTES].decode(errors="ignore")
