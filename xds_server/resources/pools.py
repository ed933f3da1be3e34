"""Assembles endpoint assignments of node pools from encoded endpoints: one flip encodes one endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

from envoy_data_plane.envoy.config.core.v3 import Address, EnvoyInternalAddress, HealthStatus, Metadata
from envoy_data_plane.envoy.config.endpoint.v3 import (
    Endpoint as EnvoyEndpoint,
    LbEndpoint,
)

from xds_server.model import NodesTarget
from xds_server.pool import Health, Pool, PoolEndpoint
from xds_server.protocol.snapshot import ENDPOINT, Resource
from xds_server.protocol.wire import length_delimited, text
from xds_server.resources.encoding import metadata, tcp
from xds_server.resources.names import METADATA, TUNNEL_EGRESS_LISTENER
from xds_server.resources.pool_cluster import THROUGH_TUNNEL
from xds_server.resources.targets import FULL_TIERS, attempt_metadata
from xds_server.resources.template import Template, number_placeholder, text_placeholder

# Field numbers: envoy/config/endpoint/v3/{endpoint,endpoint_components}.proto.
_ASSIGNMENT_CLUSTER_NAME, _ASSIGNMENT_ENDPOINTS, _ASSIGNMENT_POLICY = 1, 2, 4
_LOCALITY, _LOCALITY_LB_ENDPOINTS = 1, 2
_SUB_ZONE = 3
#: The largest sum of a pool's weights that Envoy accepts.
_MAX_SUM = 2**32 - 1

HEALTH: dict[Health, HealthStatus] = {
    "healthy": HealthStatus.HEALTHY,
    "unhealthy": HealthStatus.UNHEALTHY,
    "draining": HealthStatus.DRAINING,
}


class EndpointEntry(NamedTuple):
    """The content of an encoded endpoint: `words` are its metadata, `direct` is as in pool.PoolEndpoint."""

    node: str
    direct: tuple[str, int] | None
    health: Health
    weight: int
    words: Mapping[str, str]


def lb_endpoint(model: str, endpoint: PoolEndpoint) -> bytes:
    """Encodes one LbEndpoint, with what the module and the access log need to know about it."""
    entry = endpoint_entry(model, endpoint)
    host, port = entry.direct or ("", 0)
    values: dict[str, str | int] = {"id": entry.node, "host": host, "port": port, "weight": entry.weight}
    values.update(entry.words)
    return _template(entry.health, direct=entry.direct is not None).fill(values)


def endpoint_entry(model: str, endpoint: PoolEndpoint) -> EndpointEntry:
    """Returns the entry of `endpoint` in the pools of `model`."""
    attempt = attempt_metadata(
        NodesTarget(model).id,
        prefix="/v1",
        model=model,
        credential=endpoint.node_id,
        stream_usage=True,
        flags="no" if endpoint.own else "n",
    )
    words = {**attempt, "node": f"{endpoint.node_id} {endpoint.input_price} {endpoint.output_price}"}
    return EndpointEntry(endpoint.node_id, endpoint.direct, endpoint.health, endpoint.weight, words)


@cache
def _template(health: Health, *, direct: bool) -> Template:
    words = {key: text_placeholder(key) for key in ("target", "dress", "node")}
    address = (text_placeholder("host"), number_placeholder("port")) if direct else None
    prototype = EndpointEntry(text_placeholder("id"), address, health, number_placeholder("weight"), words)
    numbers = ("port", "weight") if direct else ("weight",)
    return Template(bytes(lb_endpoint_message(prototype)), numbers=numbers)


def lb_endpoint_message(entry: EndpointEntry) -> LbEndpoint:
    """Returns what `lb_endpoint` encodes, in the generated classes."""
    known = metadata(METADATA, entry.words)
    if entry.direct is None:
        internal = EnvoyInternalAddress(server_listener_name=TUNNEL_EGRESS_LISTENER, endpoint_id=entry.node)
        address = Address(envoy_internal_address=internal)
        known = Metadata(filter_metadata={**known.filter_metadata, **THROUGH_TUNNEL.filter_metadata})
    else:
        address = tcp(*entry.direct)
    return LbEndpoint(
        endpoint=EnvoyEndpoint(address=address, hostname=entry.node),
        health_status=HEALTH[entry.health],
        load_balancing_weight=entry.weight,
        metadata=known,
    )


@dataclass(frozen=True, slots=True)
class _Assigned:
    pool: Pool
    encoded: Mapping[PoolEndpoint, bytes]
    resource: Resource


class Assignments:
    """Builds assignments and caches what they were built from: per pool, its encoded endpoints.

    Without `direct`, endpoints that are reached directly are left out.
    """

    def __init__(self, *, direct: bool) -> None:
        self._direct = direct
        self._policy = bytes(FULL_TIERS)
        self._assigned: dict[str, _Assigned] = {}

    def of(self, pools: Mapping[str, Pool], live: Mapping[str, Pool]) -> dict[str, Resource]:
        """Returns the assignments of all `pools` (by name, without endpoints), filled from the `live` ones.

        A pool that is the same object as last time costs nothing. A node is in several pools of its model; a
        changed node is encoded once for all of them.
        """
        fresh: dict[str, dict[PoolEndpoint, bytes]] = {}
        self._assigned = {
            name: self._assign(live.get(name), empty, fresh.setdefault(empty.model, {}))
            for name, empty in pools.items()
        }
        return {name: each.resource for name, each in self._assigned.items()}

    def _assign(self, pool: Pool | None, empty: Pool, fresh: dict[PoolEndpoint, bytes]) -> _Assigned:
        known = self._assigned.get(empty.name)
        if known and (known.pool is pool or (pool is None and not known.pool.endpoints)):
            return known
        pool = pool or empty
        kept = known.encoded if known else {}
        encoded: dict[PoolEndpoint, bytes] = {}
        for each in _within_bounds(pool.endpoints):
            # The pool of an audience holds only what the audience owns, even if more is added to it.
            if (self._direct or each.direct is None) and (each.own or not empty.audience):
                body = kept.get(each) or fresh.get(each)
                encoded[each] = body or fresh.setdefault(each, lb_endpoint(pool.model, each))
        return _Assigned(pool, encoded, self._resource(pool.name, encoded))

    def _resource(self, name: str, encoded: Mapping[PoolEndpoint, bytes]) -> Resource:
        """Builds the assignment of a pool; an empty pool has an assignment without endpoints.

        An endpoint that came back stands in another locality. The locality's only effect is that Envoy treats the
        endpoint as a new one; otherwise Envoy would hold failures during its absence against it for seconds.
        """
        by_return: dict[int, list[bytes]] = {}
        for each, encoded_endpoint in encoded.items():
            by_return.setdefault(each.returns, []).append(encoded_endpoint)
        body = (
            text(_ASSIGNMENT_CLUSTER_NAME, name)
            + b"".join(_locality(lb_endpoints, returns) for returns, lb_endpoints in sorted(by_return.items()))
            + length_delimited(_ASSIGNMENT_POLICY, self._policy)
        )
        return Resource.of(ENDPOINT, name, body)


def _locality(lb_endpoints: Iterable[bytes], returns: int) -> bytes:
    """Returns an encoded field of the assignment."""
    body = length_delimited(_LOCALITY, text(_SUB_ZONE, f"return {returns}")) if returns else b""
    body += b"".join(length_delimited(_LOCALITY_LB_ENDPOINTS, each) for each in lb_endpoints)
    return length_delimited(_ASSIGNMENT_ENDPOINTS, body)


def _within_bounds(endpoints: tuple[PoolEndpoint, ...]) -> Iterable[PoolEndpoint]:
    """Scales the weights so that Envoy accepts their sum."""
    scale = sum(each.weight for each in endpoints) // _MAX_SUM + 1
    if scale == 1:
        return endpoints
    return (replace(each, weight=max(1, each.weight // scale)) for each in endpoints)
