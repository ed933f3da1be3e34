"""Responses are applied completely or not at all, and the index follows them."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from tests.translator import policies
from tests.translator.policies import KEY, ORGANISATION, OTHER_VALUE, ROUTE, VALUE
from translator.errors import PolicyError
from translator.policy.store import PolicyStore

HASH = hashlib.sha256(VALUE.encode()).digest()


def test_what_is_held_and_where_it_comes_from() -> None:
    store = PolicyStore()
    assert (store.source, store.held) == ("none", False)
    store.apply(policies.response(ORGANISATION))
    store.apply(policies.response(KEY, policies.key()))
    assert not store.held  # routes are missing
    store.apply(policies.response(ROUTE))
    assert (store.source, store.held) == ("control plane", True)
    assert store.counts == {"organisations": 0, "keys": 1, "routes": 0}
    assert store.versions(KEY) == {"key_ci": "1"}


def test_a_snapshot_is_the_same_policy() -> None:
    restored = PolicyStore()
    restored.restore(policies.default_store().contents())
    assert (restored.source, restored.held) == ("snapshot", True)
    key = restored.key_by_hash(HASH)
    assert key is not None
    assert restored.route(key, "gpt-4.1") is not None
    assert restored.versions(ROUTE) == {"rt_gpt": "1"}


def test_changes_are_reported_and_age_counts_from_them() -> None:
    now = [0.0]
    store = PolicyStore(lambda: now[0])
    calls: list[float] = []
    store.on_change = lambda: calls.append(now[0])
    now[0] = 5.0
    store.apply(policies.response(ROUTE))
    assert (calls, store.age_seconds) == ([], 5.0)
    store.apply(policies.response(ROUTE, policies.route()))
    now[0] = 7.0
    assert (calls, store.age_seconds) == ([5.0], 2.0)


def any_of(url: str, value: bytes, name: str = "key_b") -> discovery.DeltaDiscoveryResponse:
    response = policies.response(KEY, policies.key("key_a", value=OTHER_VALUE))
    extra = response.resources.add(name=name, version="1")
    extra.resource.type_url = url
    extra.resource.value = value
    return response


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (any_of(KEY, b"\xff\xff"), "does not decode"),
        (any_of(ROUTE, b""), "is a 'type.googleapis.com/trunkline.policy.v1.Route'"),
        (any_of(KEY, policies.key("key_c").SerializeToString()), "its id differs"),
        (any_of(KEY, b"", name=""), "visible ASCII"),
        (any_of(KEY, policies.key("key\r\nb").SerializeToString(), name="key\r\nb"), "visible ASCII"),
        (any_of(KEY, policies.key("key_b", org="").SerializeToString()), "organisation_id"),
        (
            any_of(KEY, policy.Key(id="key_b", organisation_id="o", hash=b"x").SerializeToString()),
            "hash has 1 bytes",
        ),
        (any_of(KEY, policies.key("key_a").SerializeToString(), name="key_a"), "'key_a' is sent twice"),
        (policies.response(KEY, policies.key("key_a"), removed=["key_a"]), "'key_a' is sent twice"),
        (policies.response("type.googleapis.com/x.Y"), "unknown type"),
        (policies.response(ROUTE, policies.route(model="")), "model is empty"),
    ],
)
def test_a_response_with_one_bad_resource_changes_nothing(
    response: discovery.DeltaDiscoveryResponse, reason: str
) -> None:
    store = policies.default_store()
    before = [each.SerializeToString() for each in store.contents()]
    with pytest.raises(PolicyError, match=re.escape(reason)):
        store.apply(response)
    assert [each.SerializeToString() for each in store.contents()] == before
    assert store.key_by_id("key_a") is None


def test_a_bad_snapshot_is_not_restored_in_part() -> None:
    store = PolicyStore()
    with pytest.raises(PolicyError):
        store.restore([policies.response(KEY, policies.key()), policies.response("type.googleapis.com/x.Y")])
    assert not store.held
    assert store.key_by_hash(HASH) is None


def test_a_route_replaced_by_another_of_its_model_whichever_comes_first() -> None:
    store = policies.default_store()
    key = store.key_by_id("key_ci")
    assert key is not None

    def current() -> str | None:
        route = store.route(key, "gpt-4.1")
        return route.id if route else None

    store.apply(policies.response(ROUTE, policies.route("rt_new")))
    assert current() == "rt_new"
    store.apply(policies.response(ROUTE, removed=["rt_gpt"]))
    assert current() == "rt_new"
    store.apply(policies.response(ROUTE, policies.route("rt_newer"), removed=["rt_new"]))
    assert current() == "rt_newer"
    store.apply(policies.response(ROUTE, policies.route("rt_last")))
    store.apply(policies.response(ROUTE, removed=["rt_last"]))
    assert current() == "rt_newer"
    store.apply(policies.response(ROUTE, policies.route("rt_newer", "renamed")))
    assert current() is None
    assert store.routes(key)[0].model == "renamed"


def test_a_key_whose_value_and_models_change() -> None:
    store = policies.default_store()
    store.apply(policies.response(KEY, policies.key(value=OTHER_VALUE, models=["x-*"])))
    assert store.key_by_hash(HASH) is None
    key = store.key_by_hash(hashlib.sha256(OTHER_VALUE.encode()).digest())
    assert key is not None
    assert store.route(key, "gpt-4.1") is None
    assert store.routes(key) == []
    store.apply(policies.response(KEY, removed=["key_ci", "key_never_there"]))
    assert store.key_by_id("key_ci") is None


@pytest.mark.parametrize(
    ("patterns", "allowed"),
    [
        (["*"], True),
        ([], False),
        (["gpt-*", "x"], True),
        (["GPT-*"], False),
        (["gpt-4?1"], True),
        (["gpt-4"], False),
    ],
)
def test_patterns(patterns: list[str], *, allowed: bool) -> None:
    store = policies.store(policies.organisation(), policies.key(models=patterns), policies.route())
    key = store.key_by_id("key_ci")
    assert key is not None
    for _ in range(2):
        assert (store.route(key, "gpt-4.1") is not None) is allowed


def test_a_former_secret_leads_to_its_key_until_the_key_or_the_rotation_goes() -> None:
    former = hashlib.sha256(OTHER_VALUE.encode()).digest()
    store = policies.store(policies.key(former=OTHER_VALUE, former_until=9))
    found = store.key_by_hash(former)
    assert found is not None
    assert (found.id, found.expires_at, found.rotated) == ("key_ci", 9, True)
    assert store.key_by_id("key_ci") is store.key_by_hash(HASH)
    store.apply(policies.response(KEY, policies.key()))
    assert store.key_by_hash(former) is None
    store.apply(policies.response(KEY, policies.key(former=OTHER_VALUE, former_until=9)))
    store.apply(policies.response(KEY, removed=["key_ci"]))
    assert (store.key_by_hash(former), store.key_by_hash(HASH)) == (None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"former_hash": b"short", "former_until": 9},
        {"former_hash": b"f" * 32},
        {"former_until": 9},
        {"former_hash": HASH, "former_until": 9},
    ],
)
def test_a_former_secret_without_an_end_is_refused(wrong: dict[str, Any]) -> None:
    message = policies.key()
    message.MergeFrom(policy.Key(**wrong))
    with pytest.raises(PolicyError, match="former_hash"):
        PolicyStore().apply(policies.response(KEY, message))
