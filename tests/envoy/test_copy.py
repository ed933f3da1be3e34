"""The copy of an answer for the translator, and cached answers."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest

from tests.envoy.filters import (
    AUTHORISE,
    CONTINUE,
    MODEL,
    REQUEST,
    RESPONSE,
    STOP,
    Filter,
    asked,
    attempt,
    authorised,
    copies,
    decisions,
    driver,
    ends,
    heads,
)
from tests.envoy.native import Driver
from tests.envoy.peer import PATIENCE
from translator.checks.answers import Allowed, Answered
from translator.checks.frames import Copied, Passed

__all__ = ["asked", "copies", "decisions", "driver", "ends", "heads"]

LONGEST = 960 * 1024
JSON = {":status": "200", "content_type": "application/json"}
Decisions = dict[bytes, Allowed | Answered | bytes]


@pytest.fixture
def request_(driver: Driver, decisions: Decisions) -> Iterator[Filter]:
    """A request whose answer is copied."""
    decision = Allowed("route", "", "note", "/chat", "-", MODEL, copy="token-1")
    with authorised(driver, decisions, decision) as request:
        yield request


def passing(request: Filter, *pieces: bytes, **headers: str) -> None:
    """Passes the answer's head and these pieces, without its end."""
    request.add(RESPONSE, **(headers or JSON))
    assert request.call("response_headers", 0)[0] == CONTINUE
    for piece in pieces:
        assert request.call("response_body", 0, piece) == (CONTINUE, piece)


def copied(copies: queue.Queue[Copied]) -> Copied:
    return copies.get(timeout=PATIENCE)


def test_a_whole_answer_is_copied(request_: Filter, copies: queue.Queue[Copied]) -> None:
    with attempt(request_) as made:
        made.call("request_headers", 1)
        made.add(RESPONSE, **JSON)
        made.call("response_headers", 0)
        body = b'{"choices":[{"message":{}}],"usage":{\n"total_tokens": 3}}'
        made.call("response_body", 1, body)
        passing(request_, body[:9])
        assert request_.call("response_body", 1, body[9:])[0] == CONTINUE
    report = b'{"usage":{\n"total_tokens": 3}}'
    assert copied(copies) == Copied("token-1", Passed("application/json", "target", report, body))


@pytest.mark.parametrize("pieces", [1, 7])
def test_trailers_end_an_answer_too(request_: Filter, copies: queue.Queue[Copied], pieces: int) -> None:
    body = bytes(range(100)) * 3
    passing(request_, *(body[at : at + len(body) // pieces] for at in range(0, len(body), len(body) // pieces)))
    request_.call("response_trailers")
    found = copied(copies).passed
    assert found is not None
    assert found.body == body


def test_the_longest_answer_is_copied_and_no_longer_one(
    driver: Driver, decisions: Decisions, copies: queue.Queue[Copied]
) -> None:
    for size in (LONGEST, LONGEST + 1):
        with authorised(driver, decisions, Allowed("route", model=MODEL, copy="long")) as request:
            passing(request, b"x" * (LONGEST // 2))
            request.call("response_body", 1, b"x" * (size - LONGEST // 2))
            found = copied(copies)
        assert (found.token, found.cut) == ("long", False)
        assert (found.passed is not None) is (size == LONGEST)


@pytest.mark.parametrize(
    "headers",
    [
        {":status": "500", "content_type": "application/json"},
        {":status": "206", "content_type": "application/json"},
        {":status": "200", "content_type": "application/json", "content_encoding": "gzip"},
        {":status": "200", "content_type": "x" * 300},
    ],
)
def test_what_is_no_success_is_not_copied(
    request_: Filter, copies: queue.Queue[Copied], headers: dict[str, str]
) -> None:
    passing(request_, b"no", **headers)
    request_.call("response_body", 1, b"")
    assert copied(copies) == Copied("token-1", None, cut=False)


@pytest.mark.parametrize("begun", [False, True])
def test_an_answer_that_never_ends_is_cut(
    driver: Driver, decisions: Decisions, copies: queue.Queue[Copied], begun: bool
) -> None:
    with authorised(driver, decisions, Allowed("route", model=MODEL, copy="cut")) as request:
        if begun:
            passing(request, b"half")
        request.driver.ask("complete", request.slot)
        assert copied(copies) == Copied("cut", None, cut=True)
    assert copies.empty()


def test_nothing_is_copied_that_nobody_asked_for(
    driver: Driver, decisions: Decisions, copies: queue.Queue[Copied]
) -> None:
    with authorised(driver, decisions, Allowed("route", model=MODEL)) as request:
        passing(request, b"half")
        request.call("response_body", 1, b"")
        request.driver.ask("complete", request.slot)
    assert copies.empty()


def test_a_kept_answer_goes_to_the_client_with_its_note(driver: Driver, decisions: Decisions) -> None:
    decisions[b"/v1/kept"] = Answered(
        "the note", {"content-type": "text/event-stream", "age": "1"}, b"data: 1\n\n"
    )
    with Filter(driver, AUTHORISE) as request:
        request.add(REQUEST, **{":method": "POST", ":path": "/v1/kept", "cache-control": "max-age=0"})
        assert request.call("request_headers", 1)[0] == STOP
        assert not request.scheduled()
        status, *rest = request.response()
        assert status == b"200"
        assert b"data: 1\n\n" in rest
        assert b"".join(rest).count(b"age") >= 1
        assert request.state("trunkline.note") == b"the note"
