"""The filter that has requests checked: what it sends and when, what it holds, and its end notices."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from tests.envoy.filters import (
    ANSWERED,
    AUTHORISE,
    BUFFER,
    CONTINUE,
    DISCARD,
    LOOK,
    MAX_BODY,
    MAX_OF_KEY,
    MAX_OF_STRANGERS,
    REQUEST,
    RESPONSE,
    SETTINGS,
    SMALL,
    STOP,
    STREAM_WEIGHT,
    UNCHECKED,
    WATERMARK,
    Filter,
    asked,
    attempts,
    begun,
    copies,
    decisions,
    driver,
    ends,
    heads,
    is_number,
    looked,
    reading,
    request_,
)
from tests.envoy.native import Driver
from tests.envoy.peer import PATIENCE
from translator.checks.answers import Allowed, Answered
from translator.message import Request

__all__ = ["asked", "attempts", "copies", "decisions", "driver", "ends", "heads", "request_"]


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
        check = asked[-1]
        assert (check.method, check.target, check.body) == ("POST", b"/v1/y?a=1", b"abcdef")
        assert check.headers == {b"authorization": b"Bearer k", b"x-trunkline-tag": b"a, b"}

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

    def test_a_body_may_begin_otherwise(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]
    ) -> None:
        for size, text, made in ((3, b"new ", b"new def"), (0, b"xyz", b"xyzabcdef"), (6, b"", b"")):
            decisions[b"/v1/begun"] = Allowed("route", replaced=(size, text))
            with Filter(driver, AUTHORISE) as request:
                request.add(REQUEST, **{":method": "POST", ":path": "/v1/begun", "content-length": "6"})
                request.call("request_headers", 0)
                request.call("request_body", 0, b"ab", b"cd")
                request.call("request_body", 1, b"ef")
                assert request.scheduled()
                assert request.headers(REQUEST)["content-length"] == str(len(made))
                assert request.call("request_body", 1) == (CONTINUE, made)

    def test_a_body_that_is_too_short_for_its_beginning_is_refused(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes]
    ) -> None:
        decisions[b"/v1/begun"] = Allowed("route", replaced=(7, b"x"))
        with Filter(driver, AUTHORISE) as request:
            request.add(REQUEST, **{":method": "POST", ":path": "/v1/begun", "content-length": "6"})
            request.call("request_headers", 0)
            request.call("request_body", 1, b"abcdef")
            assert not request.scheduled()
            assert request.response()[0] == b"503"

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


class TestHeadFirst:
    """The moment at which each check is sent, and the bytes held meanwhile."""

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
            assert request.limit() == MAX_BODY  # needed by retries and edits
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
        for last in (("request_body", 1, b"cd"), ("request_trailers",)):
            with looked(begun(driver, "/v1/ends")) as request:
                assert request.call("request_body", 0, b"ab")[0] == WATERMARK
                request.call(*last)
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
                moves: list[Callable[[], object]] = [
                    lambda: request.call("request_body", 0, b"x" * 1000),
                    request.step,
                    request.step,
                    lambda: request.call("request_body", 0, b"x" * 1000),
                    lambda: request.call("request_body", 1, b"x"),
                ]
                for move in moves[:steps]:
                    move()


class TestEnd:
    """The cases in which the translator gets an end notice."""

    @pytest.fixture(autouse=True)
    def _decision(self, decisions: dict[bytes, Allowed | Answered | bytes]) -> None:
        decisions[b"/v1/counted"] = Allowed("route", end="counted")
        decisions[b"/v1/barrier"] = Allowed("route", end="barrier")

    def ended(self, driver: Driver, ends: queue.Queue[tuple[int, str]]) -> list[str]:
        """Returns the ids in the notices so far."""
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
            assert self.ended(driver, ends) == []
            driver.ask("complete", request.slot)
            assert self.ended(driver, ends) == ["id-1"]
        assert self.ended(driver, ends) == []  # once

    def test_nowhere_else(self, driver: Driver, ends: queue.Queue[tuple[int, str]]) -> None:
        with self.whole(driver, "/v1/uncounted", "id-2") as request:
            assert request.scheduled()
            driver.ask("complete", request.slot)
        with looked(begun(driver, "/v1/counted", request_id="id-3")):
            pass  # only its head was checked
        assert self.ended(driver, ends) == []

    def test_where_nobody_waits_for_the_answer(self, driver: Driver, ends: queue.Queue[tuple[int, str]]) -> None:
        with self.whole(driver, "/v1/counted", "id-4"):
            pass
        assert self.ended(driver, ends) == ["id-4"]

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
        assert self.ended(driver, ends) == ["id-5"]

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
            assert self.ended(driver, ends) == ["id-6"]
        assert set(self.ended(driver, ends)) == {"id-6"}
