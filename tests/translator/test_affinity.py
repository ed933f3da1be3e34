"""Sealed reasoning: its conversation stays at one place in every route."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from translator import affinity, endpoints
from translator.bodies import facts
from translator.policy.objects import PolicyKey, PolicyRoute

SEALED = {"model": "gpt-4.1", "store": False, "include": ["reasoning.encrypted_content"]}
FIRST = {"role": "user", "content": "Hello"}


def known(kept: policy.Affinity.ValueType) -> tuple[PolicyKey, PolicyRoute]:
    way = policies.route()
    way.affinity = kept
    store = policies.store(policies.organisation(), policies.key(), way)
    key = store.key_by_id("key_ci")
    assert key is not None
    route = store.route(key, "gpt-4.1")
    assert route is not None
    return key, route


def read(**values: Any) -> facts.BodyFacts:
    endpoint = endpoints.find(b"/v1/responses")
    assert endpoint is not None
    return facts.read(json.dumps({"model": "gpt-4.1", **values}).encode(), b"application/json", endpoint)[0]


@pytest.mark.parametrize("kept", [policy.AFFINITY_UNSPECIFIED, policy.AFFINITY_POOL, policy.AFFINITY_CONVERSATION])
def test_all_its_turns_go_to_one_target(kept: policy.Affinity.ValueType) -> None:
    key, route = known(kept)
    reasoning = {"type": "reasoning", "encrypted_content": "x", "summary": []}
    turns = [read(**SEALED, input="Hello"), read(**SEALED, input=[FIRST, reasoning, FIRST])]
    words = {affinity.word(key, route, each) for each in turns}
    assert len(words) == 1
    assert words.pop().startswith("t")
    assert all(each.sealed for each in turns)


@pytest.mark.parametrize(
    "include", [None, [], ["message.output_text.logprobs"], "reasoning.encrypted_content", [{}]]
)
def test_others_go_by_weight(include: object) -> None:
    plain = read(input="Hello", include=include)
    assert (plain.sealed, plain.head) == (False, 0)
