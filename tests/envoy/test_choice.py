"""Which targets a request uses one after the other, and which of them is at fault for failures."""

from __future__ import annotations

import itertools
import json
import queue
import time

import pytest

from tests.envoy.filters import (
    CONTINUE,
    FINAL,
    MODEL,
    RESPONSE,
    RETRY,
    STOP,
    TWO,
    Attempts,
    Decisions,
    Filter,
    asked,
    attempt,
    attempts,
    authorised,
    copies,
    decisions,
    driver,
    ends,
    heads,
    request_,
)
from tests.envoy.native import Driver
from tests.envoy.peer import PATIENCE
from translator.checks.answers import Allowed, Answered

__all__ = ["asked", "attempts", "copies", "decisions", "driver", "ends", "heads", "request_"]


class TestChoice:
    @pytest.mark.parametrize("status", ["429", "500", "503", "599"])
    def test_a_failure_is_hidden_from_envoy_and_reported_to_the_client(
        self, attempts: Attempts, status: str
    ) -> None:
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
    def test_when_nothing_is_left_the_client_learns_what_the_last_one_said(
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

    @pytest.mark.parametrize("excluded", ["p/m", "q/m\tp/m", "p/m\tq/m"])
    def test_a_target_where_the_request_does_not_fit_is_passed_over(
        self, driver: Driver, decisions: Decisions, excluded: str
    ) -> None:
        plan = "0 0 1 1 t k p/m\n0 0 1 1 t k2 p/m#2\n1 1 1 1 t l p/mm\n2 2 1 1 t l p/m#x\n3 3 1 2 m - p/m@org\n"
        decision = Allowed("route", "", "note", "/chat", "-", MODEL, {}, excluded=excluded)
        living = "\n".join(f"{line.split(' ')[-1]}=2" for line in plan.splitlines())
        with authorised(driver, decisions, decision) as request, Attempts(request, plan) as attempts:
            assert attempts.choose(living) == "p/mm"
            assert attempts.attempt("500") == RETRY
            assert attempts.choose(living) == "p/m#x"
            assert attempts.attempt("500") == FINAL

    def test_where_a_request_fits_nowhere_nothing_is_asked(self, driver: Driver, decisions: Decisions) -> None:
        decision = Allowed("route", "", "note", "/chat", "-", MODEL, {}, excluded="one\ttwo")
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
    """Sends one request of an API key whose attempts end like this. Returns the clusters that it used."""
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
    """Which host a failure is counted against."""

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

    @pytest.mark.parametrize(("status", "rests"), [("400", 0), ("413", 0), ("414", 0), ("431", 0), ("404", 1)])
    def test_a_page_that_refuses_a_request_as_too_long_counts_against_nobody(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], status: str, rests: int
    ) -> None:
        plan, a, b = self.plan()
        decision = Allowed("route", "", "id 1 org key_1 rt m 1 1n 1 p - -", "/chat", "-", MODEL, {})
        for _ in range(3):
            with authorised(driver, decisions, decision) as request, Attempts(request, plan) as attempts:
                assert attempts.choose(f"{a}=1\n{b}=1") == a
                assert attempts.attempt(status, kind="text/html; charset=utf-8") == RETRY
                assert attempts.choose(f"{a}=1\n{b}=1") == b
                assert attempts.attempt("200") == "200"
        assert ask(driver, decisions, plan, "200") == [b if rests else a]

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
    """A target says that it accepts no more for a while."""

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
        assert ask(driver, decisions, plan, "200", of="key_2") == [a], "the pause is the first caller's alone"
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
        assert ask(driver, decisions, plan, "429", **headers) == [a]
        assert ask(driver, decisions, plan, "200", of="key_2") == [b]

    @pytest.mark.parametrize("after", ["20", "Sat, 01 Jan 2135 00:00:00 GMT"])
    def test_where_all_are_limited_nobody_is_asked_and_the_client_hears_when(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], after: str
    ) -> None:
        plan, a, _ = self.plan(alone=True)
        begun = time.monotonic()
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
        longest, took = 20 if after == "20" else 600, time.monotonic() - begun
        assert longest - took - 1 <= int(headers["retry-after"]) <= longest

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

    @pytest.mark.parametrize(
        ("text", "whose"),
        [
            (b'{"error":{"message":"Incorrect API key provided: sk-a."}}', "everybody"),
            (
                b'{"error":{"message":"You have insufficient permissions. Missing scopes: api.model.audio"}}',
                "the key",
            ),
            (b'{"error":{"code":"PermissionDenied","message":"The principal lacks a data action"}}', "the key"),
            (b"", "everybody"),
        ],
    )
    def test_a_credential_that_lacks_a_permission_rests_for_the_key_that_needs_it(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], text: bytes, whose: str
    ) -> None:
        plan, a, b = self.plan()
        decision = Allowed("route", "", "id 1 org key_1 rt m 1 1n 1 p - -", "/chat", "-", MODEL, {})
        with authorised(driver, decisions, decision) as request, Attempts(request, plan) as attempts:
            assert attempts.choose(f"{a}=1\n{b}=1") == a
            with attempt(request, 'u - key target "there"') as made:
                made.call("request_headers", 1)
                made.add(RESPONSE, **{":status": "401", "content-type": "application/json"})
                assert made.call("response_headers", 0)[0] == STOP
                assert made.call("response_body", 0, text[:20])[1] == b""
                assert b"upstream_authentication_failed" in made.call("response_body", 1, text[20:])[1]
                assert made.headers(RESPONSE)[":status"] == RETRY
        assert ask(driver, decisions, plan, "200") == [b]
        assert ask(driver, decisions, plan, "200", of="key_2") == [b if whose == "everybody" else a]

    @pytest.mark.parametrize(("after", "moves_on"), [("20", True), ("1", False)])
    def test_a_machine(
        self, driver: Driver, decisions: dict[bytes, Allowed | Answered | bytes], after: str, moves_on: bool
    ) -> None:
        """A machine that is busy for a moment is asked again, and is not ejected for being busy."""
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


def test_a_machine_that_turns_a_request_away_is_reported_until_one_takes_it(
    driver: Driver, decisions: Decisions, ends: queue.Queue[tuple[int, str]]
) -> None:
    decision = Allowed("route", "", "id-1 1 org key", "/chat", "-", MODEL, {})
    with (
        authorised(driver, decisions, decision) as request,
        Attempts(request, "0 0 1 2 m w nodes/m\n") as attempts,
    ):
        for status in ("429", "429", "200"):
            assert attempts.choose("nodes/m=1") == "nodes/m"
            with attempt(request, 'n /v1 node-1 nodes/m "m"') as made:
                made.call("request_headers", 1)
                made.add(RESPONSE, **{":status": status, "content-type": "audio/mpeg", "retry-after": "1"})
                made.call("response_headers", 0)
    notices: list[tuple[int, str]] = []
    while len(notices) < 2:  # there may be some of other tests
        notices += [each for each in [ends.get(timeout=PATIENCE)] if each[1] == "busy: id-1"]
    assert notices == [(1, "busy: id-1"), (0, "busy: id-1")]
    assert ends.empty()


def test_busy_machines_go_on_being_asked_where_requests_wait_for_them(request_: Filter) -> None:
    """Busy machines are tried again however often they are busy; other failures count."""
    with Attempts(request_, "0 0 1 2 m w nodes/m\n") as attempts:

        def shown(status: str) -> str:
            assert attempts.choose("nodes/m=1") == "nodes/m"
            with attempt(request_, 'n /v1 node-1 nodes/m "m"') as made:
                made.call("request_headers", 1)
                made.add(RESPONSE, **{":status": status, "content-type": "application/json", "retry-after": "1"})
                made.call("response_headers", 0)
                return made.headers(RESPONSE)[":status"]

        assert [shown("429") for _ in range(10)] == [RETRY] * 10
        assert shown("500") == RETRY
        assert shown("429") == RETRY
        assert shown("500") == FINAL
