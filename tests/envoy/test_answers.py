"""`envoy/module/answers.c`: what a target's answer used, and what of it its client gets. It is about money."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence

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

#: Whole parts of real streams, and the pieces of which those are made in other ways.
_PARTS = [
    *(TOKEN, REPORT, DONE, b": ping", b"event: done", b"data: ", b"\ndata: "),
    *(b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"\r", b" ", b"\t"),
    *(
        b'"usage"',
        b'"usage":',
        b'"usage" : {',
        b'"usa',
        b'ge":{',
        b'"usage":{}',
        b'"usage":null',
        b'"usage":"usage"',
    ),
    *(
        b'"usage":' + USAGE,
        b'"usage":{"a_tokens":"}","b":"\\"}{"}',
        b'"usage":{"a":{"usage":{"b_tokens":1}}}',
        b"\\",
        b'"',
        b":",
    ),
    *(b"{", b"}", b"{}", b'"choices":[]', b'"choices" : [ ]', b'"choices"', b":[", b"]", b'\\"usage\\":{}', b"x"),
]
texts = st.lists(st.sampled_from(_PARTS), max_size=12).map(b"".join)
streams = st.lists(
    st.sampled_from([TOKEN, REPORT, RUNNING, EMPTY, TOKEN + b"\n" + TOKEN, DONE, b": ping", b""]), max_size=6
)
ends = st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n\r\n", b"\r\n\n", b"\n", b""])


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """Like a real stream: mostly one line end, and events that are whole."""
    end = draw(st.sampled_from([b"\n\n", b"\r\n\r\n"]))
    text = b"".join(event + (end if draw(st.integers(0, 9)) else draw(ends)) for event in draw(streams))
    return text if draw(st.booleans()) else text.removesuffix(end)


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


def plain(driver: Driver, parts: Sequence[bytes]) -> bytes:
    return driver.ask("plain", *parts)[2]


def streamed(driver: Driver, parts: Sequence[bytes], *, asked: bool = True, ends: bool = True) -> model.Stream:
    count, size, reported, client = driver.ask("events", asked + 0, ends + 0, *parts)
    return model.Stream(int(count), int(size), reported, client)


@settings(max_examples=400)
@given(pieces(texts))
@example([b'"usage":{"a_tokens":"\\\\","b":"}"}'])
@example([b'"usage":{"a_tokens":"\\"}"}'])
@example([b'"usage":' + USAGE + b',"tools":[{"usage":{"type":"object"}}]'])
def test_a_plain_answers_usage_is_found_however_it_comes(driver: Driver, parts: list[bytes]) -> None:
    assert plain(driver, parts) == model.usage(b"".join(parts)).reported


@settings(max_examples=800)
@given(pieces(texts | events()), st.booleans(), st.booleans())
@example([TOKEN + b"\r", b"\n\r", b"\n" + REPORT + b"\r\n\r\n", DONE + b"\r\n", b"\r\n"], True, True)
@example([TOKEN + b"\n\n", DONE, b"\n", b"\n"], True, True)
@example([TOKEN + b"\n\n", REPORT], True, True)
@example([DONE + b"\n" + REPORT + b"\n\n"], True, True)
@example([TOKEN + b"\n\n", REPORT], True, False)
@example([b'data: {"usage":{"a_tokens":1}}\n\ndata: {"usage":{\n\n', b"data: }}\n\n"], True, True)
def test_a_stream_is_the_same_however_it_comes(
    driver: Driver, parts: list[bytes], asked: bool, ends: bool
) -> None:
    assert streamed(driver, parts, asked=asked, ends=ends) == model.stream(b"".join(parts), asked=asked, ends=ends)


@given(pieces(events()))
def test_a_client_that_asked_for_its_usage_gets_every_byte(driver: Driver, parts: list[bytes]) -> None:
    assert streamed(driver, parts, asked=False).client == b"".join(parts)


def test_the_event_that_reports_usage_is_taken_out(driver: Driver) -> None:
    text = b"\n\n".join([TOKEN, TOKEN, REPORT, DONE, b""])
    shown = b"\n\n".join([TOKEN, TOKEN, DONE, b""])
    assert streamed(driver, [text]) == (4, len(text), USAGE, shown)
    assert streamed(driver, [text], asked=False) == (4, len(text), USAGE, text)


def test_usage_that_is_reported_with_choices_stays_and_so_do_no_choices_without_usage(driver: Driver) -> None:
    text = RUNNING + b"\n\n" + EMPTY + b"\n\n"
    assert streamed(driver, [text]) == (2, len(text), USAGE, text)


def test_the_last_of_several_reports_counts(driver: Driver) -> None:
    text = b'data: {"usage":{"total_tokens":1}}\n\ndata: {"usage":{"total_tokens":2}}\n\ndata: {"usage":null}\n\n'
    assert streamed(driver, [text]).reported == b'{"total_tokens":2}'


def test_a_schemas_usage_is_no_report(driver: Driver) -> None:
    """Answers of the Responses API repeat the tools, in which a client may call something so."""
    schema = b'"tools":[{"parameters":{"properties":{"usage":{"type":"string"}}}}]'
    text = b'{"usage":' + USAGE + b"," + schema + b"}"
    assert plain(driver, [text]) == USAGE
    assert plain(driver, [b"{" + schema + b"}"]) == b""


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("piece", [1, 2, 100])
def test_keep_alives_are_no_events(driver: Driver, end: bytes, piece: int) -> None:
    """Some servers send comments while a model thinks, and each event may have to be paid for as a token."""
    said = b": OPENROUTER PROCESSING" + end + end
    text = said + TOKEN + end + end + said * 3 + b":" + end + TOKEN + end + end + said
    parts = [text[at : at + piece] for at in range(0, len(text), piece)]
    result = streamed(driver, parts)
    assert (result.events, result.client) == (2, text)


def test_an_end_without_an_empty_line_reaches_the_client(driver: Driver) -> None:
    assert streamed(driver, [TOKEN + b"\n\n", TOKEN]).client == TOKEN + b"\n\n" + TOKEN
    assert streamed(driver, [TOKEN + b"\n\n", TOKEN, b""]).client == TOKEN + b"\n\n" + TOKEN
    assert streamed(driver, [TOKEN + b"\n\n", REPORT, b""]).client == TOKEN + b"\n\n"


def test_what_no_json_string_can_hold_is_not_found_in_one(driver: Driver) -> None:
    said = json.dumps({"content": '"usage":{"prompt_tokens":1}', "usage": "usage"}).encode()
    assert plain(driver, [said]) == b""


@pytest.mark.parametrize("size", [model.LONGEST_USAGE - 1, model.LONGEST_USAGE, model.LONGEST_USAGE + 1])
@pytest.mark.parametrize("piece", [1, 3, 4096, 10_000])
def test_the_longest_usage_object_has_4096_bytes(driver: Driver, size: int, piece: int) -> None:
    usage = b'{"a_tokens":"' + b"}" * (size - 15) + b'"}'
    text = b'{"first":1, "usage" : ' + usage + b', "last": 1}'
    parts = [text[at : at + piece] for at in range(0, len(text), piece)]
    assert plain(driver, parts) == (usage if size <= model.LONGEST_USAGE else b"")
    assert streamed(driver, parts, asked=False).reported == (usage if size <= model.LONGEST_USAGE else b"")


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
    assert time.monotonic() - start < 2  # searching each piece with all before it takes many times as long
    assert result == model.stream(text, asked=asked, ends=True)


def test_objects_that_never_end_take_no_longer_than_others(driver: Driver) -> None:
    text = b'"usage":{' * 300_000
    start = time.monotonic()
    assert plain(driver, [text]) == b""
    assert streamed(driver, [text]).reported == b""
    assert time.monotonic() - start < 2  # reading from each one to the end takes hours


def test_a_long_plain_answer_is_searched_once(driver: Driver) -> None:
    text = b'{"data":[' + b'{"embedding":[0.125,-0.5]},' * 800_000 + b'{}],"usage":' + USAGE + b"}"
    parts = [text[at : at + 16_384] for at in range(0, len(text), 16_384)]
    assert plain(driver, parts) == USAGE
