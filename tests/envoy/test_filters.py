"""The module's two filters, with as much of Envoy around them as they see."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.envoy.native import Driver
from tests.envoy.peer import PATIENCE, Peer, admitted, allowed, denied, serving
from translator.http.message import Request, Response
from translator.questions.frames import Allowed, Answered, Copied, refused

REQUEST, _, RESPONSE, _ = range(4)
CONTINUE, STOP = 0, 1
BUFFER, WATERMARK, DISCARD = 1, 2, 3
LOOK, ANSWERED = 0, 1
MAX_BODY = 100_000
MAX_OF_STRANGERS = 170_000
STREAM_WEIGHT = 16 * 1024
MAX_OF_KEY = 250_000
MAX_IN_ALL = 400_000
SETTINGS = f"10000 {MAX_BODY} {MAX_OF_STRANGERS} {MAX_OF_KEY} {MAX_IN_ALL}"
SMALL = 64 * 1024
UNCHECKED = 16 * 1024
AUTHORISE, DRESS, PLAN = 0, 1, 3
#: What Envoy is shown in place of an answer that failed.
FINAL, RETRY, EJECT = "496", "497", "503"
BODY = b'{"stream":true,"model":"gpt","messages":[]}'
USAGE_EDIT = '1:0:"stream_options":{"include_usage":true},'
MODEL = '23:5:j:"gpt"'
REPORT = b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n'


@pytest.fixture(scope="module")
def decisions() -> dict[bytes, Allowed | Answered | bytes]:
    """What is answered about each path; an answer in bytes is a refusal's body."""
    return {}


@pytest.fixture(scope="module")
def asked() -> list[Request]:
    """What was checked whole."""
    return []


@pytest.fixture(scope="module")
def heads() -> list[Request]:
    """What was checked before its body was read."""
    return []


@pytest.fixture(scope="module")
def ends() -> queue.Queue[tuple[int, str]]:
    """The end notices."""
    return queue.Queue()


@pytest.fixture(scope="module")
def copies() -> queue.Queue[Copied]:
    """The copies of answers."""
    return queue.Queue()


@pytest.fixture(scope="module")
def driver(
    tmp_path_factory: pytest.TempPathFactory,
    decisions: dict[bytes, Allowed | Answered | bytes],
    asked: list[Request],
    heads: list[Request],
    ends: queue.Queue[tuple[int, str]],
    copies: queue.Queue[Copied],
) -> Iterator[Driver]:
    path = tmp_path_factory.mktemp("translator") / "socket"

    def decide(number: int, question: Request) -> bytes:
        asked.append(question)
        decision = decisions.get(question.target, b"")
        if question.target == b"/v1/many-headers":
            return refused(number, Response(429, {f"x-{at}": "v" for at in range(100)}))
        if isinstance(decision, (Allowed, Answered)):
            return decision.encode(number)
        return denied(number, decision) if decision else allowed(number)

    def admit(number: int, head: Request) -> bytes:
        """By the key, which is the value of the header."""
        heads.append(head)
        key = head.headers.get(b"authorization", b"").decode()
        return admitted(number, key) if key else denied(number, b"who?")

    with (
        closing(Peer(path)) as peer,
        serving(peer, decide, admit, lambda number, request_id: ends.put((number, request_id)), copies.put),
        Driver("filters", TRUNKLINE_TRANSLATOR_SOCKET=str(path)) as running,
    ):
        assert running.ask("configure", AUTHORISE, "authorise", SETTINGS) == [b"1"]
        assert running.ask("configure", DRESS, "dress", "") == [b"1"]
        yield running
        running.ask("unconfigure", DRESS)
        running.ask("unconfigure", AUTHORISE)


class Filter:
    """One of the module's filters: `authorise` of a request, or `dress` of an attempt of it."""

    slots = itertools.count()

    def __init__(self, driver: Driver, config: int, request: Filter | None = None) -> None:
        self.driver = driver
        self.slot = next(self.slots) % 64
        driver.ask("new", self.slot, config, request.slot if request else self.slot)

    def __enter__(self) -> Filter:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.ask("destroy", self.slot)

    def add(self, kind: int, **headers: str | bytes) -> None:
        for name, value in headers.items():
            self.driver.ask("header", self.slot, kind, name.replace("_", "-"), value)

    def headers(self, kind: int) -> dict[str, str]:
        texts = [text.decode() for text in self.driver.ask("headers", self.slot, kind)]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    def call(self, hook: str, *arguments: int | bytes) -> tuple[int, bytes]:
        """What the hook said, and the body that goes on."""
        status, *body = self.driver.ask(hook, self.slot, *arguments)
        return int(status), b"".join(body)

    def state(self, key: str) -> bytes | None:
        found = self.driver.ask("state", self.slot, key)
        return found[0] if found else None

    def response(self) -> list[bytes]:
        """Status, details, body and headers of what was sent instead."""
        return self.driver.ask("response", self.slot)

    def scheduled(self) -> bool:
        """Waits for the answer; whether the request goes on."""
        event = LOOK
        while event == LOOK:
            event, continued = self.step()
        return continued

    def step(self) -> tuple[int, bool]:
        """Waits for one event; which it is, and whether the request goes on then."""
        came, continued, event = self.driver.ask("scheduled", self.slot)
        assert came == b"1"
        return int(event), continued == b"1"

    def limit(self) -> int:
        """Bytes that Envoy buffers."""
        (limit,) = self.driver.ask("limit", self.slot)
        return int(limit)


def authorised(driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], decision: Allowed) -> Filter:
    """A request that the translator has let through."""
    decisions[b"/v1/x"] = decision
    request = Filter(driver, AUTHORISE)
    request.add(REQUEST, **{":method": "POST", ":path": "/v1/x", "authorization": "Bearer sk-client"})
    assert request.call("request_headers", 1)[0] == STOP
    assert request.scheduled()
    return request


@pytest.fixture
def request_(driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]) -> Iterator[Filter]:
    decision = Allowed("route", "", "note", "/chat", USAGE_EDIT, MODEL, {"x-request-id": "1"})
    with authorised(driver, decisions, decision) as request:
        yield request


def attempt(request: Filter, target: str = 'u /base key target "there"') -> Filter:
    made = Filter(request.driver, DRESS, request)
    made.driver.ask("metadata", made.slot, target)
    return made


#: As they are escaped in JSON, and not in a form.
NAMES = 'речь-1 D:\\models\\w "q"\\'
#: What stands in a body for the model `m`, by the kind of its place; the text there is `--b`.
INSERTED = {
    "j": b'"m"',
    "f": b"m",
    "o": b'{"model":"m",',
    "p": b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--b',
}
places = st.integers(0, 13)
lengths = st.integers(0, 4)


class TestAuthorise:
    def test_it_asks_about_the_whole_body_and_what_decides(self, driver: Driver, asked: list[Request]) -> None:
        with Filter(driver, AUTHORISE) as request:
            request.add(REQUEST, **{":method": "POST", ":path": "/v1/y?a=1", "authorization": "Bearer k"})
            request.add(REQUEST, x_trunkline_tag="a", cookie="c")
            request.add(REQUEST, x_trunkline_tag="b")
            assert request.call("request_headers", 0)[0] == STOP
            assert request.call("request_body", 0, b"ab", b"", b"c")[0] != CONTINUE
            assert request.call("request_body", 0, b"d")[0] != CONTINUE
            assert request.call("request_body", 1, b"ef")[0] != CONTINUE
            assert request.scheduled()
        question = asked[-1]
        assert (question.method, question.target, question.body) == ("POST", b"/v1/y?a=1", b"abcdef")
        assert question.headers == {b"authorization": b"Bearer k", b"x-trunkline-tag": b"a, b"}

    def test_trailers_end_a_body_too(self, driver: Driver, asked: list[Request]) -> None:
        with Filter(driver, AUTHORISE) as request:
            request.add(REQUEST, **{":method": "POST", ":path": "/v1/trailers"})
            request.call("request_headers", 0)
            request.call("request_body", 0, b"ab")
            assert request.call("request_trailers")[0] == STOP
            assert request.scheduled()
        assert (asked[-1].target, asked[-1].body) == (b"/v1/trailers", b"ab")

    def test_what_is_allowed_is_routed(self, request_: Filter) -> None:
        headers = request_.headers(REQUEST)
        assert headers["x-trunkline-route"] == "route"
        assert "x-trunkline-key" not in headers
        assert request_.state("trunkline.note") == b"note"
        request_.call("response_headers", 0)
        assert request_.headers(RESPONSE) == {"x-request-id": "1"}

    def test_what_is_refused_is_answered(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]
    ) -> None:
        decisions[b"/v1/refused"] = b"why"
        with Filter(driver, AUTHORISE) as request:
            request.add(REQUEST, **{":method": "GET", ":path": "/v1/refused"})
            request.call("request_headers", 1)
            assert not request.scheduled()
            assert request.response() == [b"429", b"trunkline_refused", b"why", b"retry-after", b"1"]

    def test_a_refusal_has_all_its_headers(self, driver: Driver) -> None:
        many = {f"x-{number}": "v" for number in range(100)}
        with Filter(driver, AUTHORISE) as request:
            request.add(REQUEST, **{":method": "GET", ":path": "/v1/many-headers"})
            request.call("request_headers", 1)
            assert not request.scheduled()
            assert request.response()[3:] == [text.encode() for pair in many.items() for text in pair]

    def test_a_client_may_leave_at_any_time(self, driver: Driver) -> None:
        for last in (0, 1) * 20:
            with Filter(driver, AUTHORISE) as request:
                request.add(REQUEST, **{":method": "GET", ":path": "/v1/left"})
                request.call("request_headers", last)

    def test_an_impossible_configuration_is_refused(self, driver: Driver) -> None:
        too_much = ("3600001 1 1 1 1", f"1 {(1 << 30) + 1} 1 1 1")
        for text in ("", "10000", "0 1000", "10000 x", "1 1 1 1", "1 1 1 1 1 1", "1 1 1 1 1 ", *too_much):
            assert driver.ask("configure", 2, "authorise", text) == [b"0"]
        assert driver.ask("configure", 2, "dress", "x") == [b"0"]
        assert driver.ask("configure", 2, "other", "") == [b"0"]

    def test_without_a_socket_there_is_nothing_to_configure(self, tmp_path: Path) -> None:
        for path in ("", "x" * 104):
            with Driver("filters", TRUNKLINE_TRANSLATOR_SOCKET=path) as other:
                assert other.ask("configure", 0, "authorise", SETTINGS) == [b"0"]

    @settings(max_examples=300)
    @given(
        st.lists(
            st.sampled_from(
                ["", "-", "1", "5:", "1:0:", "1:2:x", ":", "j:", "f:a", "1:2:j:", "1:2:f:x", "1:1:o:{", "9" * 19]
            )
            | st.sampled_from(["p7", "t", "t8"])
            | st.text("\n:0jfop-", max_size=12),
            max_size=9,
        )
    )
    def test_an_answer_that_makes_no_sense_is_none(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], lines: list[str]
    ) -> None:
        decisions[b"/v1/z"] = Allowed("\n".join(lines))
        with Filter(driver, AUTHORISE) as request:
            request.add(REQUEST, **{":method": "GET", ":path": "/v1/z"})
            request.call("request_headers", 1)
            head = ("\n".join(lines) + "\n\n\n\n-\n\n\n").split("\n")
            usage, model = head[4].split(":", 2), head[5].split(":", 3)
            placed = not head[6] or (head[6][0] in "pt" and is_number(head[6][1:]))
            sound = not head[5] or (
                (head[4] == "-" or (len(usage) > 1 and all(map(is_number, usage[:2]))))
                and len(model) > 2
                and all(map(is_number, model[:2]))
                and model[2] in {"j", "f", "o", "p"}
            )
            assert request.scheduled() == (sound and placed)
            if not (sound and placed):
                assert request.response()[:2] == [b"503", b"trunkline_policy_unavailable"]


def is_number(text: str) -> bool:
    return 0 < len(text) <= 18 and text.isdigit()


def begun(driver: Driver, path: str, *, key: str = "k", length: int | None = None, request_id: str = "") -> Filter:
    """A request whose head has been received."""
    request = Filter(driver, AUTHORISE)
    request.add(REQUEST, **{":method": "POST", ":path": path})
    if key:
        request.add(REQUEST, authorization=key)
    if length is not None:
        request.add(REQUEST, content_length=str(length))
    if request_id:
        request.add(REQUEST, x_request_id=request_id)
    assert request.call("request_headers", 0)[0] == STOP
    return request


def looked(request: Filter) -> Filter:
    """After Envoy has read what there was."""
    assert request.step() == (LOOK, False)
    return request


def reading(driver: Driver, path: str, **options: Any) -> Filter:
    """A request whose head has been checked, and whose body is read."""
    request = looked(begun(driver, path, **options))
    assert request.step() == (ANSWERED, False)
    return request


class TestHeadFirst:
    """What is asked when, and what is held meanwhile."""

    def test_a_small_body_costs_one_check(
        self, driver: Driver, asked: list[Request], heads: list[Request]
    ) -> None:
        before = len(heads)
        with begun(driver, "/v1/small", length=SMALL) as request:
            for _ in range(7):
                assert request.call("request_body", 0, b"x" * (SMALL // 8))[0] == BUFFER
            assert request.call("request_body", 1, b"x" * (SMALL // 8))[0] == BUFFER
            assert request.step() == (ANSWERED, True)
        assert asked[-1].body == b"x" * SMALL
        assert len(heads) == before

    @pytest.mark.parametrize("trailers", [False, True])
    def test_so_does_one_of_unknown_length_that_comes_with_its_head(
        self, driver: Driver, asked: list[Request], heads: list[Request], trailers: bool
    ) -> None:
        before = len(heads)
        with begun(driver, "/v1/at-hand") as request:
            assert request.call("request_body", 0, b"ab")[0] == WATERMARK
            if trailers:
                assert request.call("request_trailers")[0] == STOP
            else:
                assert request.call("request_body", 1)[0] == WATERMARK
            assert request.step() == (LOOK, False)
            assert request.step() == (ANSWERED, True)
            assert request.limit() == MAX_BODY  # for the retries, and the edits
        assert (asked[-1].target, asked[-1].body) == (b"/v1/at-hand", b"ab")
        assert len(heads) == before

    @pytest.mark.parametrize("length", [SMALL + 1, None])
    def test_of_any_other_the_head_is_checked_first(
        self, driver: Driver, asked: list[Request], heads: list[Request], length: int | None
    ) -> None:
        with begun(driver, "/v1/large", length=length) as request:
            assert request.limit() == UNCHECKED
            looked(request)
            assert request.call("request_body", 0, b"ab")[0] == WATERMARK
            assert request.step() == (ANSWERED, False)
            assert (heads[-1].target, heads[-1].body) == (b"/v1/large", b"")
            assert request.limit() == MAX_BODY
            assert request.call("request_body", 0, b"cd")[0] == BUFFER
            assert request.call("request_body", 1, b"ef")[0] == BUFFER
            assert request.step() == (ANSWERED, True)
        assert (asked[-1].target, asked[-1].body) == (b"/v1/large", b"abcdef")

    def test_a_body_that_ends_while_its_head_is_checked_is_checked_whole_then(
        self, driver: Driver, asked: list[Request]
    ) -> None:
        for last in (lambda: request.call("request_body", 1, b"cd"), lambda: request.call("request_trailers")):
            with looked(begun(driver, "/v1/ends")) as request:
                assert request.call("request_body", 0, b"ab")[0] == WATERMARK
                last()
                assert request.step() == (ANSWERED, False)
                assert request.step() == (ANSWERED, True)
            assert asked[-1].body.startswith(b"ab")

    def test_a_stranger_is_refused_before_the_body(self, driver: Driver, asked: list[Request]) -> None:
        before = len(asked)
        with looked(begun(driver, "/v1/stranger", key="", length=MAX_BODY)) as request:
            request.call("request_body", 0, b"ab")
            assert request.step() == (ANSWERED, False)
            assert request.response()[:3] == [b"429", b"trunkline_refused", b"who?"]
            assert request.call("request_body", 0, b"cd")[0] == DISCARD
        assert len(asked) == before

    def test_only_so_much_is_promised_to_strangers(self, driver: Driver, heads: list[Request]) -> None:
        before = len(heads)
        with (
            begun(driver, "/v1/slow", length=SMALL) as first,
            begun(driver, "/v1/slow", length=SMALL),
            reading(driver, "/v1/slow", length=SMALL),
        ):
            assert len(heads) == before + 1
            first.call("request_body", 1, b"x" * SMALL)
            assert first.scheduled()
            with begun(driver, "/v1/slow", length=SMALL) as again:  # there is room again
                again.call("request_body", 1, b"x" * SMALL)
                assert again.step() == (ANSWERED, True)
        assert len(heads) == before + 1

    def test_many_requests_that_promise_next_to_nothing_are_bounded_too(
        self, driver: Driver, heads: list[Request]
    ) -> None:
        before = len(heads)
        with contextlib.ExitStack() as open_:
            for _ in range(MAX_OF_STRANGERS // (STREAM_WEIGHT + 1)):
                open_.enter_context(begun(driver, "/v1/tiny", key="", length=1))
            refused_ = looked(open_.enter_context(begun(driver, "/v1/tiny", key="", length=1)))
            assert refused_.step() == (ANSWERED, False)
            assert refused_.response()[0] == b"429"
        assert len(heads) == before + 1

    def test_only_so_much_is_read_unchecked(self, driver: Driver) -> None:
        with begun(driver, "/v1/unchecked") as first, begun(driver, "/v1/unchecked") as second:
            assert first.call("request_body", 0, b"x" * (MAX_OF_STRANGERS - 10))[0] == WATERMARK
            assert second.call("request_body", 0, b"x" * 11)[0] == DISCARD
            assert second.response()[:2] == [b"503", b"trunkline_all_hold_too_much"]
            assert b'"gateway_overloaded"' in second.response()[2]
            assert second.response()[3:] == [
                *(b"content-type", b"application/json", b"retry-after", b"1"),
                *(b"retry-after-ms", b"1000", b"x-should-retry", b"true"),
            ]
        with begun(driver, "/v1/unchecked") as third:
            assert third.call("request_body", 0, b"x" * MAX_OF_STRANGERS)[0] == WATERMARK

    def test_an_answer_that_comes_after_a_refusal_changes_nothing(self, driver: Driver) -> None:
        with begun(driver, "/v1/unchecked") as first, looked(begun(driver, "/v1/unchecked")) as second:
            assert first.call("request_body", 0, b"x" * MAX_OF_STRANGERS)[0] == WATERMARK
            assert second.call("request_body", 0, b"x")[0] == DISCARD
            refused_once = second.response()
            assert second.step() == (ANSWERED, False)
            assert second.call("request_body", 1, b"x")[0] == DISCARD
            assert second.response() == refused_once
            assert second.limit() == UNCHECKED

    def test_a_small_body_is_no_longer_than_promised(self, driver: Driver) -> None:
        with begun(driver, "/v1/liar", length=10) as request:
            assert request.call("request_body", 0, b"x" * 11)[0] == DISCARD
            assert request.response()[0] == b"413"

    @pytest.mark.parametrize("length", [MAX_BODY + 1, None])
    def test_a_body_that_is_too_long_is_refused(
        self, driver: Driver, asked: list[Request], length: int | None
    ) -> None:
        before = len(asked)
        with reading(driver, "/v1/long", length=length) as request:
            if length is None:
                assert request.call("request_body", 0, b"x" * MAX_BODY)[0] == BUFFER
                assert request.call("request_body", 1, b"x")[0] == DISCARD
            assert request.response()[0] == b"413"
        assert len(asked) == before

    def test_a_body_that_is_just_short_enough_is_not(self, driver: Driver, asked: list[Request]) -> None:
        with reading(driver, "/v1/short-enough") as request:
            request.call("request_body", 0, b"x" * (MAX_BODY - 1))
            request.call("request_body", 1, b"x")
            assert request.step() == (ANSWERED, True)
        assert len(asked[-1].body) == MAX_BODY

    @pytest.mark.parametrize("stated", [True, False])
    def test_the_bodies_of_one_key_are_bounded_and_others_go_on(self, driver: Driver, stated: bool) -> None:
        length = MAX_BODY if stated else None

        def one(key: str) -> Filter:
            request = reading(driver, "/v1/held", key=key, length=length)
            if not request.response():
                request.call("request_body", 0, b"x" * MAX_BODY)
            return request

        with one("a"), one("a") as second:
            with one("a") as third, one("b"):
                assert third.response()[:2] == [b"429", b"trunkline_key_holds_too_much"]
                assert b'"too_many_bytes_in_flight"' in third.response()[2]
                with one("c") as too_much_in_all, begun(driver, "/v1/held", key="d", length=100) as small:
                    assert not too_much_in_all.response()
                    with one("d") as refused_:
                        assert refused_.response()[:2] == [b"503", b"trunkline_all_hold_too_much"]
                    small.call("request_body", 1, b"x" * 100)
                    assert small.scheduled()
            second.call("request_body", 1)
            assert second.scheduled()  # and the body is kept while the request runs
            with one("a") as fourth:
                assert fourth.response()[0] == b"429"
        with one("a") as fifth:
            assert not fifth.response()

    def test_small_bodies_count_too_while_they_are_kept(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]
    ) -> None:
        decisions[b"/v1/kept"] = Allowed("route", account="a")
        with contextlib.ExitStack() as open_:
            answers = []
            for _ in range(MAX_OF_KEY // SMALL + 1):
                request = open_.enter_context(begun(driver, "/v1/kept", key="a", length=SMALL))
                request.call("request_body", 1, b"x" * SMALL)
                answers.append(request.scheduled())
            assert answers == [True] * (MAX_OF_KEY // SMALL) + [False]
            assert request.response()[:2] == [b"429", b"trunkline_key_holds_too_much"]

    def test_a_client_may_leave_at_any_time(self, driver: Driver) -> None:
        for steps in range(6):
            with begun(driver, "/v1/left") as request:
                moves = [
                    lambda: request.call("request_body", 0, b"x" * 1000),
                    request.step,
                    request.step,
                    lambda: request.call("request_body", 0, b"x" * 1000),
                    lambda: request.call("request_body", 1, b"x"),
                ]
                for move in moves[:steps]:
                    move()


class TestEnd:
    """When the translator is told that a request is over."""

    @pytest.fixture(autouse=True)
    def _decision(self, decisions: dict[bytes, Allowed | Answered | bytes]) -> None:
        decisions[b"/v1/counted"] = Allowed("route", end="counted")
        decisions[b"/v1/barrier"] = Allowed("route", end="barrier")

    def told(self, driver: Driver, ends: queue.Queue[tuple[int, str]]) -> list[str]:
        """The ids in the notices so far."""
        with begun(driver, "/v1/barrier", length=1, request_id="barrier") as last:
            last.call("request_body", 1, b"x")
            assert last.scheduled()
        found = []
        while (request_id := ends.get(timeout=PATIENCE)[1]) != "barrier":
            found.append(request_id)
        return found

    def whole(self, driver: Driver, path: str, request_id: str) -> Filter:
        request = begun(driver, path, length=1, request_id=request_id)
        request.call("request_body", 1, b"x")
        return request

    def test_where_it_frees_something(self, driver: Driver, ends: queue.Queue[tuple[int, str]]) -> None:
        with self.whole(driver, "/v1/counted", "id-1") as request:
            assert request.scheduled()
            assert self.told(driver, ends) == []
            driver.ask("complete", request.slot)
            assert self.told(driver, ends) == ["id-1"]
        assert self.told(driver, ends) == []  # once

    def test_nowhere_else(self, driver: Driver, ends: queue.Queue[tuple[int, str]]) -> None:
        with self.whole(driver, "/v1/uncounted", "id-2") as request:
            assert request.scheduled()
            driver.ask("complete", request.slot)
        with looked(begun(driver, "/v1/counted", request_id="id-3")):
            pass  # only its head was asked about
        assert self.told(driver, ends) == []

    def test_where_nobody_waits_for_the_answer(self, driver: Driver, ends: queue.Queue[tuple[int, str]]) -> None:
        with self.whole(driver, "/v1/counted", "id-4"):
            pass
        assert self.told(driver, ends) == ["id-4"]

    def test_where_the_answer_makes_no_sense(
        self,
        driver: Driver,
        decisions: dict[bytes, Allowed | Answered | bytes],
        ends: queue.Queue[tuple[int, str]],
    ) -> None:
        decisions[b"/v1/nonsense"] = Allowed("route", model="nonsense")
        with self.whole(driver, "/v1/nonsense", "id-5") as request:
            assert not request.scheduled()
            assert request.response()[0] == b"503"
        assert self.told(driver, ends) == ["id-5"]

    def test_where_its_key_holds_too_much(
        self,
        driver: Driver,
        decisions: dict[bytes, Allowed | Answered | bytes],
        ends: queue.Queue[tuple[int, str]],
    ) -> None:
        decisions[b"/v1/counted"] = Allowed("route", end="id-6", account="full")
        with contextlib.ExitStack() as open_:
            while True:
                request = open_.enter_context(begun(driver, "/v1/counted", length=SMALL, request_id="id-6"))
                request.call("request_body", 1, b"x" * SMALL)
                if not request.scheduled():
                    break
            driver.ask("complete", request.slot)
            assert self.told(driver, ends) == ["id-6"]
        assert set(self.told(driver, ends)) == {"id-6"}


class TestRequestToTarget:
    def test_nothing_that_was_not_let_through_reaches_a_target(self, driver: Driver) -> None:
        with Filter(driver, AUTHORISE) as request, attempt(request) as first:
            assert first.call("request_headers", 0)[0] == STOP
            assert first.response()[:2] == [b"500", b"trunkline_undressed"]

    @pytest.mark.parametrize("metadata", [None, "", "u / key", "u / key "])
    def test_nothing_reaches_a_target_that_is_not_known(self, request_: Filter, metadata: str | None) -> None:
        with Filter(request_.driver, DRESS, request_) as first:
            if metadata is not None:
                first.driver.ask("metadata", first.slot, metadata)
            assert first.call("request_headers", 0)[0] == STOP
            assert first.response()[:2] == [b"500", b"trunkline_undressed"]

    def test_the_client_s_key_does_not_reach_a_target(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            headers = first.headers(REQUEST)
            assert headers["authorization"] == "Bearer key"
            assert headers[":path"] == "/base/chat"
        with attempt(request_, 'u - - target "there"') as second:
            second.call("request_headers", 0)
            headers = second.headers(REQUEST)
            assert "authorization" not in headers
            assert headers[":path"] == "/chat"

    def test_what_a_node_is_told_reaches_no_one_else(self, request_: Filter) -> None:
        with attempt(request_, 'no - node-1 target "there"') as first:
            first.call("request_headers", 0)
            headers = first.headers(REQUEST)
            assert (headers["x-trunkline-node"], headers["x-trunkline-own"]) == ("node-1", "1")
            assert "authorization" not in headers
        with attempt(request_, 'n - node-2 target "there"') as second:
            second.call("request_headers", 0)
            headers = second.headers(REQUEST)
            assert headers["x-trunkline-node"] == "node-2"
            assert "x-trunkline-own" not in headers
        with attempt(request_) as third:
            third.call("request_headers", 0)
            assert not {"x-trunkline-node", "x-trunkline-own"} & third.headers(REQUEST).keys()

    def test_model_and_usage_are_written_into_the_body(self, request_: Filter) -> None:
        edited = b'{"stream_options":{"include_usage":true},"stream":true,"model":"there","messages":[]}'
        with attempt(request_) as first:
            assert first.call("request_headers", 0)[0] == STOP
            first.driver.ask("metadata", first.slot, 'u /other other other "other"')  # EDS has changed it
            assert first.call("request_body", 0, BODY[:10], BODY[10:30])[0] == STOP
            assert first.call("request_body", 1, BODY[30:]) == (CONTINUE, edited)
            assert first.headers(REQUEST)["content-length"] == str(len(edited))
        with attempt(request_) as second:
            second.call("request_headers", 0)
            second.call("request_body", 0, BODY)
            assert second.call("request_trailers") == (CONTINUE, edited)

    def test_a_target_that_knows_no_stream_options_is_not_asked(self, request_: Filter) -> None:
        with attempt(request_, 'x - key target "there"') as first:
            first.call("request_headers", 0)
            assert first.call("request_body", 1, BODY) == (CONTINUE, BODY.replace(b"gpt", b"there"))

    def test_a_body_that_fits_passes_as_it_is(self, request_: Filter) -> None:
        with attempt(request_, 'x - key target "gpt"') as first:
            assert first.call("request_headers", 0)[0] == CONTINUE
            assert first.call("request_body", 0, b"any") == (CONTINUE, b"any")
            assert first.call("request_trailers") == (CONTINUE, b"")

    def test_an_edit_outside_the_body_is_refused(self, request_: Filter) -> None:
        for body in (BODY[:27], b""):
            with attempt(request_) as first:
                first.call("request_headers", 0)
                assert first.call("request_body", 1, body) == (STOP, b"")
                assert first.response()[:2] == [b"500", b"trunkline_edit_outside_body"]

    def test_a_form_gets_the_name_without_its_quotes(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]
    ) -> None:
        with authorised(driver, decisions, Allowed("r", path="/x", model="2:3:f:old")) as request:
            with attempt(request, 'u - key target "new name"') as first:
                first.call("request_headers", 0)
                assert first.call("request_body", 1, b"--old--") == (CONTINUE, b"--new name--")
            with attempt(request, 'u - key target "old"') as second:
                assert second.call("request_headers", 0)[0] == CONTINUE
            with attempt(request, f"u - key target {json.dumps(NAMES, ensure_ascii=False)}") as third:
                third.call("request_headers", 0)
                assert third.call("request_body", 1, b"--old--") == (CONTINUE, f"--{NAMES}--".encode())

    @pytest.mark.parametrize(
        ("place", "body", "edited"),
        [
            ("1:1:o:{", b' {"input":1}', b' {"model":"a \\"b\\"","input":1}'),
            ('9:2:j:""', b'{"model":"","input":1}', b'{"model":"a \\"b\\"","input":1}'),
            ("9:4:j:null", b'{"model":null}', b'{"model":"a \\"b\\""}'),
            ("3:0:f:", b"--\n--", b'--\na "b"--'),
            ("0:3:p:--b", b"--b--", b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\na "b"\r\n--b--'),
        ],
    )
    def test_a_target_is_told_a_model_that_the_client_did_not_name(
        self, driver: Driver, decisions: dict[bytes, Allowed | bytes], place: str, body: bytes, edited: bytes
    ) -> None:
        with authorised(driver, decisions, Allowed("r", path="/x", model=place)) as request:
            for _ in range(2):
                with attempt(request, 'u - key target "a \\"b\\""') as made:
                    assert made.call("request_headers", 0)[0] == STOP
                    assert made.call("request_body", 1, body) == (CONTINUE, edited)
                    assert made.headers(REQUEST)["content-length"] == str(len(edited))

    @settings(max_examples=300)
    @given(
        st.binary(min_size=8, max_size=12),
        *(places, lengths, places, lengths),
        st.binary(max_size=3),
        st.sampled_from(sorted(INSERTED)),
    )
    def test_edits_are_slices(
        self,
        driver: Driver,
        decisions: dict[bytes, Allowed | Answered | bytes],
        body: bytes,
        place: int,
        length: int,
        model_place: int,
        model_length: int,
        text: bytes,
        kind: str,
    ) -> None:
        inserted = text.hex()
        model = f"{model_place}:{model_length}:{kind}:--b"
        decision = Allowed("r", path="/x", usage=f"{place}:{length}:{inserted}", model=model)
        edits = [(model_place, model_length, INSERTED[kind]), (place, length, inserted.encode())]
        expected, position = b"", 0
        fits = True
        for start, size, new in sorted(edits, key=lambda edit: edit[0]):
            fits = fits and position <= start and start + size <= len(body)
            expected += body[position:start] + new
            position = start + size
        expected += body[position:]
        with authorised(driver, decisions, decision) as request, attempt(request, 'u - key target "m"') as first:
            first.call("request_headers", 0)
            result = first.call("request_body", 1, *(body[at : at + 1] for at in range(len(body))))
        assert result == ((CONTINUE, expected) if fits else (STOP, b""))


class TestAnswerOfTarget:
    def test_its_usage_is_logged_and_its_report_hidden(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "text/event-stream; charset=utf-8"})
            first.add(RESPONSE, content_length="9")
            assert first.call("response_headers", 0)[0] == STOP
            assert first.call("response_body", 0, b"data: 1\n\n" + REPORT[:20]) == (CONTINUE, b"data: 1\n\n")
            assert "content-length" not in first.headers(RESPONSE)
            assert first.call("response_body", 0, REPORT[20:30], REPORT[30:]) == (CONTINUE, b"")
            assert first.call("response_body", 1) == (CONTINUE, b"")
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.usage") == b'{"usage":{"total_tokens":3}}'
        assert request_.state("trunkline.events") == b"2:%d" % (9 + len(REPORT))
        assert request_.state("trunkline.failed") is None

    def test_a_report_is_hidden_also_if_its_target_was_not_asked_for_it(self, request_: Filter) -> None:
        """Some report usage always, and refuse to be asked."""
        with attempt(request_, '- - key target "there"') as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "text/event-stream"})
            first.call("response_headers", 0)
            token = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
            assert first.call("response_body", 1, token + REPORT) == (CONTINUE, token)

    @pytest.mark.parametrize("trailers", [True, False])
    def test_the_end_of_a_stream_is_not_kept(self, request_: Filter, trailers: bool) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "text/event-stream"})
            first.call("response_headers", 0)
            assert first.call("response_body", 0, b"data: 1\n\ndata:") == (CONTINUE, b"data: 1\n\n")
            last = first.call("response_trailers") if trailers else first.call("response_body", 1, b"")
            assert last == (CONTINUE, b"data:")

    def test_a_plain_answers_usage_is_logged(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "application/json"})
            first.call("response_headers", 0)
            pieces = [b'{"usage":{"to', *(b"%d" % (number % 10) for number in range(30)), b'_tokens":1}}']
            assert first.call("response_body", 1, *pieces) == (CONTINUE, b"".join(pieces))
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.usage") == b"".join(pieces)
        assert request_.state("trunkline.events") is None

    def test_what_a_failed_attempt_said_about_its_usage_is_forgotten(self, request_: Filter) -> None:
        for body in (b'{"usage":{"total_tokens":9}}', b'{"usage":{"total_tokens":3}}'):
            with attempt(request_) as each:
                each.call("request_headers", 0)
                each.add(RESPONSE, **{":status": "200", "content-type": "application/json"})
                each.call("response_headers", 0)
                each.call("response_body", 1, body)
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.usage") == b'{"usage":{"total_tokens":3}}'

    def test_a_compressed_answer_passes_unread_and_is_noted(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            assert first.headers(REQUEST)["accept-encoding"] == "identity"
            first.add(RESPONSE, **{":status": "200", "content-type": "text/event-stream"})
            first.add(RESPONSE, **{"content-encoding": "gzip"})
            first.call("response_headers", 0)
            assert first.call("response_body", 1, REPORT) == (CONTINUE, REPORT)
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.usage") == b'{"usage":null,"coding":"gzip"}'
        assert request_.state("trunkline.events") is None

    def test_what_is_neither_passes(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "audio/mpeg"})
            first.call("response_headers", 0)
            assert first.call("response_body", 1, REPORT) == (CONTINUE, REPORT)
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.usage") is None

    @pytest.mark.parametrize("status", ["401", "403"])
    @pytest.mark.parametrize("end", ["headers", "body", "trailers"])
    def test_a_refusal_of_our_credential_is_not_the_clients(self, request_: Filter, status: str, end: str) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": status, "content-type": "text/plain", "content-length": "9"})
            first.add(RESPONSE, www_authenticate="x", content_encoding="gzip")
            _, body = first.call("response_headers", int(end == "headers"))
            if end != "headers":
                assert body == b""
                _, body = first.call("response_body", 0, b"your key ", b"sk-secret")
            if end == "body":
                assert first.call("response_body", 1, b"!") == (CONTINUE, b"")
            if end == "trailers":
                assert first.call("response_trailers") == (CONTINUE, b"")
            headers = {":status": FINAL, "content-type": "application/json", "content-length": str(len(body))}
            assert first.headers(RESPONSE) == headers
            assert b"account (%s)" % status.encode() in body
            assert b"sk-secret" not in body
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.failed") == f"target={status}".encode()

    def test_every_attempt_that_failed_is_noted_once(self, request_: Filter) -> None:
        for status, name in (("500", "a"), (None, "b"), ("429", "c"), (None, "d"), ("200", "e")):
            with attempt(request_, f'u - key {name} "there"') as made:
                made.call("request_headers", 0)
                if status:
                    made.add(RESPONSE, **{":status": status})
                    made.call("response_headers", 0)
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.failed") == b"a=500 b=0 c=429 d=0"

    def test_only_what_a_client_needs_goes_to_it(self, request_: Filter) -> None:
        kept = {
            ":status": "200", "content-type": "audio/mpeg", "content-length": "3", "retry-after": "7",
            "cache-control": "no-store", "content-disposition": "x", "openai-version": "1",
            "openai-processing-ms": "5", "retry-after-ms": "6500", "x-should-retry": "false",
        }  # fmt: skip
        gone = (
            "location", "alt-svc", "strict-transport-security", "clear-site-data", "set-cookie", "server-timing",
            "access-control-allow-origin", "x-ratelimit-limit", "x-trunkline-a", "x-envoy-b", "www-authenticate",
            "openai-organization", "link", "refresh", "content-location", *(f"x-{number}" for number in range(80)),
        )  # fmt: skip
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **kept, **dict.fromkeys(gone, "1"), **{"x-request-id": "upstream\x01 1"})
            first.add(RESPONSE, set_cookie="again")
            first.call("response_headers", 0)
            assert first.headers(RESPONSE) == {**kept, "x-trunkline-upstream-request-id": "upstream1"}
        request_.driver.ask("complete", request_.slot)
        assert request_.state("trunkline.upstream_id") == b"upstream1"

    @pytest.mark.parametrize("after", ["", "soon", "-1", "Fri, 27 Nov 2026 01:00:00 GMT", "123456789"])
    def test_when_to_come_back_is_a_number_of_seconds(self, request_: Filter, after: str) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "400", "retry-after": after})
            first.call("response_headers", 0)
            assert not first.headers(RESPONSE).get("retry-after")

    @pytest.mark.parametrize(
        ("name", "value", "kept"),
        [
            ("retry-after-ms", "99999999999", True),
            ("retry-after-ms", "999999999999", False),
            ("retry-after-ms", "0.5", False),
            ("retry-after-ms", "-1", False),
            ("x-should-retry", "true", True),
            ("x-should-retry", "True", False),
            ("x-should-retry", "maybe", False),
        ],
    )
    def test_advice_to_clients_is_what_they_know(
        self, request_: Filter, name: str, value: str, *, kept: bool
    ) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "400", name: value})
            first.call("response_headers", 0)
            assert first.headers(RESPONSE).get(name) == (value if kept else None)

    @pytest.mark.parametrize(
        ("sent", "completed"),
        [
            ({"retry-after": "7"}, ("7", "7000", "true")),
            ({"retry-after": "61"}, ("61", "61000", "false")),
            ({"retry-after": "7", "retry-after-ms": "6001"}, ("7", "6001", "true")),
            ({"retry-after": "7", "x-should-retry": "false"}, ("7", "7000", "false")),
            ({"retry-after": "soon", "x-should-retry": "soon"}, (None, None, None)),
            ({"retry-after-ms": "6001"}, (None, "6001", None)),
        ],
    )
    def test_what_follows_from_when_to_come_back_is_told(
        self, request_: Filter, sent: dict[str, str], completed: tuple[str | None, ...]
    ) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "429"}, **sent)
            first.call("response_headers", 0)
            told = first.headers(RESPONSE)
            assert tuple(map(told.get, ("retry-after", "retry-after-ms", "x-should-retry"))) == completed

    def test_trailers_end_here(self, request_: Filter) -> None:
        with attempt(request_) as first:
            first.call("request_headers", 0)
            first.add(RESPONSE, **{":status": "200", "content-type": "audio/mpeg"})
            first.call("response_headers", 0)
            first.add(RESPONSE + 1, location="x", x_secret="y")
            assert first.call("response_trailers") == (CONTINUE, b"")
            assert first.headers(RESPONSE + 1) == {}

    @pytest.mark.parametrize("status", ["200", "400", "500"])
    @pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain"])
    def test_the_credential_is_in_no_answer(self, request_: Filter, status: str, kind: str) -> None:
        text = b'data: {"id":"x","choices":[1],"text":"key sk-secret-1/2 or sk-\\u0073ecret-1\\/2!"}\n\n'
        with attempt(request_, 'u - sk-secret-1/2 target "there"') as first:
            first.call("request_headers", 0)
            first.add(
                RESPONSE, **{":status": status, "content-type": kind, "content-disposition": "sk-secret-1/2"}
            )
            first.call("response_headers", 0)
            pieces = [first.call("response_body", 0, text[at : at + 1])[1] for at in range(len(text))]
            pieces.append(first.call("response_body", 1)[1])
            assert first.headers(RESPONSE)["content-disposition"] == "*" * 13
        assert b"".join(pieces) == text.replace(b"sk-secret-1/2", b"*" * 13).replace(
            b"sk-\\u0073ecret-1\\/2", b"*" * 19
        )


class TestNoAnswer:
    """What is none is retried, and if it is the last word the client is told so in words of our own."""

    @pytest.mark.parametrize(
        ("status", "kind", "body", "end"),
        [
            *(
                (status, "text/plain", b"x", False)
                for status in ("100", "150", "204", "206", "301", "307", "600", "999")
            ),
            *((status, "text/html; charset=utf-8", b"<html>", False) for status in ("200", "302", "404", "400")),
            ("200", "Text/HTML", b"<html>", False),
            *((status, "application/json", b"", True) for status in ("200", "204", "205")),
            ("200", "application/json", b"", False),
            ("200", "application/json", b" ", False),
            ("200", "text/event-stream", b"", False),
            ("200", "text/event-stream", b"\r\n\n", False),
            ("200", "audio/mpeg", b"", True),
        ],
    )
    def test_it_is_replaced(self, attempts: Attempts, status: str, kind: str, body: bytes, end: bool) -> None:
        attempts.choose()
        with attempt(attempts.request) as first:
            first.call("request_headers", 1)
            first.add(RESPONSE, **{":status": status, "content-type": kind})
            _, given = first.call("response_headers", int(end))
            if not end:
                given += first.call("response_body", 1, body)[1]
            headers = first.headers(RESPONSE)
        assert (headers[":status"], headers["content-type"]) == (RETRY, "application/json")
        assert headers["content-length"] == str(len(given))
        assert b'"code":"upstream_invalid_answer"' in given
        assert attempts.seen_by_client(RETRY) == "502"
        attempts.driver.ask("complete", attempts.request.slot)
        assert attempts.request.state("trunkline.failed") == f"target={status}".encode()

    @pytest.mark.parametrize(
        ("kind", "body", "given"),
        [
            ("application/json", b'{"error":{"message":"no"}}', b'{"error":{"message":"no"}}'),
            ("text/event-stream", b'event: error\ndata: {"error":{"code":1}}\n\n', b'{"error":{"code":1}}'),
            ("text/event-stream", b'data: {"error":"no"}\n\ndata: [DONE]\n\n', b'{"error":"no"}'),
        ],
    )
    @pytest.mark.parametrize("size", [1, 100])
    def test_an_error_with_an_answers_status(
        self, attempts: Attempts, kind: str, body: bytes, given: bytes, size: int
    ) -> None:
        attempts.choose()
        with attempt(attempts.request) as first:
            first.call("request_headers", 1)
            first.add(RESPONSE, **{":status": "200", "content-type": kind})
            assert first.call("response_headers", 0)[0] == STOP
            pieces = [first.call("response_body", 0, body[at : at + size])[1] for at in range(0, len(body), size)]
            pieces.append(first.call("response_body", 1)[1])
            headers = first.headers(RESPONSE)
        assert b"".join(pieces) == given
        assert (headers[":status"], headers["content-length"]) == (RETRY, str(len(given)))

    @pytest.mark.parametrize("status", ["401", "402", "403", "498"])
    def test_the_gateways_account_is_not_the_clients(self, attempts: Attempts, status: str) -> None:
        attempts.choose()
        assert attempts.attempt(status) == RETRY
        assert attempts.seen_by_client(RETRY) == "502"

    @pytest.mark.parametrize(
        ("body", "unknown"),
        [
            (b'{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}', True),
            (
                b'{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","code":404}',
                True,
            ),
            (b'{"error":{"message":"model \\"x\\" not found, try pulling it first"}}', True),
            (b'{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist"}}', True),
            (b'{"error":{"message":"No endpoints found for x/y."}}', True),
            (b'{"error":{"message":"Previous response with id \'resp_1\' not found.","type":"x"}}', False),
            (b'{"error":{"message":"No such File object: file-1","param":"id"}}', False),
            (b'{"detail":"Not Found"}', False),
        ],
    )
    def test_a_model_that_the_target_does_not_know(self, attempts: Attempts, body: bytes, unknown: bool) -> None:
        attempts.choose()
        with attempt(attempts.request) as first:
            first.call("request_headers", 1)
            first.add(RESPONSE, **{":status": "404", "content-type": "application/json"})
            assert first.call("response_headers", 0)[0] == STOP
            assert first.call("response_body", 0, body[:9])[1] == b""
            given = first.call("response_body", 1, body[9:])[1]
            shown = first.headers(RESPONSE)[":status"]
        assert shown == (RETRY if unknown else "404")
        assert (b'"upstream_model_not_found"' in given) == unknown
        assert unknown or given == body


TWO = "0 0 1 1 t key-1 one\n0 1 1 1 t key-2 two\n"
BOTH = "one=1\ntwo=1"
plans = itertools.count(8)


class Attempts:
    """One request that a plan leads from target to target; without one, to `one` and `two`, which no other request
    has met.
    """

    numbers = itertools.count()

    def __init__(self, request: Filter, plan: str = "") -> None:
        self.request = request
        self.own = "" if plan else f"-{next(self.numbers)}"
        plan = plan or TWO.replace("\n", f"{self.own}\n").replace(" key", f" key{self.own}")
        self.driver = request.driver
        self.plan = 8 + next(plans) % 32
        assert self.driver.ask("plan", self.plan, plan) == [b"1"]

    def __enter__(self) -> Attempts:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.ask("unplan", self.plan)

    def choose(self, living: str = BOTH, *, connected: bool = True) -> str:
        named = living.replace("=", f"{self.own}=")
        (cluster,) = self.driver.ask("choose", self.request.slot, self.plan, 0, int(connected), named)
        return cluster.decode().removesuffix(self.own) if self.own else cluster.decode()

    def attempt(self, status: str | None = None, **headers: str) -> str | None:
        """The status that Envoy is shown; None without an answer."""
        with attempt(self.request, 'u - key target "there"') as made:
            made.call("request_headers", 1)
            if status is None:
                return None
            made.add(RESPONSE, **{":status": status, "content-type": "audio/mpeg"}, **headers)
            made.call("response_headers", 0)
            return made.headers(RESPONSE)[":status"]

    def seen_by_client(self, shown: str) -> str:
        self.driver.ask("clear", self.request.slot, RESPONSE)
        self.request.add(RESPONSE, **{":status": shown})
        self.request.call("response_headers", 1)
        return self.request.headers(RESPONSE)[":status"]


@pytest.fixture
def attempts(request_: Filter) -> Iterator[Attempts]:
    with Attempts(request_) as made:
        yield made


class TestChoice:
    @pytest.mark.parametrize("status", ["429", "500", "503", "599"])
    def test_a_failure_is_hidden_from_envoy_and_told_to_the_client(self, attempts: Attempts, status: str) -> None:
        assert attempts.choose() == "one"
        assert attempts.attempt(status) == RETRY
        assert attempts.choose() == "two"
        assert attempts.attempt(status) == FINAL
        assert attempts.seen_by_client(FINAL) == status

    @pytest.mark.parametrize("status", ["501", "505", "496", "497"])
    def test_what_no_target_can_do_is_not_tried_again(self, attempts: Attempts, status: str) -> None:
        attempts.choose()
        assert attempts.attempt(status) == FINAL
        assert attempts.seen_by_client(FINAL) == status

    @pytest.mark.parametrize("status", ["400", "404", "422"])
    def test_the_clients_own_fault_is_its_own(self, attempts: Attempts, status: str) -> None:
        attempts.choose()
        assert attempts.attempt(status) == status

    @pytest.mark.parametrize(("after", "again"), [("7", b"true"), ("60", b"true"), ("61", b"false")])
    def test_when_nothing_is_left_the_client_is_told_what_the_last_one_said(
        self, attempts: Attempts, after: str, again: bytes
    ) -> None:
        attempts.choose()
        assert attempts.attempt("429", retry_after=after) == RETRY
        assert attempts.choose("one=1\ntwo=0") == "one"
        with attempt(attempts.request, 'u - key target "there"') as last:
            assert last.call("request_headers", 1)[0] == STOP
            status, details, _, *headers = last.response()
        assert (status, details) == (b"429", b"trunkline_nothing_left")
        assert headers == [
            *(b"content-type", b"application/json", b"retry-after", after.encode()),
            *(b"retry-after-ms", f"{after}000".encode(), b"x-should-retry", again),
        ]

    def test_envoys_own_error_after_a_failure_keeps_its_status(self, attempts: Attempts) -> None:
        attempts.choose()
        assert attempts.attempt("500") == RETRY
        attempts.choose()
        attempts.attempt(None)
        assert attempts.seen_by_client("503") == "503"

    def test_where_nothing_lives_nothing_is_asked(self, attempts: Attempts) -> None:
        assert attempts.choose("one=0\ntwo=0") == "none"

    @pytest.mark.parametrize("unfit", ["p/m", "q/m\tp/m", "p/m\tq/m"])
    def test_a_target_where_the_request_does_not_fit_is_passed_over(
        self, driver: Driver, decisions: dict[bytes, Allowed | bytes], unfit: str
    ) -> None:
        plan = "0 0 1 1 t k p/m\n0 0 1 1 t k2 p/m#2\n1 1 1 1 t l p/mm\n2 2 1 1 t l p/m#x\n3 3 1 2 m - p/m@org\n"
        decision = Allowed("route", "", "note", "/chat", "-", MODEL, {}, unfit=unfit)
        living = "\n".join(f"{line.split(' ')[-1]}=2" for line in plan.splitlines())
        with authorised(driver, decisions, decision) as request, Attempts(request, plan) as attempts:
            assert attempts.choose(living) == "p/mm"
            assert attempts.attempt("500") == RETRY
            assert attempts.choose(living) == "p/m#x"
            assert attempts.attempt("500") == FINAL

    def test_where_a_request_fits_nowhere_nothing_is_asked(
        self, driver: Driver, decisions: dict[bytes, Allowed | bytes]
    ) -> None:
        decision = Allowed("route", "", "note", "/chat", "-", MODEL, {}, unfit="one\ttwo")
        with authorised(driver, decisions, decision) as request, Attempts(request, TWO) as attempts:
            assert attempts.choose() == "none"


def ask(
    driver: Driver,
    decisions: dict[bytes, Allowed | Answered | bytes],
    plan: str,
    *statuses: str | None,
    of: str = "key_1",
    **headers: str,
) -> list[str]:
    """One request by an API key whose attempts end so; the clusters that it took."""
    decision = Allowed("route", "", f"id 1 org {of} rt m 1 1n 1 p - -", "/chat", "-", MODEL, {})
    with authorised(driver, decisions, decision) as request, Attempts(request, plan) as attempts:
        living = "\n".join(f"{line.split(' ')[-1]}=1" for line in plan.splitlines())
        taken = [attempts.choose(living)]
        for at, status in enumerate(statuses):
            shown = attempts.attempt(status, **headers)
            if at + 1 < len(statuses) and shown in {RETRY, None}:
                taken.append(attempts.choose(living, connected=status is None))
        return taken


class TestFault:
    """Whose it is."""

    names = itertools.count()

    def plan(self) -> tuple[str, str, str]:
        number = next(self.names)
        a, b = f"a{number}", f"b{number}"
        return f"0 0 1 1 t key-{a} {a}\n0 1 0 1 t key-{b} {b}\n", a, b

    @pytest.mark.parametrize("status", ["500", "502", None])
    def test_what_fails_where_another_serves_rests(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], status: str | None
    ) -> None:
        plan, a, b = self.plan()
        for _ in range(3):
            assert ask(driver, decisions, plan, status, "200") == [a, b]
        assert ask(driver, decisions, plan, "200") == [b]

    @pytest.mark.parametrize("status", ["500", "501", "429", None])
    def test_what_fails_everywhere_is_nobodys_fault(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], status: str | None
    ) -> None:
        plan, a, _ = self.plan()
        for _ in range(10):
            ask(driver, decisions, plan, status, status)
        assert ask(driver, decisions, plan, "200") == [a]

    def test_a_success_between_forgets(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]
    ) -> None:
        plan, a, b = self.plan()
        for _ in range(5):
            assert ask(driver, decisions, plan, "500", "200") == [a, b]
            assert ask(driver, decisions, plan, "500", "200") == [a, b]
            assert ask(driver, decisions, plan, "200") == [a]

    def test_the_last_one_is_asked_although_it_rests(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]
    ) -> None:
        plan, a, _ = self.plan()
        for _ in range(3):
            ask(driver, decisions, plan, "500", "200")
        assert ask(driver, decisions, f"0 0 1 1 t key-{a} {a}\n", "500", "500") == [a]


class TestPause:
    """A target says that it takes no more for a while."""

    names = itertools.count()

    def plan(self, *, alone: bool = False) -> tuple[str, str, str]:
        number = next(self.names)
        a, b = f"c{number}", f"d{number}"
        return f"0 0 1 1 t key-{a} {a}\n" + (not alone) * f"0 1 0 1 t key-{b} {b}\n", a, b

    def test_a_limited_target_is_passed_over(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]
    ) -> None:
        plan, a, b = self.plan()
        assert ask(driver, decisions, plan, "429", "200", retry_after="20") == [a, b]
        for _ in range(5):
            assert ask(driver, decisions, plan, "200") == [b]
        assert ask(driver, decisions, plan, "200", of="key_2") == [a], "it was the first caller's own request"
        assert ask(driver, decisions, plan, "200", of="key_2") == [a]
        assert ask(driver, decisions, plan, "200") == [b]

    def test_two_keys_are_enough(self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]) -> None:
        plan, a, b = self.plan()
        for key in ("key_1", "key_2"):
            assert ask(driver, decisions, plan, "429", "200", of=key, retry_after="20") == [a, b]
        assert ask(driver, decisions, plan, "200", of="key_3") == [b]

    @pytest.mark.parametrize("name", ["x_ratelimit_remaining_tokens", "anthropic_ratelimit_tokens_remaining"])
    def test_a_used_up_quota_is_everybodys(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], name: str
    ) -> None:
        plan, a, b = self.plan()
        headers = {name: "0", name.replace("remaining", "reset"): "1m0.5s"}
        assert ask(driver, decisions, plan, "429", "200", **headers) == [a, b]
        assert ask(driver, decisions, plan, "200", of="key_2") == [b]

    @pytest.mark.parametrize("after", ["20", "Sat, 01 Jan 2135 00:00:00 GMT"])
    def test_where_all_are_limited_nobody_is_asked_and_the_client_hears_when(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], after: str
    ) -> None:
        plan, a, _ = self.plan(alone=True)
        assert ask(driver, decisions, plan, "429", "200", retry_after=after) == [a]
        decision = Allowed("route", "", "id 1 org key_1 rt m 1 1n 1 p - -", "/chat", "-", MODEL, {})
        with authorised(driver, decisions, decision) as request, Attempts(request, plan) as attempts:
            assert attempts.choose(f"{a}=1") == "none"
            request.add(RESPONSE, **{":status": "503", "content-type": "text/plain", "content-length": "3"})
            assert request.call("response_headers", 0)[0] == CONTINUE
            status, body = request.call("response_body", 1, b"503")
            headers = request.headers(RESPONSE)
        assert (status, headers[":status"], headers["content-length"]) == (CONTINUE, "429", str(len(body)))
        assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"
        assert int(headers["retry-after"]) in ({19, 20} if after == "20" else {599, 600})

    def test_a_lone_limited_target_is_not_asked_twice(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]
    ) -> None:
        _, a, _ = self.plan()
        plan = f"0 0 1 2 t key-{a} {a}\n"
        assert ask(driver, decisions, plan, "429", "200", retry_after="20") == [a]

    def test_a_refused_credential_rests_at_every_target(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]
    ) -> None:
        plan, a, b = self.plan()
        assert ask(driver, decisions, plan, "401", "200") == [a, b]
        other = f"0 0 1 1 t key-{a} other-{a}\n0 1 0 1 t key-{b} {b}\n"
        assert ask(driver, decisions, other, "200", of="key_2") == [b]
        renewed = f"0 0 1 1 t new-{a} {a}\n0 1 0 1 t key-{b} {b}\n"
        assert ask(driver, decisions, renewed, "200") == [a]
        assert ask(driver, decisions, f"0 0 1 1 t key-{a} {a}\n", "200") == [a], "nothing else lives"

    @pytest.mark.parametrize("status", ["402", "403"])
    def test_what_may_be_the_requests_own_fault_rests_for_its_key(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], status: str
    ) -> None:
        plan, a, b = self.plan()
        assert ask(driver, decisions, plan, status, "200") == [a, b]
        for _ in range(5):
            assert ask(driver, decisions, plan, "200") == [b]
        assert ask(driver, decisions, plan, "200", of="key_2") == [a]

    @pytest.mark.parametrize(("after", "moves_on"), [("20", True), ("1", False)])
    def test_a_machine(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], after: str, moves_on: bool
    ) -> None:
        """One that is busy for a moment goes on being asked, and none is ejected for being busy."""
        plan = f"0 0 1 2 m - pool-{after}\n0 1 0 1 t key two\n"
        decision = Allowed("route", "", "id 1 org key_1 rt m 1 1n 1 p - -", "/chat", "-", MODEL, {})
        living = f"pool-{after}=2\ntwo=1"
        for first in (True, False):
            with authorised(driver, decisions, decision) as request, Attempts(request, plan) as attempts:
                attempts.choose(living)
                with attempt(request, 'n - node-1 target "there"') as made:
                    stopped = made.call("request_headers", 1)[0] == STOP
                    assert stopped == (moves_on and not first)
                    if stopped:
                        made.scheduled()
                        assert driver.ask("answered", made.slot) == [RETRY.encode()]
                        continue
                    made.add(RESPONSE, **{":status": "429", "retry-after": after})
                    made.call("response_headers", 1)
                    assert made.headers(RESPONSE)[":status"] == RETRY
