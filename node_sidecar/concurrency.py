"""How many requests run at once: what the owner says, else what the local servers can batch. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from node_sidecar.preferences.model import Preferences
from node_sidecar.probes.detect import KINDS
from node_sidecar.probes.watch import Server

#: Until a local server has been seen.
UNKNOWN = 16
#: Of the source, in which more than this many servers are only counted.
_MOST_NAMED = 4
#: As in registry.proto's texts.
_MOST_BYTES = 256


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """`limit` requests at once on this node, 0 for no limit, and of them at most `models[m]` for the model m.

    `source` says where the limit comes from, for people.
    """

    limit: int
    models: Mapping[str, int] = field(default_factory=dict)
    source: str = ""


def concurrency_limits(servers: Iterable[Server], preferences: Preferences) -> ConcurrencyLimits:
    """What the owner preferences; else the sum over the healthy servers, and for a model over those that have it.

    While no server is healthy, what those that failed had counts: they come back.
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


def _offered(server: Server, preferences: Preferences) -> list[str]:
    return list(dict.fromkeys(model.name for model in server.health.models if preferences.offers(model.name)))


def parallel(server: Server) -> int:
    """Returns how many requests a server is taken to batch."""
    return server.health.last.parallel or KINDS[server.kind_name].default_parallel


def _source(servers: Sequence[Server]) -> str:
    """`llama.cpp at http://127.0.0.1:8080 tells 4; ollama at http://127.0.0.1:11434 does not tell, 4 assumed`."""
    reported = [
        f"{server.kind_name} at {server.base_url} tells {server.health.last.parallel}"
        if server.health.last.parallel
        else f"{server.kind_name} at {server.base_url} does not tell, {parallel(server)} assumed"
        for server in servers[:_MOST_NAMED]
    ]
    if len(servers) > _MOST_NAMED:
        reported.append(f"and {len(servers) - _MOST_NAMED} more")
    return "; ".join(reported).encode()[:_MOST_BYTES].decode(errors="ignore")
