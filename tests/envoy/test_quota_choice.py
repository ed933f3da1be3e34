"""Targets whose credential has a quota: which one a request uses, and what it leaves to the next request."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from tests.envoy.filters import (
    MODEL,
    RESPONSE,
    RETRY,
    STOP,
    Attempts,
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
from translator.checks.answers import Allowed, Answered

__all__ = ["asked", "copies", "decisions", "driver", "ends", "heads"]

Decisions = dict[bytes, Allowed | Answered | bytes]
names = itertools.count()


def plan(quota: str, *, alone: bool = False) -> tuple[str, str, str]:
    """Returns two targets that no other test has used, the first with a quota."""
    number = next(names)
    a, b = f"qa{number}", f"qb{number}"
    return f"0 0 1 1 t key-{a};{quota} {a}\n" + (not alone) * f"1 1 1 1 t key-{b} {b}\n", a, b


class Sent:
    """Sends requests that reserve this many tokens, and reports which targets they used."""

    def __init__(self, driver: Driver, decisions: Decisions, plan: str) -> None:
        self.driver, self.decisions, self.plan = driver, decisions, plan
        self.living = "\n".join(f"{line.split(' ')[-1]}=1" for line in plan.splitlines())

    def __call__(
        self, *statuses: str, tokens: int = 1, used: int | None = None, bound: str = "", **headers: str
    ) -> list[str]:
        note = f"id 1 org key_1 rt m {tokens} 1n 1 p - -"
        decision = Allowed("route", "", note, "/chat", "-", MODEL, {}, affinity=bound)
        taken = []
        with (
            authorised(self.driver, self.decisions, decision) as request,
            Attempts(request, self.plan) as attempts,
        ):
            for status in statuses or ("200",):
                taken.append(attempts.choose(self.living))
                if taken[-1] == "none":
                    break
                with attempt(request, 'u - key target "there"') as made:
                    made.call("request_headers", 1)
                    kind = "application/json" if status == "200" else "audio/mpeg"
                    made.add(RESPONSE, **{":status": status, "content-type": kind}, **headers)
                    waits = made.call("response_headers", 0)[0] == STOP
                    if status == "200":
                        usage = "" if used is None else f',"usage":{{"total_tokens":{used}}}'
                        made.call("response_body", 1, f'{{"id":"x","choices":[]{usage}}}'.encode())
                    elif waits:  # for what the error says
                        made.call("response_body", 1, b"x")
                    shown = made.headers(RESPONSE)[":status"]
                if shown != RETRY:
                    break
            request.driver.ask("complete", request.slot)
        return taken


@pytest.fixture
def limited(driver: Driver, decisions: Decisions) -> tuple[Sent, str, str]:
    lines, a, b = plan("r3600:2")
    return Sent(driver, decisions, lines), a, b


def test_what_is_used_up_is_passed_over(limited: tuple[Sent, str, str]) -> None:
    send, a, b = limited
    assert [send() for _ in range(4)] == [[a], [a], [b], [b]]


def test_a_failed_attempt_counts_as_a_request(limited: tuple[Sent, str, str]) -> None:
    send, a, b = limited
    assert send("500", "200") == [a, b]
    assert [send() for _ in range(2)] == [[a], [b]]


def test_a_choice_that_is_made_again_counts_once(driver: Driver, decisions: Decisions) -> None:
    lines, a, _ = plan("r3600:2", alone=True)
    decision = Allowed("route", "", "id 1 org key_1 rt m 1 1n 1 p - -", "/chat", "-", MODEL, {})
    with authorised(driver, decisions, decision) as request, Attempts(request, lines) as attempts:
        assert [attempts.choose(f"{a}=1") for _ in range(5)] == [a] * 5
        assert attempts.attempt("200") == "200"
    send = Sent(driver, decisions, lines)
    assert [send(), send()] == [[a], ["none"]]


def test_of_two_plans_with_one_credential_both_count(driver: Driver, decisions: Decisions) -> None:
    lines, a, b = plan("r3600:2")
    other = lines.replace(f" {a}\n", f" {a}x\n")
    assert [Sent(driver, decisions, each)() for each in (lines, other, lines)] == [[a], [f"{a}x"], [b]]


def test_where_all_is_used_up_nothing_is_asked_and_the_client_hears_when(
    driver: Driver, decisions: Decisions
) -> None:
    lines, a, _ = plan("r60:1", alone=True)
    begun = time.monotonic()
    assert Sent(driver, decisions, lines)() == [a]
    decision = Allowed("route", "", "id 1 org key_1 rt m 1 1n 1 p - -", "/chat", "-", MODEL, {})
    with authorised(driver, decisions, decision) as request, Attempts(request, lines) as attempts:
        assert attempts.choose(f"{a}=1") == "none"
        request.add(RESPONSE, **{":status": "503", "content-type": "text/plain", "content-length": "3"})
        request.call("response_headers", 0)
        headers = request.headers(RESPONSE)
    assert headers[":status"] == "429"
    assert 59 - (time.monotonic() - begun) <= int(headers["retry-after"]) <= 62


def test_tokens_are_reserved_and_then_counted_as_they_were_used(driver: Driver, decisions: Decisions) -> None:
    lines, a, b = plan("t3600:1000")
    send = Sent(driver, decisions, lines)
    assert send(tokens=900, used=100) == [a]
    assert send(tokens=900, used=850) == [a]
    assert send(tokens=900) == [b]
    assert send(tokens=50) == [a], "without a report, what was reserved counts"
    assert send(tokens=1) == [b]


def test_a_failed_attempt_used_no_tokens(driver: Driver, decisions: Decisions) -> None:
    lines, a, b = plan("t3600:1000")
    send = Sent(driver, decisions, lines)
    assert send("500", "200", tokens=900) == [a, b]
    assert send("400", tokens=900) == [a]
    assert send(tokens=900) == [a]


def test_what_may_go_nowhere_else_goes_there_and_counts(driver: Driver, decisions: Decisions) -> None:
    lines, a, b = plan("r3600:2")
    send = Sent(driver, decisions, lines)
    assert [send(bound=f"= {a}") for _ in range(3)] == [[a]] * 3
    assert send() == [b]


@pytest.mark.parametrize("prefix", ["x_ratelimit_{}_requests", "anthropic_ratelimit_requests_{}"])
@pytest.mark.parametrize("status", ["200", "400", "503"])
def test_an_answer_that_says_that_nothing_is_left_is_the_last_one(
    driver: Driver, decisions: Decisions, prefix: str, status: str
) -> None:
    lines, a, b = plan("r3600:100")
    send = Sent(driver, decisions, lines)
    given: dict[str, Any] = {
        prefix.format(word): value for word, value in (("limit", "60"), ("remaining", "0"), ("reset", "20"))
    }
    assert send(status, **given) == [a]
    assert [send() for _ in range(3)] == [[b]] * 3


@pytest.mark.parametrize(
    "given",
    [
        {"x_ratelimit_remaining_requests": "5", "x_ratelimit_reset_requests": "20s"},
        {"x_ratelimit_remaining_requests": "-1", "x_ratelimit_reset_requests": "20s"},
        {"x_ratelimit_remaining_requests": "", "x_ratelimit_reset_requests": "20s"},
        {"x_ratelimit_remaining_requests": "none", "x_ratelimit_reset_requests": "20s"},
        {"x_ratelimit_limit_requests": "0", "x_ratelimit_remaining_requests": "0"},
    ],
)
def test_what_says_nothing_keeps_nobody_away(driver: Driver, decisions: Decisions, given: dict[str, Any]) -> None:
    lines, a, _ = plan("r3600:100")
    send = Sent(driver, decisions, lines)
    assert [send("200", **given) for _ in range(3)] == [[a]] * 3


def test_a_used_up_quota_without_a_time_is_only_a_preference(driver: Driver, decisions: Decisions) -> None:
    lines, a, _ = plan("r3600:100", alone=True)
    send = Sent(driver, decisions, lines)
    assert [send("200", x_ratelimit_remaining_requests="0") for _ in range(3)] == [[a]] * 3


def test_a_target_that_health_checks_bring_back_has_a_growing_share(driver: Driver, decisions: Decisions) -> None:
    number = next(names)
    a, b = f"ha{number}", f"hb{number}"
    lines = f"0 0 1 1 h key-{a} {a}\n1 1 1 1 t key-{b} {b}\n"
    decision = Allowed("route", "", "id 1 org key_1 rt m 1 1n 1 p - -", "/chat", "-", MODEL, {})

    def chosen(living: int, part: int) -> str:
        with authorised(driver, decisions, decision) as request, Attempts(request, lines) as attempts:
            (cluster,) = driver.ask("choose", request.slot, attempts.plan, part << 32, 1, f"{a}={living}\n{b}=1")
        return cluster.decode()

    assert [chosen(1, part) for part in (0, 63)] == [a, a]
    assert chosen(0, 0) == b
    assert [chosen(1, part) for part in (0, 63)] == [a, b]
