"""Endpoint assignments of node pools, assembled from encoded endpoints: one flip encodes one endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from envoy_data_plane.envoy.config.core.v3 import HealthStatus
from envoy_data_plane.envoy.config.endpoint.v3 import (
    Endpoint as EnvoyEndpoint,
    LbEndpoint,
)

from xds_server.model import Endpoint, Health, NodesTarget, Pool
from xds_server.protocol.snapshot import ENDPOINT, Resource
from xds_server.protocol.wire import length_delimited, text
from xds_server.resources.encoding import metadata, tcp
from xds_server.resources.names import METADATA
from xds_server.resources.targets import FULL_TIERS, dressing
from xds_server.resources.template import Template, number_hole, text_hole

# Field numbers: envoy/config/endpoint/v3/{endpoint,endpoint_components}.proto.
_ASSIGNMENT_CLUSTER_NAME, _ASSIGNMENT_ENDPOINTS, _ASSIGNMENT_POLICY = 1, 2, 4
_LOCALITY_LB_ENDPOINTS = 2

HEALTH: dict[Health, HealthStatus] = {
    "healthy": HealthStatus.HEALTHY,
    "unhealthy": HealthStatus.UNHEALTHY,
    "draining": HealthStatus.DRAINING,
}


def lb_endpoint(model: str, endpoint: Endpoint) -> bytes:
    """One encoded LbEndpoint, with what chain.lua needs to know of it."""
    dress = dressing(NodesTarget(model).id, prefix="/v1", model=model, stream_usage=True)
    return _template(endpoint.health).fill(
        {
            **dress,
            "node": endpoint.node_id,
            "host": endpoint.host,
            "port": endpoint.port,
            "weight": endpoint.weight,
        }
    )


@cache
def _template(health: Health) -> Template:
    prototype = Endpoint(text_hole("node"), text_hole("host"), number_hole("port"), health, number_hole("weight"))
    dress = {key: text_hole(key) for key in ("target", "dress")}
    return Template(bytes(lb_endpoint_message(prototype, dress)), numbers=("port", "weight"))


def lb_endpoint_message(endpoint: Endpoint, dress: Mapping[str, str]) -> LbEndpoint:
    """What `lb_endpoint` encodes, in the generated classes."""
    return LbEndpoint(
        endpoint=EnvoyEndpoint(address=tcp(endpoint.host, endpoint.port), hostname=endpoint.node_id),
        health_status=HEALTH[endpoint.health],
        load_balancing_weight=endpoint.weight,
        metadata=metadata(METADATA, {**dress, "node": endpoint.node_id}),
    )


@dataclass(frozen=True, slots=True)
class _Assigned:
    pool: Pool
    encoded: Mapping[Endpoint, bytes]
    resource: Resource


class Assignments:
    """Builds assignments and keeps what they were built of: per pool, its encoded endpoints."""

    def __init__(self) -> None:
        self._policy = bytes(FULL_TIERS)
        self._assigned: dict[str, _Assigned] = {}

    def of(self, models: Iterable[str], live: Mapping[str, Pool]) -> dict[str, Resource]:
        """The assignment of every model's pool; a pool that is the same object as last time costs nothing."""
        self._assigned = {model: self._assign(model, live.get(model)) for model in models}
        return {each.resource.name: each.resource for each in self._assigned.values()}

    def _assign(self, model: str, pool: Pool | None) -> _Assigned:
        known = self._assigned.get(model)
        if known and (known.pool is pool or (pool is None and not known.pool.endpoints)):
            return known
        pool = pool or Pool(model)
        kept = known.encoded if known else {}
        encoded = {each: kept.get(each) or lb_endpoint(model, each) for each in pool.endpoints}
        return _Assigned(pool, encoded, self._resource(NodesTarget(model).id, encoded.values()))

    def _resource(self, name: str, lb_endpoints: Iterable[bytes]) -> Resource:
        """An empty pool has an assignment without endpoints."""
        locality = b"".join(length_delimited(_LOCALITY_LB_ENDPOINTS, each) for each in lb_endpoints)
        body = (
            text(_ASSIGNMENT_CLUSTER_NAME, name)
            + (length_delimited(_ASSIGNMENT_ENDPOINTS, locality) if locality else b"")
            + length_delimited(_ASSIGNMENT_POLICY, self._policy)
        )
        return Resource.of(ENDPOINT, name, body)
