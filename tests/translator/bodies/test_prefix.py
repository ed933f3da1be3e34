"""Support for providers' prompt caches: the body that a target gets, and that its meaning is unchanged."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, strategies as st
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from translator.authorise import Authoriser
from translator.bodies import prefix
from translator.bodies.facts import read
from translator.checks.answers import Allowed
from translator.endpoints import find
from translator.limits import Limiter
from translator.message import Request
from translator.metering import Meter
from translator.policy.store import PolicyStore

CHAT = "/v1/chat/completions"
NOW = 1_800_000_000.0
HELLO = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hello"}]}


def store(**settings: Any) -> PolicyStore:
    organisation, key, route = policies.organisation(), policies.key(), policies.route()
    for name, value in settings.items():
        setattr(route, name, value)
    return policies.store(organisation, key, route)


def ask(held: PolicyStore, body: bytes, path: str = CHAT) -> Allowed:
    meter = Meter(Limiter(held.limits_by_id), None, lambda: NOW)
    headers = {b"authorization": b"Bearer " + policies.VALUE.encode(), b"x-request-id": b"r"}
    answer = Authoriser(held, meter, lambda: NOW).decide(Request("POST", path.encode(), headers, body))
    assert isinstance(answer, Allowed)
    return answer


def sent(allowed: Allowed, body: bytes, model: str = "m") -> bytes:
    """Returns the body that a target which supports everything gets, as Envoy's module would make it."""
    if allowed.replaced is not None:
        size, text = allowed.replaced
        body = text + body[size:]
    offset, length, kind, shown = allowed.model.split(":", 3)
    name = json.dumps(model) if kind == "j" else f'{{"model":{json.dumps(model)},'
    if kind == "j" and shown:
        assert body[int(offset) : int(offset) + int(length)] == shown.encode()
    edits = [(int(offset), int(length), name)]
    if allowed.usage != "-":
        offset, length, text_ = allowed.usage.split(":", 2)
        edits.append((int(offset), int(length), text_))
    for at, size_, text_ in sorted(edits, reverse=True):
        body = body[:at] + text_.encode() + body[at + size_ :]
    return body


BY_CONVERSATION = {"prompt_cache_key": policy.PROMPT_CACHE_KEY_CONVERSATION}
STABLE = {"prompt_cache_stable_order": True}


def test_off_by_default_and_byte_for_byte() -> None:
    body = json.dumps({**HELLO, "tools": [{"type": "function", "function": {"name": "b", "description": "a"}}]})
    assert ask(store(), body.encode()).replaced is None


@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("settings", [BY_CONVERSATION, STABLE, {**BY_CONVERSATION, **STABLE}])
@pytest.mark.parametrize("space", ["", " \n"])
def test_a_target_gets_what_the_client_said(
    settings: dict[str, Any], path: str, space: str, *, stream: bool
) -> None:
    said: dict[str, object] = {
        "tools": [{"type": "function", "parameters": {"type": "object", "b": 1, "a": {"d": 1, "c": 2}}}],
        **HELLO,
    }
    if stream:
        said["stream"] = True
    if path != CHAT:
        said["input"] = said.pop("messages")
    body = (space + json.dumps(said)).encode()
    allowed = ask(store(**settings), body, path)
    got = orjson.loads(sent(allowed, body))
    key = got.pop("prompt_cache_key", "")
    assert bool(key) is ("prompt_cache_key" in settings)
    if got.pop("stream_options", None):
        assert stream
    assert got == {**said, "model": "m"}


def test_a_request_without_a_model_gets_both() -> None:
    held = store(**BY_CONVERSATION)
    organisation = policies.organisation()
    organisation.defaults.add(endpoint="chat/completions", model="gpt-4.1")
    held.apply(policies.response(policies.ORGANISATION, organisation))
    body = json.dumps({"messages": HELLO["messages"], "stream": True}).encode()
    got = orjson.loads(sent(ask(held, body), body))
    assert got["model"] == "m"
    assert len(got["prompt_cache_key"]) == 32
    assert got["messages"] == HELLO["messages"]


def key(held: PolicyStore, said: dict[str, Any], path: str = CHAT) -> str:
    body = json.dumps(said).encode()
    found = orjson.loads(sent(ask(held, body, path), body)).get("prompt_cache_key", "")
    assert isinstance(found, str)
    return found


def test_the_turns_of_a_conversation_have_one_key_and_others_another() -> None:
    held = store(**BY_CONVERSATION)
    more = [*HELLO["messages"], {"role": "assistant", "content": "hi"}, {"role": "user", "content": "and?"}]
    first = key(held, HELLO)
    assert key(held, {**HELLO, "messages": more}) == first
    assert key(held, {**HELLO, "messages": [{"role": "user", "content": "other"}]}) != first
    assert key(held, {**HELLO, "user": "alice"}) == first


def test_no_two_organisations_share_a_key() -> None:
    rule = prefix.PromptCacheRule("conversation", stable_order=False)
    facts, _ = read(json.dumps(HELLO).encode(), b"", endpoint())
    facts = msgspec.structs.replace(facts, head=7)
    assert prefix.made_key("org_a", "rt", rule, facts) != prefix.made_key("org_b", "rt", rule, facts)


def test_a_key_by_user() -> None:
    held = store(prompt_cache_key=policy.PROMPT_CACHE_KEY_USER)
    alice = key(held, {**HELLO, "user": "alice"})
    assert (
        key(held, {"model": "gpt-4.1", "messages": [{"role": "user", "content": "x"}], "user": "alice"}) == alice
    )
    assert key(held, {**HELLO, "user": "bob"}) != alice
    assert key(held, HELLO)  # derived from the conversation


@pytest.mark.parametrize("given_", ["mine", None, ""])
def test_a_clients_own_key_stays(given_: str | None) -> None:
    body = json.dumps({**HELLO, "prompt_cache_key": given_}).encode()
    assert ask(store(**BY_CONVERSATION), body).replaced is None


def test_other_endpoints_are_left_alone() -> None:
    body = json.dumps({"model": "gpt-4.1", "input": "x", "tools": [{"b": 1, "a": 2}]}).encode()
    assert ask(store(**BY_CONVERSATION, **STABLE), body, "/v1/embeddings").replaced is None


def endpoint(path: str = CHAT) -> Any:
    found = find(path.encode())
    assert found is not None
    return found


def test_a_body_that_was_read_elsewhere_gets_its_key() -> None:
    body = json.dumps({**HELLO, "stream": True}).encode()
    facts, values = read(body, b"", endpoint())
    opened = msgspec.structs.replace(facts, head=5, opening=prefix.opening(body, values, endpoint()))
    moved, (size, text) = prefix.with_key(opened, "k" * 32)
    got = orjson.loads(sent(Allowed("r", usage=moved.usage, model=moved.place, replaced=(size, text)), body))
    options = {"stream_options": {"include_usage": True}, "prompt_cache_key": "k" * 32}
    assert got == {**HELLO, "model": "m", "stream": True, **options}


def stable(said: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({**HELLO, **said}).encode()
    return orjson.loads(sent(ask(store(**STABLE), body), body))  # type: ignore[no-any-return]


def test_the_order_of_members_does_not_matter() -> None:
    one = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    other = {"function": {"parameters": {"properties": {}, "type": "object"}, "name": "f"}, "type": "function"}
    first, second = json.dumps(stable({"tools": [one]})), json.dumps(stable({"tools": [other]}))
    assert first == second


def test_properties_stay_in_the_order_in_which_they_are_required() -> None:
    schema = {
        "type": "object",
        "properties": {"why": {"type": "string"}, "answer": {}, "z": {}, "b": {}},
        "required": ["why", "answer"],
    }
    got = stable({"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}})
    found = got["response_format"]["json_schema"]["schema"]
    assert list(found) == ["properties", "required", "type"]
    assert list(found["properties"]) == ["why", "answer", "b", "z"]
    # The order of tools, and of everything else, is the client's.
    assert list(stable({"tools": [{"b": 1}, {"a": 1}], "user": "u"}))[-2:] == ["tools", "user"]


@pytest.mark.parametrize(
    "tools",
    [
        b'[{"b":1,"a":12345678901234567890123}]',  # more than a double holds
        b'[{"b":1,"b":2,"a":3}]',
        b"[" * 500 + b"]" * 500,
    ],
)
def test_what_would_lose_something_stays_as_it_is(tools: bytes) -> None:
    body = b'{"model":"gpt-4.1","messages":[],"tools":%b}' % tools
    assert ask(store(**STABLE), body).replaced is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["properties", "required", "a", "b"]), inner)
    ),
    max_leaves=20,
)


@pytest.mark.slow
@given(tools=st.lists(JSON, max_size=3), by_key=st.booleans(), stream=st.booleans())
def test_whatever_the_tools_are_they_mean_the_same(tools: list[Any], *, by_key: bool, stream: bool) -> None:
    said = {**HELLO, "tools": tools, "stream": stream}
    body = json.dumps(said).encode()
    got = orjson.loads(sent(ask(store(**STABLE, **(BY_CONVERSATION if by_key else {})), body), body))
    got.pop("prompt_cache_key", None)
    got.pop("stream_options", None)
    assert got == {**said, "model": "m"}
