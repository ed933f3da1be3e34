"""A chain: the aggregate cluster that starts at one target and goes on through the others."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterCustomClusterType, ClusterLbPolicy
from envoy_data_plane.envoy.extensions.clusters.aggregate.v3 import ClusterConfig

from xds_server.resources.encoding import pack
from xds_server.resources.targets import NO_PANIC, UNLIMITED
from xds_server.resources.template import Template, text_hole


def chain(name: str, hops: list[str]) -> Cluster:
    """The aggregate cluster `name` over the target clusters `hops`, in failover order."""
    return Cluster(
        name=name,
        connect_timeout=timedelta(seconds=2),
        lb_policy=ClusterLbPolicy.CLUSTER_PROVIDED,
        cluster_type=ClusterCustomClusterType(
            name="envoy.clusters.aggregate",
            typed_config=pack(
                "envoy.extensions.clusters.aggregate.v3.ClusterConfig", ClusterConfig(clusters=hops)
            ),
        ),
        common_lb_config=NO_PANIC,
        circuit_breakers=UNLIMITED,
    )


def encoded_chain(name: str, hops: list[str]) -> bytes:
    """As `chain`."""
    return _template(len(hops)).fill({"name": name, **{f"hop{at}": hop for at, hop in enumerate(hops)}})


@lru_cache(maxsize=64)
def _template(hops: int) -> Template:
    return Template(bytes(chain(text_hole("name"), [text_hole(f"hop{at}") for at in range(hops)])))
