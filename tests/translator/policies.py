"""Policy messages for tests, and the responses that carry them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from translator.policy.store import PolicyStore, type_url

ORGANISATION = type_url(policy.Organisation)
KEY = type_url(policy.Key)
JWT_ISSUER = type_url(policy.JwtIssuer)
ROUTE = type_url(policy.Route)

VALUE = "sk-tl-abcdefghij-0123456789abcdef"
OTHER_VALUE = "sk-tl-klmnopqrst-0123456789abcdef"


def organisation(org_id: str = "org_acme") -> policy.Organisation:
    return policy.Organisation(id=org_id, name=org_id.removeprefix("org_"))


def key(
    key_id: str = "key_ci",
    *,
    value: str = VALUE,
    models: Iterable[str] = ("*",),
    org: str = "org_acme",
    expires_at: int = 0,
    former: str = "",
    former_until: int = 0,
) -> policy.Key:
    """Returns a key; `former` is the secret before the last rotation."""
    digest = hashlib.sha256(value.encode()).digest()
    return policy.Key(
        id=key_id,
        organisation_id=org,
        name=key_id,
        hash=digest,
        models=models,
        expires_at=expires_at,
        former_hash=hashlib.sha256(former.encode()).digest() if former else b"",
        former_until=former_until,
    )


def route(
    route_id: str = "rt_gpt", model: str = "gpt-4.1", *, org: str = "", created_at: int = 1_700_000_000
) -> policy.Route:
    return policy.Route(id=route_id, model=model, organisation_id=org, created_at=created_at)


def resource(message: policy.Organisation | policy.Key | policy.Route, version: str = "1") -> discovery.Resource:
    resource = discovery.Resource(name=message.id, version=version)
    resource.resource.type_url = type_url(type(message))
    resource.resource.value = message.SerializeToString()
    return resource


def response(
    url: str,
    *messages: policy.Organisation | policy.Key | policy.Route,
    removed: Iterable[str] = (),
    nonce: str = "n",
) -> discovery.DeltaDiscoveryResponse:
    return discovery.DeltaDiscoveryResponse(
        type_url=url, resources=[resource(each) for each in messages], removed_resources=removed, nonce=nonce
    )


def store(*messages: policy.Organisation | policy.Key | policy.Route) -> PolicyStore:
    """Returns a store that has received `messages`, and every type."""
    filled = PolicyStore()
    for url in filled.type_urls:
        filled.apply(response(url, *(each for each in messages if type_url(type(each)) == url)))
    return filled


def default_store() -> PolicyStore:
    return store(organisation(), key(), route())
