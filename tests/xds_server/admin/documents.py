"""A document with one object of every kind, and the secrets that must never appear again."""

from __future__ import annotations

from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2

CREDENTIAL = "credential-that-must-not-leak-9f8e7d"
KEY_VALUE = "imported-key-that-must-not-leak-1a2b3c"
SECRETS = (CREDENTIAL, KEY_VALUE)


def limit(amount: int = 600) -> policy_pb2.Limit:
    return policy_pb2.Limit(metric=policy_pb2.METRIC_REQUESTS, per_seconds=60, amount=amount)


def document() -> pb.Document:
    return pb.Document(
        providers=[
            pb.Provider(name="openai", base_url="https://api.example.com/v1/", credentials=[CREDENTIAL]),
            pb.Provider(name="azure", base_url="http://127.0.0.1:9000"),
        ],
        routes=[
            pb.Route(
                model="gpt-4.1",
                targets=[
                    pb.RouteTarget(
                        provider="openai", model="gpt-4.1", weight=80, price=policy_pb2.Price(input=2, output=8)
                    ),
                    pb.RouteTarget(provider="azure", model="vendor/gpt-4.1", weight=20),
                    pb.RouteTarget(nodes="llama3:70b", tier=1),
                ],
                timeouts=pb.Timeouts(first_byte_ms=30_000),
            ),
            pb.Route(
                model="gpt-4.1",
                organisation="acme",
                strategy=pb.STRATEGY_OWN_FIRST,
                privacy=pb.PRIVACY_OWN_NODES,
                targets=[pb.RouteTarget(nodes="llama3:70b")],
                cache_ttl_seconds=5,
            ),
        ],
        organisations=[
            pb.OrganisationDocument(
                organisation=pb.Organisation(name="acme", limits=[limit()]),
                keys=[pb.KeyDocument(key=pb.Key(name="ci", models=["gpt-*"], limits=[limit(5)]), value=KEY_VALUE)],
            )
        ],
    )
