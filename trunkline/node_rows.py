"""Formats nodes for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.words import VISIBILITIES
from trunkline_proto.node.v1 import registry_pb2 as node_pb

from trunkline import names
from trunkline.errors import UsageError
from trunkline.output import when
from trunkline.usage_rows import exact_usd, usd

#: The columns of a listing.
COLUMNS = (
    "name", "organisation", "owner_key", "visibility", "state", "reason", "models", "in_flight", "boost",
    "last_seen", "gpus", "idle_rule", "id",
)  # fmt: skip
#: Columns that json and csv have only with `--wide`.
MEASURED = ("gpus", "idle_rule")
#: The columns that a narrow terminal keeps longest.
IMPORTANT = ("name", "state", "models", "reason", "organisation", "in_flight", "last_seen", "visibility", "id")
#: The columns of a node's offers.
OFFER_COLUMNS = ("model", "healthy", "context", "capabilities", "input_usd", "output_usd", "server")
#: The columns of contributions, after their dimensions.
SUMS = ("requests", "errors", "prompt", "completion", "earned_usd", "uptime")

_UNKNOWN_PERMILLE = 1_001


def row(node: admin.Node) -> dict[str, Any]:
    """Returns a row of a listing, with only the healthy models."""
    return {
        "name": node.name,
        "organisation": node.organisation,
        "owner_key": node.owner_key or None,
        "visibility": VISIBILITIES.word(node.visibility) or None,
        "state": node.state,
        "reason": node.state_reason,
        "models": [each.model for each in node.offers if each.healthy],
        "in_flight": node.load.in_flight,
        "boost": node.boost_percent,
        "last_seen": when(node.last_seen),
        "gpus": _gpus(node),
        "idle_rule": _idle_rule(node),
        "id": node.id,
    }


def details(node: admin.Node) -> dict[str, Any]:
    """Returns all properties of a node except its offers."""
    facts, load = node.facts, node.load
    shared = row(node)
    del shared["models"]
    return {
        **shared,
        "approved": node.approved,
        "drained": node.drained,
        "joined": when(node.created_at),
        "version": node.version,
        "sidecar": facts.sidecar_version or None,
        "system": facts.operating_system or None,
        "reached": (facts.direct_address or "through its tunnel") if node.HasField("facts") else None,
        "cpus": facts.cpus,
        "memory_gib": _gib(facts.memory_bytes),
        "queued": load.queued,
        "concurrency_limit": load.concurrency_limit or None,
        "concurrency_source": facts.concurrency_source or None,
        "schedule": facts.schedule or None,
        "kv_cache_percent": load.kv_cache_permille / 10 if _known_cache(node) else None,
    }


def offer_row(offer: node_pb.Offer) -> dict[str, Any]:
    """Returns a row for an offer; prices are USD per million tokens."""
    return {
        "model": offer.model,
        "healthy": offer.healthy,
        "context": offer.context_length or None,
        "capabilities": list(offer.capabilities),
        "input_usd": usd(offer.input_price),
        "output_usd": usd(offer.output_price),
        "server": offer.server,
    }


def contribution_row(of: admin.Contribution, by: Iterable[str], *, readable: bool) -> dict[str, Any]:
    """Returns the dimensions, then the sums. Unless `readable`, `uptime` is in seconds."""
    named = {"node": of.node_name or of.node_id, "owner": of.owner, "model": of.model, "day": of.day}
    return {
        **{each: named[each] for each in by},
        "requests": of.requests,
        "errors": of.errors,
        "prompt": of.prompt_tokens,
        "completion": of.completion_tokens,
        "earned_usd": exact_usd(of.earned_nano_usd),
        "uptime": _hours(of.uptime_seconds) if readable else of.uptime_seconds,
        "node_id": of.node_id,
    }


def find(nodes: Sequence[admin.Node], reference: str) -> admin.Node:
    """Finds a node by id, name, or organisation/name. Raises UsageError if none or several match."""
    for node in nodes:
        if node.id == reference:
            return node
    found = [each for each in nodes if reference in {each.name, f"{each.organisation}/{each.name}"}]
    if not found:
        raise names.unknown("node", reference, [f"{each.organisation}/{each.name}" for each in nodes])
    if len(found) > 1:
        labels = ", ".join(f"{each.organisation}/{each.name}" for each in found)
        raise UsageError(f"{reference} may be {labels}: say which")
    return found[0]


def _gpus(node: admin.Node) -> list[str]:
    """Formats a GPU, as `NVIDIA H200 (141.0 GiB, 8.2 free, 97 % in use)`."""
    shown = []
    for index, gpu in enumerate(node.facts.gpus):
        parts = [f"{_gib(gpu.memory_bytes)} GiB"]
        load = node.load.gpus[index] if index < len(node.load.gpus) else node_pb.GpuLoad()
        if load.HasField("memory_free"):
            parts.append(f"{_gib(load.memory_free)} free")
        if load.HasField("use_percent"):
            parts.append(f"{load.use_percent} % in use")
        shown.append(f"{gpu.name} ({', '.join(parts)})")
    return shown


def _idle_rule(node: admin.Node) -> str | None:
    """Formats the idle rule, as `idle, owner: cpu 3 %, gpu 0 %`; None if the owner has no rule."""
    if not node.load.HasField("idle"):
        return None
    idle = node.load.idle
    whose = "owner" if idle.separate else "all"
    shown = []
    if idle.HasField("owner_cpu_percent"):
        shown.append(f"cpu {idle.owner_cpu_percent} %")
    if idle.HasField("owner_gpu_percent"):
        shown.append(f"gpu {idle.owner_gpu_percent} %")
    return f"{idle.state}, {whose}: {', '.join(shown)}" if shown else idle.state


def _known_cache(node: admin.Node) -> bool:
    return node.HasField("load") and node.load.kv_cache_permille < _UNKNOWN_PERMILLE


def _gib(size: int) -> float:
    return round(size / 2**30, 1)


def _hours(seconds: int) -> str:
    """Formats a duration, as `5 m 03 s` or `26 h 05 m`; empty for none."""
    if not seconds:
        return ""
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} m {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} m"
