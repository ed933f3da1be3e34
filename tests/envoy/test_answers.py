"""`envoy/module/{answers,scanner,facts}.c`: what a target's answer used, and what of it its client gets.

Money depends on it.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from tests.envoy import answers_model as model
from tests.envoy.native import Driver

USAGE = b'{"prompt_tokens":7,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":1}}'
TOKEN = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":null}'
REPORT = b'data: {"choices":[],"usage":' + USAGE + b"}"
RUNNING = b'data: {"choices":[{"delta":{}}],"usage":' + USAGE + b"}"
EMPTY = b'data: {"choices":[],"prompt_filter_results":[]}'
DONE = b"data: [DONE]"

_NAMES = [
    *("usage", "usageMetadata", "x_groq", "response", "message", "choices", "delta", "data", "meta"),
    *("billed_units", "timings", "index", "service_tier", "duration", "size", "type", "b64_json", "error"),
    *(
        "id",
        "text",
        "content",
        "tool_calls",
        "function",
        "arguments",
        "output",
        "tools",
        "metadata",
        "usag",
        "usages",
    ),
    *("citations", "", 'u"sage', "\u00fcsage", "a_key_that_is_longer_than_any_that_matters"),
]
_TEXTS = st.sampled_from(
    [
        *(
            "",
            "a",
            "flex",
            "resp_1",
            "1024x1024",
            "image_generation.completed",
            "response.function_call_arguments.completed",
            '{"usage":{"total_tokens":1}}',
            "\\",
            '"',
        ),
        *("é\u2028", "\U0001f600", "}]", "two words", "x" * 40, "\n\t"),
    ]
)
_NUMBERS = st.integers(0, 3) | st.sampled_from([-1, 0.25, 12.5, 1e30, 10**18, 10**25, 2_000_000_000])


class Members(list[tuple[str, Any]]):
    """A JSON object in which a name may occur twice."""


def _values(depth: int = 2) -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | _NUMBERS | _TEXTS
    if depth == 0:
        return plain
    inner = _values(depth - 1)
    members = st.lists(st.tuples(st.sampled_from(_NAMES), inner), max_size=3).map(Members)
    return st.one_of(plain, plain, st.lists(inner, max_size=2), members)


_USAGES = st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "usage", "x"]), _values(), max_size=4
).map(lambda each: Members(each.items()))
_SPACE = st.sampled_from(["", "", "", " ", "\t", "  "])


def _at(*path: str) -> st.SearchStrategy[Members]:
    """A usage object at a path."""

    def wrapped(inner: Any) -> Members:
        for name in reversed(path):
            inner = [inner] if name == model.ANY else Members([(name, inner), ("index", 1)])
        return Members(inner)

    return _USAGES.map(wrapped)


_MEMBERS = st.lists(st.tuples(st.sampled_from(_NAMES), _values()), max_size=6).map(Members)
_ODD = st.tuples(
    st.sampled_from([*("usage", "choices", "error", "message", "x_groq", "b64_json", "type")]), _values()
)
documents = st.one_of(
    *(_MEMBERS, _MEMBERS, _MEMBERS),
    *(st.lists(_ODD, max_size=3).map(Members) for _ in range(4)),
    *(
        _at(*path)
        for path in (
            *(("usage",), ("usageMetadata",), ("x_groq", "usage"), ("response", "usage"), ("message", "usage")),
            *(("choices", model.ANY, "usage"), ("meta", "billed_units"), ("timings",), ("metadata", "usage")),
            *(("response",), ("response", "output"), ("item",)),
            *(("choices", model.ANY, "message", "usage"), ("tools", model.ANY, "usage"), ("choices", "usage")),
        )
    ),
)


@st.composite
def written(draw: st.DrawFn, values: st.SearchStrategy[Any] = documents) -> bytes:
    """A document as some server might write it: any white space, any spelling."""

    def text(value: str) -> str:
        said = json.dumps(value, ensure_ascii=draw(st.booleans()))
        if value and value[0].isalpha() and value[0].isascii() and draw(st.integers(0, 5)) == 0:
            said = f'"\\u{ord(value[0]):04x}{said[2:]}'
        return said

    def space() -> str:
        return draw(_SPACE)

    def said(value: Any) -> str:
        if isinstance(value, Members):
            members = [f"{space()}{text(name)}{space()}:{space()}{said(each)}{space()}" for name, each in value]
            return "{" + ",".join(members) + "}"
        if isinstance(value, list):
            return "[" + ",".join(f"{space()}{said(each)}{space()}" for each in value) + space() + "]"
        return text(value) if isinstance(value, str) else json.dumps(value)

    return (space() + said(draw(values)) + space()).encode()


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """Resembles a real stream: mostly one kind of line end, and complete events."""
    end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))

    def event() -> bytes:
        if draw(st.booleans()):
            return draw(
                st.sampled_from([TOKEN, REPORT, RUNNING, EMPTY, DONE, b": ping", b"event: x", b"data:", b""])
            )
        field = draw(st.sampled_from([b"data: ", b"data:", b"event: e\ndata: ".replace(b"\n", end)]))
        return field + draw(written())

    pieces = [event() for _ in range(draw(st.integers(0, 6)))]
    text = b"".join(piece + end * (2 if draw(st.integers(0, 9)) else 3) for piece in pieces)
    return text if draw(st.booleans()) else text.removesuffix(2 * end)


_PARTS = [
    *(TOKEN, REPORT, DONE, b": ping", b"event: done", b"data: ", b"data:", b"data", b"\ndata: "),
    *(b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"\r", b" ", b"\t", b"{", b"}", b"[", b"]", b'"', b"\\", b":", b","),
    *(b'{"usage":', b'"usage"', b'{"choices":[{', b'"usage":{}', b'\\"usage\\":{}', b"\\u00", b"7", b"null", b"x"),
    *(b'"us', b'age":{', b'{"response":{"usage":' + USAGE, b"\xff\x00", b"[" * 70),
]
#: Documents that no server would send.
garbage = st.lists(st.sampled_from(_PARTS), max_size=12).map(b"".join)


@st.composite
def pieces(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> list[bytes]:
    text = draw(whole)
    if draw(st.integers(0, 4)) == 0:
        return [text[at : at + 1] for at in range(len(text))]
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("answers") as running:
        yield running


def plain(driver: Driver, parts: Sequence[bytes]) -> tuple[bytes, str]:
    """Returns the facts, and the id of the response that the answer creates."""
    _, _, facts, _, made = driver.ask("plain", *parts)
    return facts, made.decode()


def plain_usage(driver: Driver, *parts: bytes) -> Any:
    facts, _ = plain(driver, parts)
    return json.loads(facts)["usage"] if facts else None


def streamed(driver: Driver, parts: Sequence[bytes], *, asked: bool = True, ends: bool = True) -> model.Stream:
    count, size, facts, client, made = driver.ask("events", asked + 0, ends + 0, *parts)
    return model.Stream(int(count), int(size), facts, client, made.decode())


def usage_of(result: model.Stream) -> Any:
    return json.loads(result.facts)["usage"] if result.facts else None


@settings(max_examples=300, deadline=None)
@given(pieces(written()))
@example([b'{"us', b"\\u00", b'61ge":', b'{"total_tokens":1}}'])
@example([b'{"usage":{"a":"\\\\","b":"}"}}'])
@example([b'{"usage":{"a":"\\"}"}}'])
@example([b'{"usage":{"a":2},"usage":{"a":1},"usage":null}'])
def test_a_plain_answers_facts_are_found_however_it_comes(driver: Driver, parts: list[bytes]) -> None:
    assert plain(driver, parts) == model.plain(b"".join(parts))


_BEGINNINGS = [
    *(b'{"choices":[{"delta":{"content":"', b'{"choices":[{"delta":{"content":["', b' {"delta":"'),
    *(b'{"service_tier":"flex","choices":[{"text":"', b'{"service_tier":"other","choices":[{"text":"'),
    *(b'{"service_tier":"flex","delta":"', b'{"usage":{"total_tokens":5},"choices":[{"text":"'),
    *(b'{"choices":[{"index":1,"usage":{"total_tokens":4},"delta":{"content":"', b'{"id":"' + b"x" * 512),
    *(b'{"error":{"a":1},"delta":"', b'{"type":"a","delta":"', b'{"delta":"', b'{"id":"a","delta":"', b"["),
]
_ENDINGS = [
    *(b'"}}]}', b'"}]}', b'"}', b'a"}}]}', b'a"}]}', b'a\\"b"}', b'"},"index":2,"usage":{"total_tokens":9}}]}'),
    *(b'"]}}]}', b'"}}],"usage":{"total_tokens":3}}', b'"}],"service_tier":"other"}', b'","size":"1x1"}', b""),
    b'","delta":"a","usage":{"total_tokens":9}}',
]
#: A few beginnings, each of which precedes several texts.
repeating = st.lists(st.sampled_from(_BEGINNINGS), min_size=1, max_size=3).flatmap(
    lambda few: st.lists(
        st.tuples(st.sampled_from(few), st.sampled_from(_ENDINGS)).map(b"data: %b%b\n\n".__mod__), max_size=12
    ).map(b"".join)
)


@settings(max_examples=600, deadline=None)
@given(pieces(repeating), st.booleans())
def test_events_that_begin_alike_are_read_alike(driver: Driver, parts: list[bytes], asked: bool) -> None:
    """The same facts result from single bytes, of which no beginning is ever remembered."""
    single = [bytes([byte]) for byte in b"".join(parts)]
    assert streamed(driver, parts, asked=asked) == streamed(driver, single, asked=asked)


@settings(max_examples=300, deadline=None)
@given(pieces(events()), st.booleans())
@example([TOKEN + b"\r", b"\n\r", b"\n" + REPORT + b"\r\n\r\n", DONE + b"\r\n", b"\r\n"], True)
@example([TOKEN + b"\n\n", DONE, b"\n", b"\n"], True)
@example([TOKEN + b"\n\n", REPORT], True)
@example([DONE + b"\n" + REPORT + b"\n\n"], True)
@example([b'data: {"usage":{"a":%d}}\n\ndata: {"usage":{"b":%d}}\n\n' % (10**25, 10**18)], False)
def test_a_stream_is_the_same_however_it_comes(driver: Driver, parts: list[bytes], asked: bool) -> None:
    assert streamed(driver, parts, asked=asked) == model.stream(b"".join(parts), asked=asked, ends=True)


@settings(max_examples=400, deadline=None)
@given(pieces(events()), st.booleans(), st.data())
def test_a_cut_stream_is_the_same_up_to_there(
    driver: Driver, parts: list[bytes], asked: bool, data: st.DataObject
) -> None:
    text = b"".join(parts)
    cut = data.draw(st.integers(0, len(text)))
    result, expected = (
        streamed(driver, [text[:cut]], asked=asked, ends=False),
        model.stream(text[:cut], asked=asked, ends=False),
    )
    assert (result.events, result.event_bytes, result.client) == (
        expected.events,
        expected.event_bytes,
        expected.client,
    )


@settings(max_examples=300, deadline=None)
@given(pieces(garbage), st.booleans(), st.booleans())
def test_what_no_server_sends_is_the_same_however_it_comes(
    driver: Driver, parts: list[bytes], asked: bool, ends: bool
) -> None:
    text = b"".join(parts)
    assert plain(driver, parts) == plain(driver, [text])
    assert streamed(driver, parts, asked=asked, ends=ends) == streamed(driver, [text], asked=asked, ends=ends)


@settings(deadline=None)
@given(pieces(events() | garbage))
def test_a_client_that_asked_for_its_usage_gets_every_byte(driver: Driver, parts: list[bytes]) -> None:
    assert streamed(driver, parts, asked=False).client == b"".join(parts)


def test_the_event_that_reports_usage_is_taken_out(driver: Driver) -> None:
    text = b"\n\n".join([TOKEN, TOKEN, REPORT, DONE, b""])
    shown = b"\n\n".join([TOKEN, TOKEN, DONE, b""])
    facts = b'{"usage":' + USAGE + b',"text":2,"deltas":2}'
    assert streamed(driver, [text]) == (4, len(text), facts, shown, "")
    assert streamed(driver, [text], asked=False) == (4, len(text), facts, text, "")


def test_usage_that_is_reported_with_choices_stays_and_so_do_no_choices_without_usage(driver: Driver) -> None:
    text = RUNNING + b"\n\n" + EMPTY + b"\n\n"
    assert streamed(driver, [text]) == (2, len(text), b'{"usage":' + USAGE + b"}", text, "")


@pytest.mark.parametrize(
    "echo",
    [
        b'"tools":[{"type":"function","parameters":{"properties":{"usage":{"total_tokens":0}}}}]',
        b'"tools":[{"usage":{"prompt_tokens":0,"completion_tokens":0}}]',
        b'"metadata":{"usage":{"prompt_tokens":0}}',
        b'"choices":[{"message":{"usage":{"prompt_tokens":0}}}]',
        b'"text":{"format":{"schema":{"usage":{"prompt_tokens":0}}}}',
        b'"message":{"usage":{"prompt_tokens":0}}',  # only in an event
        b'"response":{"usage":{"prompt_tokens":0}}',
        b'"x":"\\"usage\\":{\\"prompt_tokens\\":0}"',
        b'"usage":"{\\"prompt_tokens\\":0}"',
        b'"usage":[{"prompt_tokens":0}]',
        b'"Usage":{"prompt_tokens":0}',
    ],
)
def test_an_echo_of_what_the_client_sent_is_no_report(driver: Driver, echo: bytes) -> None:
    assert plain_usage(driver, b"{" + echo + b"}") is None
    for text in (b'{"usage":' + USAGE + b"," + echo + b"}", b"{" + echo + b',"usage":' + USAGE + b"}"):
        assert plain_usage(driver, text) == json.loads(USAGE)
    in_response = b'data: {"type":"response.completed","response":{' + echo + b"}}\n\n"
    assert usage_of(streamed(driver, [in_response])) is None


@pytest.mark.parametrize(
    "key", [b"usage", b"\\u0075sage", b"us\\u0061\\u0067e", b"\\u0075\\u0073\\u0061\\u0067\\u0065"]
)
def test_a_key_may_be_spelt_with_escapes(driver: Driver, key: bytes) -> None:
    text = b'{"' + key + b'":' + USAGE + b"}"
    assert plain_usage(driver, text) == json.loads(USAGE)
    for cut in range(len(text)):
        assert plain_usage(driver, text[:cut], text[cut:]) == json.loads(USAGE)


def test_the_last_of_several_reports_counts_unless_it_counts_less(driver: Driver) -> None:
    def reported(*usages: bytes) -> Any:
        text = b"".join(b'data: {"usage":' + usage + b"}\n\n" for usage in usages)
        return usage_of(streamed(driver, [text], asked=False))

    assert reported(b'{"total_tokens":1}', b'{"total_tokens":2}', b"null") == {"total_tokens": 2}
    assert reported(b'{"total_tokens":2,"x":1}', b'{"total_tokens":2,"x":2}') == {"total_tokens": 2, "x": 2}
    assert reported(b'{"total_tokens":2}', b"{}", b'{"total_tokens":0}') == {"total_tokens": 2}
    # In one text, a JSON parser would take the last one.
    assert plain_usage(driver, b'{"usage":{"total_tokens":2},"usage":{"total_tokens":1}}') == {"total_tokens": 1}


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("piece", [1, 2, 100])
def test_keep_alives_are_no_events(driver: Driver, end: bytes, piece: int) -> None:
    """Some servers send comments while a model thinks, and each event may be billed as a token."""
    said = b": OPENROUTER PROCESSING" + end + end
    text = said + TOKEN + end + end + said * 3 + b":" + end + TOKEN + end + end + said
    parts = [text[at : at + piece] for at in range(0, len(text), piece)]
    result = streamed(driver, parts)
    assert (result.events, result.client) == (2, text)


def test_an_end_without_an_empty_line_reaches_the_client(driver: Driver) -> None:
    assert streamed(driver, [TOKEN + b"\n\n", TOKEN]).client == TOKEN + b"\n\n" + TOKEN
    assert streamed(driver, [TOKEN + b"\n\n", TOKEN, b""]).client == TOKEN + b"\n\n" + TOKEN
    assert streamed(driver, [TOKEN + b"\n\n", REPORT, b""]).client == TOKEN + b"\n\n"


@pytest.mark.parametrize("size", [5_000, model.LONGEST_REPORT - 1, model.LONGEST_REPORT, model.LONGEST_REPORT + 1])
@pytest.mark.parametrize("piece", [1, 3, 4096, 100_000])
def test_the_longest_report_has_16_kib(driver: Driver, size: int, piece: int) -> None:
    usage = b'{"a_tokens":"' + b"}" * (size - 15) + b'"}'
    text = b'{"first":1, "usage" : ' + usage + b', "service_tier": "flex"}'
    parts = [text[at : at + piece] for at in range(0, len(text), piece)]
    kept = b'{"usage":' + usage + b',"tier":"flex"}'
    lost = b'{"usage":null,"tier":"flex","too_long":true}'
    assert plain(driver, parts)[0] == (kept if size <= model.LONGEST_REPORT else lost)
    event = b"data: " + text + b"\n\n"
    assert streamed(driver, [event], asked=True).client == b""


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("piece", [1 << 16, 1 << 21])
def test_an_event_of_more_than_a_mebibyte_is_not_hidden(driver: Driver, more: int, piece: int) -> None:
    report = REPORT + b" " * (model.LONGEST_EVENT - len(REPORT) - 2 + more) + b"\n\n"
    text = TOKEN + b"\n\n" + report
    parts = [text[at : at + piece] for at in range(0, len(text), piece)]
    result = streamed(driver, parts)
    assert (result.client == text) == (more > 0)
    assert result == model.stream(text, asked=True, ends=True)


def test_no_more_than_a_mebibyte_is_held(driver: Driver) -> None:
    half = b"x" * (model.LONGEST_EVENT // 2)
    assert streamed(driver, [half, half], ends=False).client == b""
    assert streamed(driver, [half, half, b"x"], ends=False).client == half + half + b"x"


@pytest.mark.parametrize("asked", [True, False])
def test_a_long_event_in_many_pieces_takes_no_longer_for_it(driver: Driver, asked: bool) -> None:
    text = b'data: {"choices":[{"delta":{"content":"' + b"a" * 1_000_000 + b'"}}]}\n\n' + REPORT + b"\n\n"
    parts = [text[at : at + 10] for at in range(0, len(text), 10)]
    start = time.monotonic()
    result = streamed(driver, parts, asked=asked)
    assert time.monotonic() - start < 60  # searching each piece with all before it takes many times as long
    assert result == model.stream(text, asked=asked, ends=True)


@pytest.mark.parametrize(
    "opening", [b'{"usage":', b"[", b'{"choices":[', b'{"a":{"usage":{', b'{"usage":{"a":"\\']
)
def test_what_never_ends_takes_no_longer_than_the_rest(driver: Driver, opening: bytes) -> None:
    text = opening * 300_000
    start = time.monotonic()
    plain(driver, [text])
    streamed(driver, [b"data: " + text])
    assert time.monotonic() - start < 60  # reading from each one to the end takes hours


def test_a_long_plain_answer_is_searched_once(driver: Driver) -> None:
    text = b'{"data":[' + b'{"embedding":[0.125,-0.5]},' * 800_000 + b'{}],"usage":' + USAGE + b"}"
    parts = [text[at : at + 16_384] for at in range(0, len(text), 16_384)]
    assert plain(driver, parts)[0] == b'{"usage":' + USAGE + b',"items":800001}'


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        *(
            (each, "events")
            for each in ("text/event-stream", "Text/Event-Stream; charset=utf-8", "TEXT/EVENT-STREAM;x")
        ),
        *(
            (each, "plain")
            for each in ("application/json", "application/json;charset=UTF-8", "Application/JSON ; a=b")
        ),
        *(
            (each, "plain")
            for each in ("application/problem+json", "application/vnd.api+JSON;x=y", "text/json", "")
        ),
        *(
            (each, "ignored")
            for each in ("text/plain", "audio/mpeg", "text/event-streams", "application/jsonl", "+json")
        ),
    ],
)
def test_an_answer_is_followed_as_its_content_type_says(driver: Driver, content_type: str, kind: str) -> None:
    assert driver.ask("kind", content_type) == [kind.encode()]


@pytest.mark.parametrize(
    ("coding", "readable"),
    [
        *((each, True) for each in ("", "identity", " Identity ")),
        *((each, False) for each in ("gzip", "br", "identity, gzip", "identityx")),
    ],
)
def test_an_answer_without_a_coding_is_readable(driver: Driver, coding: str, readable: bool) -> None:
    assert driver.ask("readable", coding) == [b"%d" % readable]
