"""The client's side of delta ADS (xDS protocol, "Incremental xDS")."""

from __future__ import annotations

from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from tests.translator import policies
from tests.translator.policies import JWT_ISSUER, KEY, ORGANISATION, ROUTE
from translator.policy.store import PolicyStore
from translator.policy.subscription import PolicySubscription

NODE = discovery.Node(id="t1", cluster="translator")


def test_the_opening_asks_for_everything_as_a_difference_to_what_is_held() -> None:
    requests = PolicySubscription(policies.default_store(), NODE).opening()
    assert [request.type_url for request in requests] == [ORGANISATION, KEY, JWT_ISSUER, ROUTE]
    assert [request.node.id for request in requests] == ["t1", "", "", ""]
    assert all(list(request.resource_names_subscribe) == ["*"] for request in requests)
    assert [dict(request.initial_resource_versions) for request in requests] == [
        {"org_acme": "1"},
        {"key_ci": "1"},
        {},
        {"rt_gpt": "1"},
    ]


def test_ack() -> None:
    subscription = PolicySubscription(PolicyStore(), NODE)
    answer = subscription.receive(policies.response(KEY, policies.key(), nonce="n7"))
    assert answer.refused == ""
    assert answer.request == discovery.DeltaDiscoveryRequest(type_url=KEY, response_nonce="n7")


def test_nack() -> None:
    response = policies.response(KEY, policies.key(), nonce="n8")
    response.resources[0].name = "key_other"
    answer = PolicySubscription(PolicyStore(), NODE).receive(response)
    assert (answer.request.type_url, answer.request.response_nonce) == (KEY, "n8")
    assert answer.request.error_detail.code == 3
    assert (
        answer.request.error_detail.message
        == answer.refused
        == "'key_other': its id differs from its resource name"
    )
