"""What the protocol core serves: encoded resources, and the difference between two states of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

TYPE_PREFIX = "type.googleapis.com/"
SECRET = TYPE_PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
CLUSTER = TYPE_PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = TYPE_PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = TYPE_PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = TYPE_PREFIX + "envoy.config.route.v3.RouteConfiguration"
POLICY_ORGANISATION = TYPE_PREFIX + "trunkline.policy.v1.Organisation"
POLICY_KEY = TYPE_PREFIX + "trunkline.policy.v1.Key"
POLICY_ROUTE = TYPE_PREFIX + "trunkline.policy.v1.Route"

#: Make before break (xDS protocol, "Eventual consistency considerations"): additions in this order, removals in
#: the reverse one. Secrets are there before what uses them.
PUSH_ORDER = (SECRET, CLUSTER, ENDPOINT, LISTENER, ROUTE, POLICY_ORGANISATION, POLICY_KEY, POLICY_ROUTE)
#: Sent behind the rest of what a translator decides by, and whole: with it, the translator holds all of it.
LAST_OF_POLICY = POLICY_ROUTE

#: Types that a client may ask for as a whole ("*" or an empty first request), and whose state-of-the-world
#: responses carry everything (xDS protocol, "Grouping Resources into Responses"). Ours follow CDS and LDS.
WILDCARD_TYPES = frozenset({CLUSTER, LISTENER, POLICY_ORGANISATION, POLICY_KEY, POLICY_ROUTE})


@dataclass(frozen=True, slots=True)
class Resource:
    """One encoded resource.

    `body` is the message itself, without its `google.protobuf.Any`; `version` depends on the content alone, so it
    survives a restart of the server.
    """

    name: str
    type_url: str
    body: bytes = field(repr=False)
    version: str

    @classmethod
    def of(cls, type_url: str, name: str, body: bytes) -> Resource:
        return cls(name, type_url, body, blake2b(body, digest_size=8).hexdigest())


@dataclass(frozen=True, slots=True)
class ResourceSnapshot:
    """Every resource at one revision: type URL → name → resource.

    A builder shares the inner mapping with the previous snapshot where a type did not change; `changes` uses that.
    """

    revision: int
    resources: Mapping[str, Mapping[str, Resource]] = field(default_factory=dict)

    def of_type(self, type_url: str) -> Mapping[str, Resource]:
        return self.resources.get(type_url, {})
