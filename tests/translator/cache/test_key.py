"""Requests that may share an answer do; requests that differ in anything that matters never do."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from translator import endpoints
from translator.cache.key import CacheRule, CacheScope, Requester, Wanted, content_of, wanted
from translator.endpoints import CHAT, RESPONSES

ASKER = Requester("org_1", "key_1", "rt_1")
RULE = CacheRule(60, CacheScope.ORGANISATION, 0)
MESSAGES = [{"role": "user", "content": "hi"}]


def want(body: object, *, requester: Requester = ASKER, rule: CacheRule = RULE, path: str = CHAT) -> Wanted | None:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    endpoint = endpoints.find(path.partition("?")[0].encode())
    assert endpoint is not None
    content = content_of(endpoint, text)
    return wanted(requester, rule, content, path.encode()) if content is not None else None


def digest(body: object, **options: Any) -> bytes:
    found = want(body, **options)
    assert found is not None
    return found.digest


def chat(**more: object) -> dict[str, object]:
    return {"model": "m", "messages": MESSAGES, **more}


texts = st.text(max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(["1", "1.0", "", "é", "e\u0301", "a,b", '","', "\\", "1e5"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(texts.map(lambda name: "x" + name), values, max_size=5).map(lambda more: chat(**more))


def written(value: Any, draw: random.Random) -> str:
    """Writes JSON with the same meaning: other white space, order of members and escapes."""
    space = draw.choice(["", " ", "\n\t"])
    if isinstance(value, dict):
        members = list(value.items())
        draw.shuffle(members)
        parts = [f"{written(name, draw)}{space}:{written(each, draw)}" for name, each in members]
        return f"{{{space}{f'{space},{space}'.join(parts)}{space}}}"
    if isinstance(value, list):
        return f"[{space}{f',{space}'.join(written(each, draw) for each in value)}{space}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=draw.random() < 0.5)
    return json.dumps(value)


def is_same(one: Any, other: Any) -> bool:
    """Returns whether two values are equal and of one type: 1, 1.0 and true are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


@pytest.mark.slow
@given(bodies, st.randoms(use_true_random=False))
def test_how_a_body_is_written_does_not_matter(body: dict[str, Any], draw: random.Random) -> None:
    plain = json.dumps(body)
    if any(len(word) > 15 for word in plain.replace(".", "").replace("-", " ").split()) or "e" in plain:
        return  # may have a number that only its own digits tell apart
    assert digest(written(body, draw).encode()) == digest(body)


@pytest.mark.slow
@given(bodies, bodies, st.randoms(use_true_random=False))
def test_bodies_that_differ_never_collide(one: dict[str, Any], other: dict[str, Any], draw: random.Random) -> None:
    if digest(written(one, draw).encode()) == digest(written(other, draw).encode()):
        assert is_same(one, other)


@pytest.mark.slow
@given(bodies, st.data())
def test_a_body_with_one_value_changed_never_collides(body: dict[str, Any], data: st.DataObject) -> None:
    changed = dict(body)
    name = data.draw(st.sampled_from(sorted(set(body) - {"model", "messages"}) or ["temperature"]))
    changed[name] = data.draw(values)
    if digest(changed) == digest(body):
        assert is_same(changed, body)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"seed":1', '"seed":2'),
        ('"seed":1', '"seed":1.0'),
        ('"seed":1', '"seed":true'),
        ('"seed":1', '"seed":"1"'),
        ('"seed":18446744073709551617', '"seed":18446744073709551618'),
        ('"seed":9007199254740993.0', '"seed":9007199254740992.0'),
        ('"seed":0.10000000000000000001', '"seed":0.1'),
        ('"seed":1e-400', '"seed":0.0'),
        ('"seed":1e-400', '"seed":1e-500'),
        ('"a":{"b":1,"b":2}', '"a":{"b":2}'),
        ('"a":{"b":1,"b":2}', '"a":{"b":2,"b":2}'),
        ('"a":{"b":[1,2],"\\u0062":2}', '"a":{"b":2}'),
        ('"a":{"b":"\\u002c","b":2}', '"a":{"b":2}'),
        ('"stop":"e\\u0301"', '"stop":"\\u00e9"'),
        ('"stop":"a"', '"stop":"A"'),
        ('"stop":"a "', '"stop":"a"'),
        ('"stop":null', '"n":1'),
        ('"stop":[]', '"stop":null'),
        ('"stop":["a","b"]', '"stop":["b","a"]'),
        ('"logit_bias":{"1":2}', '"logit_bias":{"2":1}'),
        ('"metadata":{"a":"b"}', '"metadata":{"a":"c"}'),
    ],
)
def test_what_matters_tells_requests_apart(one: str, other: str) -> None:
    start = '{"model":"m","messages":[],'
    assert digest(f"{start}{one}}}".encode()) != digest(f"{start}{other}}}".encode())


def test_a_body_that_is_nested_too_deeply_to_be_written_counts_by_its_bytes() -> None:
    deep = "[" * 400 + "]" * 400
    one, other = (f'{{"model":"m","messages":[],"x":{deep},"y":{y}}}'.encode() for y in (1, 2))
    assert digest(one) == digest(one)
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    "more",
    [
        {"user": "u"},
        {"safety_identifier": "s"},
        {"prompt_cache_key": "k"},
        {"stream": False},
        {"stream": None},
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"stream": True, "stream_options": None},
        {"store": False},
    ],
)
def test_what_changes_no_answer_does_not_matter(more: dict[str, Any]) -> None:
    assert digest(chat(**more)) == (digest(chat(store=False)) if "store" in more else digest(chat()))


def test_the_form_is_told_apart_beside_the_digest() -> None:
    plain, stream = want(chat()), want(chat(stream=True, stream_options={"include_usage": True}))
    assert plain is not None
    assert stream is not None
    assert (plain.key, plain.other) == (stream.other, stream.key)
    assert (plain.streams, plain.usage, stream.streams, stream.usage) == (False, False, True, True)


def test_other_stream_options_matter() -> None:
    assert digest(chat(stream=True, stream_options={"include_obfuscation": True})) != digest(chat(stream=True))


def test_nobody_shares_across_organisations_keys_routes_endpoints_or_targets() -> None:
    found = {
        digest(chat(user="u"), requester=requester, rule=rule, path=path)
        for requester in (ASKER, replace(ASKER, organisation="org_2"), replace(ASKER, route="rt_2"))
        for rule in (
            *(replace(RULE, scope=scope) for scope in CacheScope),
            replace(RULE, targets="a/m"),
        )
        for path in (CHAT, f"{CHAT}?a=1", "/v1/completions")
    }
    assert len(found) == 3 * 4 * 3


def test_a_scope_is_what_it_says() -> None:
    other = replace(ASKER, key="key_2")
    for scope, same in ((CacheScope.ORGANISATION, True), (CacheScope.KEY, False), (CacheScope.USER, True)):
        rule = replace(RULE, scope=scope)
        assert (digest(chat(user="u"), rule=rule) == digest(chat(user="u"), rule=rule, requester=other)) is same
    rule = replace(RULE, scope=CacheScope.USER)
    long = "u" * 300
    assert digest(chat(user=long + "1"), rule=rule) != digest(chat(user=long + "2"), rule=rule)
    assert want(chat(), rule=rule) is None
    assert want(chat(user=["u"]), rule=rule) is None


def test_versions_of_an_api_give_different_answers() -> None:
    endpoint = endpoints.find(CHAT.encode())
    assert endpoint is not None
    content = content_of(endpoint, json.dumps(chat()).encode())
    assert content is not None

    def of(**headers: bytes) -> bytes:
        sent = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        found = wanted(ASKER, RULE, content, CHAT.encode(), sent)
        assert found is not None
        return found.digest

    assert of() == of(cache_control=b"max-age=0") == digest(chat())
    different: tuple[dict[str, bytes], ...] = (
        {"openai_beta": b"a"}, {"anthropic_beta": b"a"}, {"openai_beta": b"a", "anthropic_beta": b"a"},
        {"openai_beta": b"b"}, {"openai_beta": b"a, b"}, {},
    )  # fmt: skip
    assert len({of(**headers) for headers in different}) == len(different)


@given(texts, texts, texts, texts)
def test_ids_do_not_run_into_each_other(one: str, other: str, third: str, fourth: str) -> None:
    first, second = Requester(one, "", other), Requester(third, "", fourth)
    if first != second:
        assert digest(chat(), requester=first) != digest(chat(), requester=second)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (chat(store=True), CHAT),
        ({"model": "m", "input": "hi"}, RESPONSES),
        ({"model": "m", "input": "hi", "store": True}, RESPONSES),
        ({"model": "m", "input": "hi", "store": False, "previous_response_id": "r"}, RESPONSES),
        ({"model": "m", "input": "hi", "store": False, "conversation": "c"}, RESPONSES),
    ],
)
def test_what_leaves_something_at_its_target_is_asked_there(body: object, path: str) -> None:
    assert want(body, path=path) is None


def test_a_response_shows_who_asked_so_that_matters() -> None:
    body = {"model": "m", "input": "hi", "store": False}
    assert digest(body, path=RESPONSES) != digest({**body, "user": "u"}, path=RESPONSES)
