"""For each field of the configuration, a valid document in which the field is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from trunkline_proto.admin.v1 import admin_pb2 as admin, quota_pb2
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.parity import fields

KEY_VALUE = "sk-a-key-of-the-parity-tests"
WEBHOOK_SECRET = "a-secret-of-the-parity-tests"

#: The place of a message of each type in the document of `base`.
PLACES: Mapping[str, Callable[[admin.Document], Message]] = {
    "Provider": lambda document: document.providers[0],
    "Quota of a provider": lambda document: document.providers[0].quota[0],
    "CredentialQuota": lambda document: document.providers[1].credential_quotas[0],
    "Quota of a credential": lambda document: document.providers[1].credential_quotas[0].quota[0],
    "Route": lambda document: document.routes[0],
    "RouteTarget": lambda document: document.routes[0].targets[0],
    "RouteTarget of nodes": lambda document: document.routes[0].targets[1],
    "Price": lambda document: document.routes[0].targets[0].price,
    "ImagePrice": lambda document: document.routes[0].targets[0].price.images[1],
    "ContextTier": lambda document: document.routes[0].targets[0].price.tiers[0],
    "Rates of a context tier": lambda document: document.routes[0].targets[0].price.tiers[0].rates,
    "ServiceTier": lambda document: document.routes[0].targets[0].price.service_tiers[0],
    "Rates of a service tier": lambda document: document.routes[0].targets[0].price.service_tiers[0].rates,
    "Timeouts": lambda document: document.routes[0].timeouts,
    "Limit of a route": lambda document: document.routes[0].limits[0],
    "Organisation": lambda document: document.organisations[0].organisation,
    "Limit of an organisation": lambda document: document.organisations[0].organisation.limits[0],
    "Key": lambda document: document.organisations[0].keys[0].key,
    "Limit of a key": lambda document: document.organisations[0].keys[0].key.limits[0],
    "Gateway": lambda document: document.gateway,
    "Cors": lambda document: document.gateway.cors,
    "SharedCache": lambda document: document.gateway.cache,
    "Alerting": lambda document: document.gateway.alerts,
    "Accounts": lambda document: document.gateway.accounts,
    "IdentityProvider": lambda document: document.gateway.oidc[0],
    "GroupRole": lambda document: document.gateway.oidc[0].groups[0],
    "GroupRole of admins": lambda document: document.gateway.oidc[0].groups[1],
    "SignUp": lambda document: document.gateway.oidc[0].sign_up,
    "JwtIssuer": lambda document: document.gateway.jwt[0],
    "JwtGrant": lambda document: document.gateway.jwt[0].grants[0],
    "DefaultModel": lambda document: document.gateway.defaults[0],
    "KeyDocument": lambda document: document.organisations[0].keys[0],
}
#: Messages that only hold others, or that are output only.
CONTAINERS = {"Document", "OrganisationDocument", "SectionManager"}

#: Fields that are not configuration, and why.
EXCEPTIONS: Mapping[str, str] = {
    "Provider.version": "of the stored object, for optimistic concurrency",
    "Route.version": "of the stored object, for optimistic concurrency",
    "Organisation.version": "of the stored object, for optimistic concurrency",
    "Key.version": "of the stored object, for optimistic concurrency",
    "Gateway.version": "of the stored object, for optimistic concurrency",
    "Price.version": "the store numbers a target's prices",
    "Provider.credentials": "a secret goes in and never comes out; see test_secrets_are_stored_and_stay_inside",
    "Alerting.secret": "a secret goes in and never comes out; see tests/xds_server/alerts/test_sender.py",
    "IdentityProvider.client_secret": "a secret goes in and stays; see tests/xds_server/accounts/test_oidc.py",
    "GroupRole of admins.organisation": "an organisation and a role go together",
    "GroupRole of admins.role": "an organisation and a role go together",
    "GroupRole of admins.admin": "it is what this one gives",
    "KeyDocument.value": "a secret goes in and never comes out; see test_secrets_are_stored_and_stay_inside",
    "Provider.clear_credentials": "an order, not a state",
    "SharedCache.password": "a secret goes in and never comes out; see test_secrets_are_stored_and_stay_inside",
    "SharedCache.clear_password": "an order, not a state",
    "Provider.dialect": "this version speaks one",
    "Key.pins_targets": "such a key lasts a day; see tests/xds_server/accounts/test_roles.py",
    "Key.organisation": "the organisation around it, which has a case of its own",
    "RouteTarget of nodes.provider": "a target is at a provider or on nodes",
    "RouteTarget of nodes.model": "a target is at a provider or on nodes",
    "RouteTarget.nodes": "a target is at a provider or on nodes",
    "Limit of a route.model": "a route serves one model",
}
#: Values that replace those from the descriptor.
VALUES: Mapping[str, list[Any]] = {
    "Provider.base_url": ["https://other.example/v2"],
    "Provider.ca_file": ["/etc/ca.pem"],
    "Provider.stream_usage": [False],
    "Provider.health_path": ["/models"],
    "Provider.health_statuses": [[204]],
    "Quota.metric": [policy.METRIC_REQUESTS, policy.METRIC_TOKENS],
    "Route.organisation": [""],
    "Route.strategy": [each for each in admin.Strategy.values() if each not in {0, admin.STRATEGY_OWN_ONLY}],
    "RouteTarget.provider": ["q"],
    "Price.valid_from": [4_000_000_000],
    "Limit.time_zone": ["Europe/Berlin"],
    "Cors.origins": [["https://app.example"]],
    "DefaultModel.endpoint": ["images/edits"],
    "SharedCache.store": ["redis://127.0.0.1:6379/1"],
    "SharedCache.ca_file": ["/etc/ca.pem"],
    "Key.expires_at": [4_000_000_000],
    "Alerting.webhook": ["https://hooks.example/b"],
    "Accounts.console_url": ["https://console.example"],
    "IdentityProvider.issuer": ["https://login.example/b"],
    "IdentityProvider.scopes": [["email"]],
    "JwtIssuer.issuer": ["https://tokens.example/b"],
    "JwtIssuer.jwks_url": ["https://tokens.example/keys"],
    "JwtIssuer.audiences": [["api"]],
    "SignUp.domains": [["b.example"]],
}


def _calendar(limit: Any) -> None:
    limit.ClearField("per_seconds")
    limit.calendar = policy.CALENDAR_DAY


def _own_nodes(route: Any) -> None:
    del route.targets[2], route.targets[0]


def _with_tls(cache: Any) -> None:
    cache.store = "rediss://127.0.0.1:6379/1"


#: Other fields that must be set along with the field.
BESIDE: Mapping[str, Callable[[Any], None]] = {
    "Limit.calendar": _calendar,
    "Limit.time_zone": _calendar,
    "Route.privacy": _own_nodes,
    "SharedCache.ca_file": _with_tls,
}


def _settle(document: admin.Document, place: str, kind: str) -> None:
    """Changes other fields that must change with this one."""
    message: Any = PLACES[place](document)
    if kind == "Provider.name":
        document.routes[0].targets[0].provider = message.name
    if kind == "Organisation.name":
        document.routes[0].organisation = document.organisations[0].keys[0].key.organisation = message.name
    if kind == "Limit.metric" and message.metric == policy.METRIC_CONCURRENCY:
        message.ClearField("per_seconds")


@dataclass(frozen=True)
class Case:
    """A case. `before` and `after` differ in one field."""

    place: str
    field: str
    value: Any
    before: admin.Document
    after: admin.Document

    @property
    def name(self) -> str:
        return f"{self.place}.{self.field}={self.value}"

    @property
    def kind(self) -> str:
        """The field, wherever its message is: `Limit.model`."""
        return f"{self.place.split(' of ')[0]}.{self.field}"


def base() -> admin.Document:
    """Returns a document with one of everything and as few fields as are accepted. Fields with a default have its
    value.
    """

    def limit() -> policy.Limit:
        return policy.Limit(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=600)

    def rates() -> policy.Rates:
        return policy.Rates(input=3_000_000, output=9_000_000)

    def price() -> policy.Price:
        return policy.Price(
            input=2_000_000,
            output=8_000_000,
            images=[policy.ImagePrice(name=name, price=40_000) for name in ("default", "1024x1024/high")],
            tiers=[policy.ContextTier(above=200_000, rates=rates())],
            service_tiers=[
                policy.ServiceTier(
                    name="flex", rates=rates(), tiers=[policy.ContextTier(above=100_000, rates=rates())]
                )
            ],
        )

    def quota(amount: int) -> list[quota_pb2.Quota]:
        return [quota_pb2.Quota(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=amount)]

    return admin.Document(
        providers=[
            admin.Provider(
                name=name,
                dialect="openai",
                base_url="https://api.example/v1",
                stream_usage=True,
                quota=quota(600),
                credential_quotas=own,
                health_path="/healthz",
            )
            for name, own in (("p", []), ("q", [quota_pb2.CredentialQuota(credential=1, quota=quota(300))]))
        ],
        routes=[
            admin.Route(
                model="m",
                organisation="acme",
                strategy=admin.STRATEGY_WEIGHTED,
                privacy=admin.PRIVACY_ANY,
                affinity=policy.AFFINITY_POOL,
                prompt_cache_key=policy.PROMPT_CACHE_KEY_NONE,
                queue_longest_ms=30_000,
                cache_ttl_seconds=60,
                cache_scope=policy.CACHE_SCOPE_ORGANISATION,
                timeouts=admin.Timeouts(),
                targets=[
                    admin.RouteTarget(provider="p", model="x", weight=2, price=price()),
                    admin.RouteTarget(nodes="n", weight=1, price=policy.Price(input=1_000, output=1_000)),
                    admin.RouteTarget(provider="q", model="y", weight=1, price=policy.Price(input=1, output=1)),
                ],
                limits=[limit()],
            )
        ],
        organisations=[
            admin.OrganisationDocument(
                organisation=admin.Organisation(name="acme", limits=[limit()]),
                keys=[
                    admin.KeyDocument(
                        key=admin.Key(
                            name="ci",
                            organisation="acme",
                            models=["*"],
                            limits=[limit()],
                            priority=policy.PRIORITY_NORMAL,
                        ),
                        value=KEY_VALUE,
                    )
                ],
            )
        ],
        gateway=admin.Gateway(
            cors=admin.Cors(origins=["*"]),
            defaults=[policy.DefaultModel(endpoint="moderations", model="m")],
            cache=admin.SharedCache(store="memory", most_bytes=1),
            alerts=admin.Alerting(webhook="https://hooks.example/a", secret=WEBHOOK_SECRET),
            accounts=admin.Accounts(console_url="https://a.example"),
            oidc=[
                admin.IdentityProvider(
                    name="corp",
                    issuer="https://login.example/a",
                    client_id="trunkline",
                    groups=[
                        admin.GroupRole(group="staff", organisation="acme", role=admin.ROLE_MEMBER),
                        admin.GroupRole(group="ops", admin=True),
                    ],
                    sign_up=admin.SignUp(domains=["a.example"], organisation="acme", role=admin.ROLE_VIEWER),
                )
            ],
            jwt=[
                admin.JwtIssuer(
                    name="corp",
                    issuer="https://tokens.example/a",
                    audiences=["trunkline"],
                    grants=[admin.JwtGrant(claim="groups", value="staff", organisation="acme", key="ci")],
                )
            ],
        ),
    )


def cases() -> Iterator[Case]:
    """Yields a case for each value of each field that is not an exception."""
    for place, find in PLACES.items():
        for field in find(base()).DESCRIPTOR.fields:
            kind = f"{place.split(' of ')[0]}.{field.name}"
            if fields.is_output_only(field) or EXCEPTIONS.keys() & {kind, f"{place}.{field.name}"}:
                continue
            values = list(VALUES.get(kind) or fields.values(field))
            for value in values:
                before, after = base(), base()
                for document in (before, after):
                    BESIDE.get(kind, lambda message: None)(find(document))
                if getattr(find(before), field.name) == value:
                    fields.put(find(before), field.name, next(each for each in values if each != value))
                fields.put(find(after), field.name, value)
                _settle(after, place, kind)
                yield Case(place, field.name, value, before, after)
