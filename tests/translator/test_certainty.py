"""Missing objects are refused for good only once the control plane has announced that the policy is complete."""

from __future__ import annotations

import json

import pytest
from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from tests.translator import policies
from tests.translator.policies import KEY, ORGANISATION, OTHER_VALUE, ROUTE
from tests.translator.test_authorise import ask, refusal
from translator import health
from translator.policy.store import PolicyStore
from translator.policy.subscription import PolicySubscription

NODE = discovery.Node(id="t1", cluster="translator")


def restored() -> PolicyStore:
    """Returns the policy of a translator at its start: the one that was stored last."""
    store = PolicyStore()
    store.restore(policies.default_store().contents())
    return store


def test_a_policy_of_last_time_serves_and_says_no_to_nobody() -> None:
    store = restored()
    assert ask(store=store)
    for options in ({"value": OTHER_VALUE}, {"body": {"model": "new"}}):
        refused = refusal(store=store, **options)
        assert (refused.status, refused.code, refused.headers) == (503, "policy_unavailable", {"retry-after": "1"})


def test_the_last_of_a_stream_s_types_makes_it_certain_even_if_nothing_has_changed() -> None:
    store = restored()
    stream = PolicySubscription(store, NODE)
    stream.receive(policies.response(KEY, policies.key("key_new", value=OTHER_VALUE)))
    assert not store.certain
    assert ask(store=store, value=OTHER_VALUE)
    stream.receive(policies.response(ROUTE))
    assert store.certain
    assert refusal(store=store, value="sk-tl-nobody-0123456789abcdef").status == 401
    assert refusal({"model": "new"}, store=store).status == 404


def test_a_first_start_is_certain_when_every_type_has_come() -> None:
    store = PolicyStore()
    stream = PolicySubscription(store, NODE)
    for url in (ORGANISATION, KEY):
        stream.receive(policies.response(url))
        assert refusal(store=store).status == 503
    stream.receive(policies.response(ROUTE))
    assert refusal(store=store).status == 401


def test_a_control_plane_that_comes_back_may_have_another_database() -> None:
    store = restored()
    PolicySubscription(store, NODE).receive(policies.response(ROUTE))
    assert refusal(store=store, value=OTHER_VALUE).status == 401
    again = PolicySubscription(store, NODE)
    assert (
        refusal(store=store, value=OTHER_VALUE).status == 401
    )  # no control plane: the known policy stays in force
    again.receive(policies.response(ORGANISATION))
    assert refusal(store=store, value=OTHER_VALUE).status == 503


@pytest.mark.parametrize("starting", [True, False])
def test_until_trunkline_yaml_is_applied_nothing_is_certain(starting: bool) -> None:
    store = restored()
    PolicySubscription(store, NODE).receive(policies.response(ROUTE))
    store.starting = lambda: starting
    assert refusal(store=store, value=OTHER_VALUE).status == (503 if starting else 401)
    answer = health.readyz(store, {}, starting=store.starting())
    assert answer.status == (503 if starting else 200)
    if not starting:
        assert json.loads(answer.body)["up_to_date"] is True
