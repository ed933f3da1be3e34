"""The values that the protocol core serves: encoded resources, grouped by type and revision."""

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
POLICY_JWT_ISSUER = TYPE_PREFIX + "trunkline.policy.v1.JwtIssuer"
POLICY_ROUTE = TYPE_PREFIX + "trunkline.policy.v1.Route"

#: Make before break (xDS protocol, "Eventual consistency considerations"): additions go in this order, removals in
#: the reverse order. Secrets are there before the resources that use them.
PUSH_ORDER = (
    *(SECRET, CLUSTER, ENDPOINT, LISTENER, ROUTE),
    *(POLICY_ORGANISATION, POLICY_KEY, POLICY_JWT_ISSUER, POLICY_ROUTE),
)
#: Sent after the other policy types, and as a whole: a client that has it holds the complete policy.
LAST_OF_POLICY = POLICY_ROUTE

#: Types that a client may request as a whole ("*" or an empty first request), and whose state-of-the-world
#: responses carry everything (xDS protocol, "Grouping Resources into Responses"). Trunkline's own types follow CDS
#: and LDS.
WILDCARD_TYPES = frozenset({CLUSTER, LISTENER, POLICY_ORGANISATION, POLICY_KEY, POLICY_JWT_ISSUER, POLICY_ROUTE})


@dataclass(frozen=True, slots=True)
class Resource:
    """One encoded resource.

    `body` is the message itself, without its `google.protobuf.Any`. `version` depends only on the content, so it
    survives a restart of the server.
    """

    name: str
    type_url: str
    body: bytes = field(repr=False)
    version: str

    @classmethod
    def of(cls, type_url: str, name: str, body: bytes) -> Resource:
        """Returns a resource whose version is a digest of its body."""
        return cls(name, type_url, body, blake2b(body, digest_size=8).hexdigest())


@dataclass(frozen=True, slots=True)
class ResourceSnapshot:
    """Every resource at one revision: type URL → name → resource.

    A builder shares the inner mapping with the previous snapshot if a type did not change; `changes` uses that.
    """

    revision: int
    resources: Mapping[str, Mapping[str, Resource]] = field(default_factory=dict)

    def of_type(self, type_url: str) -> Mapping[str, Resource]:
        """Returns the resources of a type by name; empty if there are none."""
        return self.resources.get(type_url, {})
