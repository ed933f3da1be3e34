"""Offsets in a JSON body: replacing the bytes at an offset must change the intended value and nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import example, given, strategies as st

from translator.bodies.json_body import parse
from translator.bodies.names import INTERPRETED, taken_for
from translator.errors import Refusal

NEW = "vendor/other"


def renamed(body: bytes) -> Any:
    """Returns the parsed body with another model in place."""
    offset, length = parse(body).model_value()
    return json.loads(body[:offset] + json.dumps(NEW).encode() + body[offset + length :])


def asked_for_usage(body: bytes) -> Any:
    edit = parse(body).usage_edit()
    assert edit is not None
    return json.loads(body[: edit.offset] + edit.text.encode() + body[edit.offset + edit.length :])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        "model",
        '"model"',
        '{"model": "x"}',
        "stream",
        "stream_options",
        "\\",
        '\\"',
        '"model":',
        "mod\\u0065l",
        "é\u2028",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
MODELS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
SPACE = st.text(" \t\r\n", max_size=3)


@st.composite
def spelt(draw: st.DrawFn, text: str) -> str:
    """A JSON string for `text`, in which any character may be escaped."""
    pieces = []
    for character in text:
        must = character in '"\\' or ord(character) < 0x20
        if must or draw(st.integers(0, 5)) == 0:
            units = character.encode("utf-16-be").hex()
            hexadecimal = [units[i : i + 4] for i in range(0, len(units), 4)]
            pieces += ["\\u" + (unit.upper() if draw(st.booleans()) else unit) for unit in hexadecimal]
        else:
            pieces.append(character)
    return '"' + "".join(pieces) + '"'


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, str]:
    """A body with exactly one top-level model, and that model."""
    others = draw(
        st.dictionaries(TEXT.filter(lambda key: key not in INTERPRETED and taken_for(key) is None), VALUES)
    )
    members = [(key, json.dumps(value, ensure_ascii=draw(st.booleans()))) for key, value in others.items()]
    model = draw(MODELS)
    members.append(("model", draw(spelt(model))))
    if draw(st.booleans()):
        members.append(("stream", draw(st.sampled_from(["true", "false", "null"]))))
    if draw(st.booleans()):
        options = st.sampled_from(
            [
                *("null", "{}", "[]"),
                *('{"include_usage":null}', '{"include_usage" : false}', '{"x":{"include_usage":1},"y":[]}'),
            ]
        )
        members.append(("stream_options", draw(options)))
    members = draw(st.permutations(members))
    pieces = [
        f"{draw(SPACE)}{draw(spelt(key))}{draw(SPACE)}:{draw(SPACE)}{value}{draw(SPACE)}" for key, value in members
    ]
    return f"{draw(SPACE)}{{{','.join(pieces)}}}{draw(SPACE)}".encode(), model


@pytest.mark.slow
@given(documents())
def test_only_the_model_changes(document: tuple[bytes, str]) -> None:
    body, model = document
    assert parse(body).model == model
    expected = json.loads(body)
    assert renamed(body) == {**expected, "model": NEW}
    assert list(renamed(body)) == list(expected)


@pytest.mark.slow
@given(documents())
def test_only_the_wish_for_usage_is_added(document: tuple[bytes, str]) -> None:
    body, _ = document
    expected = json.loads(body)
    options = expected.get("stream_options") if expected.get("stream_options") is not None else {}
    if isinstance(options, list):
        assert parse(body).usage_edit() is None
    else:
        assert asked_for_usage(body) == {**expected, "stream_options": {**options, "include_usage": True}}


@pytest.mark.slow
@given(documents(), st.sampled_from(["model", "stream", "stream_options"]), st.data())
def test_a_duplicate_in_any_spelling_is_refused(
    document: tuple[bytes, str], name: str, data: st.DataObject
) -> None:
    body, _ = document
    values = {"model": '"m"', "stream": "true", "stream_options": "{}"}
    again = "".join(f",{data.draw(spelt(name))}:{values[name]}" for _ in range(2))
    position = body.rindex(b"}")
    with pytest.raises(Refusal) as caught:
        parse(body[:position] + again.encode() + body[position:])
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "duplicate_parameter", name)


@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
@example(b'{"model":"\\ud800"}')
@example(b'\xef\xbb\xbf{"model":"m"}')
@example(b'{"model":"m","x":NaN}')
@example(b'{"model":"m","x":1e999}')
@example(b'{"model":"m","x":"\xff"}')
@example(b'{"model":"m","x":' + b"[" * 5000 + b"]" * 5000 + b"}")
@example(b'{"model":"m","x":' + b"9" * 5000 + b"}")
@example(b"")
def test_anything_else_is_a_refusal(body: bytes) -> None:
    with suppress(Refusal):
        assert parse(body).model == (orjson.loads(body).get("model") or "")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"model":"m",}', "line 1 column 13 (char 12)"),
        (b'{"model":"m"\n"x":1}', "line 2 column 1"),
        (b'{"model":"m","x":"\xff"}', "invalid UTF-8 at byte 18"),
        (b"[]", "must be a JSON object"),
    ],
)
def test_the_refusal_says_where(body: bytes, text: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse(body)
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"{}", "model", "missing_model"),
        (b'{"model":0}', "model", "invalid_type"),
        (b'{"model":false}', "model", "invalid_type"),
        (b'{"model":["m"]}', "model", "invalid_type"),
        (b'{"model":"m","stream":"true"}', "stream", "invalid_type"),
        (b'{"model":"m","stream":1}', "stream", "invalid_type"),
    ],
)
def test_the_refusal_names_the_parameter(body: bytes, param: str, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse(body)
    assert (caught.value.param, caught.value.code) == (param, code)


def options(include_usage: bytes) -> bytes:
    return b'{"model":"m","stream":true,"stream_options":{"include_usage":' + include_usage + b"}}"


def test_a_client_that_asks_for_usage_itself_needs_no_edit() -> None:
    assert parse(options(b"true")).usage_edit() is None


def test_a_client_that_declines_usage_has_the_target_asked_all_the_same() -> None:
    """Otherwise the request would be billed by an estimate, and clients could choose that when it is cheaper."""
    assert asked_for_usage(options(b"false")) == json.loads(options(b"true"))


@pytest.mark.parametrize("value", [b'"yes"', b"0", b'"false"', b"[]"])
def test_a_wish_about_usage_that_servers_may_read_either_way_is_refused(value: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        parse(options(value)).usage_edit()
    assert (caught.value.status, caught.value.param) == (400, "stream_options.include_usage")


def test_a_top_level_include_usage_is_not_the_one_of_the_options() -> None:
    body = b'{"include_usage":null,"model":"m","stream_options":{"include_usage":null}}'
    assert asked_for_usage(body) == {
        "include_usage": None,
        "model": "m",
        "stream_options": {"include_usage": True},
    }


@pytest.mark.slow
def test_the_work_of_looking_closely_is_bounded() -> None:
    def body(places: int) -> bytes:
        return b'{"x":[' + b'{"model":0},' * places + b'1],"model":"gpt-4.1"}'

    assert parse(body(99_999)).model == "gpt-4.1"
    with pytest.raises(Refusal) as caught:
        parse(body(100_000))
    assert (caught.value.status, caught.value.code) == (400, "body_too_complex")


#: Names that a parser reads as one of ours if it ignores case, `_` and `-`, or ends a name at a NUL.
LOOSE = [
    *("Model", "MODEL", "mODEL", "model\0x", "Stream", "\u017ftream", "\u017fTREAM", "stream-options"),
    *("streamOptions", "Stream_Options", "N", "Best_Of", "bestOf", "maxTokens", "Max_Tokens", "max_to\u212aens"),
    *("maxCompletionTokens", "MAX_OUTPUT_TOKENS", "Prompt", "User", "u\u017fer", "Service_Tier", "serviceTier"),
    *(
        "Previous_Response_Id",
        "Messages",
        "me\u017fsages",
        "Input",
        "\u0131nput",
        "\u0130nput",
        "\uff4d\uff4f\uff44\uff45\uff4c",
    ),
    # Members by which OpenRouter and LiteLLM choose another model.
    *("models", "Models", "fallbacks", "context_window_fallbacks", "contentPolicyFallbacks", "preset"),
]


@pytest.mark.parametrize("name", LOOSE)
@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_name_that_another_parser_reads_as_ours_is_refused(name: str, *, escaped: bool, first: bool) -> None:
    spelt = (
        "".join(f"\\u{ord(each):04x}" for each in name) if escaped else json.dumps(name, ensure_ascii=False)[1:-1]
    )
    members = [f'"{spelt}":"expensive"', '"model":"cheap"']
    body = f"{{{','.join(members if first else reversed(members))}}}".encode()
    with pytest.raises(Refusal) as caught:
        parse(body)
    assert (caught.value.status, caught.value.code) == (400, "ambiguous_parameter")
    assert caught.value.param in INTERPRETED


@pytest.mark.parametrize("name", ["Include_Usage", "includeUsage", "include\u005fu\u017fage"])
def test_so_is_one_in_the_stream_options(name: str) -> None:
    body = json.dumps({"model": "m", "stream": True, "stream_options": {"include_usage": True, name: False}})
    with pytest.raises(Refusal) as caught:
        parse(body.encode())
    assert (caught.value.code, caught.value.param) == ("ambiguous_parameter", "include_usage")


def test_include_usage_twice_is_refused() -> None:
    body = b'{"model":"m","stream_options":{"include_usage":true,"include\\u005fusage":false}}'
    with pytest.raises(Refusal) as caught:
        parse(body)
    assert (caught.value.code, caught.value.param) == ("duplicate_parameter", "include_usage")


@pytest.mark.parametrize("name", sorted(INTERPRETED - {"include_usage"}))
@pytest.mark.parametrize("letter", [False, True])
def test_every_interpreted_name_twice_is_refused(name: str, *, letter: bool) -> None:
    again = f"\\u{ord(name[0]):04x}{name[1:]}" if letter else name
    value = {"model": '"m"', "stream": "true"}.get(name, "null")
    body = f'{{"model":"m","x":[{{"{name}":1}}],"{name}":{value},"{again}":{value}}}'
    with pytest.raises(Refusal) as caught:
        parse(body.encode())
    assert (caught.value.code, caught.value.param) == ("duplicate_parameter", name)


def test_other_names_and_the_same_ones_deeper_in_the_document_are_left_alone() -> None:
    others = {"Temperature": 1, "modelling": 1, "model ": 2, "": 3, "n1": 4, "мodel": 5, "x" * 10_000: 6}
    tool = {"properties": {"User": {}, "user": {}, "N": {}, "Model": {"model": 1, "Stream": 2}}}
    body = json.dumps({"model": "m", "user": "u", "tools": [tool, tool], **others}).encode()
    assert renamed(body)["model"] == NEW


def test_more_members_than_any_request_has_are_refused() -> None:
    def body(members: int) -> bytes:
        return json.dumps({"model": "m", **{f"a{number}": 0 for number in range(members - 1)}}).encode()

    assert parse(body(1_000)).model == "m"
    with pytest.raises(Refusal) as caught:
        parse(body(1_001))
    assert caught.value.code == "body_too_complex"


@pytest.mark.slow
@pytest.mark.parametrize("key", [b'"model"', b'"mod\\u0065l"'])
def test_the_model_at_the_end_of_ten_megabytes(key: bytes) -> None:
    prompt = json.dumps('say "model": \\ "x" \n' * 500_000).encode()
    body = b'{"messages":[{"role":"user","content":' + prompt + b"}]," + key + b':"gpt-4.1"}'
    assert len(body) > 10_000_000
    assert parse(body).model_value() == (len(body) - 10, 9)
    assert renamed(body) == {**json.loads(body), "model": NEW}


@pytest.mark.slow
def test_more_values_than_any_request_has_are_refused_and_text_with_commas_is_not() -> None:
    def body(unit: bytes) -> bytes:
        return b'{"model":"gpt-4.1","x":[' + unit * 1_000_001 + b"0]}"

    for unit in (b"[],", b"1,", b'"a",', b"{},"):
        with pytest.raises(Refusal) as caught:
            parse(body(unit))
        assert (caught.value.status, caught.value.code) == (400, "body_too_complex")
    text = b'{"model":"gpt-4.1","x":"' + b'1,[{\\"' * 1_000_001 + b'"}'
    assert parse(text).model == "gpt-4.1"


@pytest.mark.parametrize("end", [b"", b"\\", b"\\\n"])
def test_to_count_the_values_takes_no_longer_than_it_must(end: bytes) -> None:
    """Examining every quote again would take hours."""
    with pytest.raises(Refusal) as caught:
        parse(b"[," * 1_000_001 + b'"' + b'\\"' * 1_000_000 + end)
    assert caught.value.code in {"body_too_complex", "invalid_json"}
