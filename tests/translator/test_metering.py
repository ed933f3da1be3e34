"""Metered requests: how they are reserved, reported, journalled and refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from msgspec.structs import replace
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from translator import log_context
from translator.authorise import Authoriser
from translator.checks.answers import Allowed
from translator.endpoints import ENDPOINTS, MODEL, BodyKind, Endpoint
from translator.errors import NoPlace, Refusal
from translator.limits import Limiter, Reservation
from translator.message import Request
from translator.metering import Meter, label
from translator.policy.store import PolicyStore

NOW = 1_800_000_000.0
CHAT = b"/v1/chat/completions"
FORM = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-4.1\r\n--b--\r\n'


class Memory:
    """A journal in memory that fails while it is `full`."""

    def __init__(self) -> None:
        self.entries: list[Reservation] = []
        self.ends: list[str] = []

    def reserved(self, reservation: Reservation) -> None:
        self.entries.append(reservation)

    def ended(self, request_id: str) -> None:
        self.ends.append(request_id)


class Edge:
    """An authoriser with limits, and its journal."""

    def __init__(self, store: PolicyStore) -> None:
        self.now = NOW
        self.store = store
        self.journal = Memory()
        self.limiter = Limiter(store.limits_by_id)
        self.meter = Meter(self.limiter, self.journal, lambda: self.now)
        self._authoriser = Authoriser(store, self.meter, lambda: self.now)
        self._asked = 0

    def ask(
        self,
        request_id: str = "",
        target: bytes = CHAT,
        tag: bytes = b"",
        method: str = "POST",
        max_price: bytes = b"",
        **values: Any,
    ) -> Allowed:
        self._asked += 1
        headers = {
            b"authorization": b"Bearer " + policies.VALUE.encode(),
            b"x-request-id": (request_id or f"r{self._asked}").encode(),
            b"content-type": b"multipart/form-data; boundary=b",
        }
        if tag:
            headers[b"x-trunkline-tag"] = tag
        if max_price:
            headers[b"x-trunkline-max-price"] = max_price
        body = values.pop("body", None) or json.dumps({"model": "gpt-4.1", **values}).encode()
        decided = self._authoriser.decide(Request(method, target, headers, body))
        assert isinstance(decided, Allowed)
        return decided

    def refused(self, *args: Any, **values: Any) -> Refusal:
        with pytest.raises(Refusal) as caught:
            self.ask(*args, **values)
        assert caught.value.status == 429
        return caught.value


def reserved(allowed: Allowed) -> Reservation:
    """Returns the reservation in the log context."""
    reservation = log_context.read(allowed.log_context)
    assert reservation is not None
    return reservation


def limit(metric: policy.Metric.ValueType, amount: int, per: int = 0, **more: Any) -> policy.Limit:
    return policy.Limit(metric=metric, amount=amount, per_seconds=per, **more)


def edge(
    *,
    org: tuple[policy.Limit, ...] = (),
    key: tuple[policy.Limit, ...] = (),
    route: tuple[policy.Limit, ...] = (),
    prices: tuple[policy.Price, ...] = (),
    reserved_output: int = 0,
) -> Edge:
    organisation, holder, way = policies.organisation(), policies.key(), policies.route()
    organisation.limits.extend(org)
    holder.limits.extend(key)
    way.limits.extend(route)
    way.reserved_output_tokens = reserved_output
    for number, price in enumerate(prices):
        way.targets.append(policy.Target(id=f"t/{number}", prices=[price]))
    return Edge(policies.store(organisation, holder, way, policies.route("rt_other", "other")))


REQUESTS, TOKENS = policy.METRIC_REQUESTS, policy.METRIC_TOKENS
COST, CONCURRENCY = policy.METRIC_COST_USD, policy.METRIC_CONCURRENCY


def body_for(endpoint: Endpoint) -> dict[str, Any]:
    return {"body": FORM} if endpoint.body is BodyKind.FORM else {}


@pytest.mark.parametrize(
    "endpoint", [each for each in ENDPOINTS if each.body is not BodyKind.NONE], ids=lambda each: each.path
)
def test_every_endpoint_that_reaches_a_model_is_metered(endpoint: Endpoint) -> None:
    tried = edge(key=(limit(REQUESTS, 1, 60),))
    target = endpoint.path.encode()
    assert tried.ask(target=target, **body_for(endpoint)).log_context
    assert tried.limiter.outstanding == 1
    assert tried.refused(target=target, **body_for(endpoint)).code == "rate_limit_exceeded"


@pytest.mark.parametrize(
    "endpoint", [each for each in (*ENDPOINTS, MODEL) if each.body is BodyKind.NONE], ids=lambda each: each.path
)
def test_what_the_translator_answers_itself_is_not(endpoint: Endpoint) -> None:
    tried = edge(key=(limit(REQUESTS, 0, 60),))
    allowed = tried.ask(target=endpoint.path.encode(), method="GET")
    assert (allowed.route, allowed.log_context) == ("translator", "")
    assert tried.limiter.outstanding == 0


def test_what_is_refused_otherwise_reserves_nothing() -> None:
    tried = edge()
    for values in ({"model": "nonesuch"}, {"stream": "yes"}, {"body": b"{"}):
        with pytest.raises(Refusal):
            tried.ask(**values)
    assert tried.limiter.outstanding == 0
    assert tried.journal.entries == []


def test_the_reservation_is_journalled_before_the_answer() -> None:
    tried = edge(
        key=(limit(TOKENS, 5_000, 60),), prices=(policy.Price(input=2_000_000, output=8_000_000, request=5),)
    )
    allowed = tried.ask("id-1", tag=b"team a", user="u/1", stream=True, max_tokens=100)
    (entry,) = tried.journal.entries
    prompt = entry.prompt
    assert entry == Reservation(
        "id-1", NOW, "org_acme", "key_ci", "rt_gpt", "gpt-4.1", prompt + 100,
        1_000 * (prompt * 2 + 800 + 5), prompt, True, "u/1", "team%20a", ("tokens 60 key key_ci ",), stated=100,
    )  # fmt: skip
    assert reserved(allowed) == replace(entry, limits=())


def test_envoy_may_ask_twice_about_one_request() -> None:
    tried = edge(key=(limit(REQUESTS, 1, 60),))
    first = tried.ask("id-1")
    assert tried.ask("id-1") == first
    assert len(tried.journal.entries) == 1
    assert tried.refused("id-2").code == "rate_limit_exceeded"


def test_the_most_expensive_target_is_reserved_for() -> None:
    prices = (
        policy.Price(input=1_000_000, output=9_000_000),
        policy.Price(input=5_000_000, output=2_000_000),
        policy.Price(input=500_000, output=500_000),
    )
    tried = edge(prices=prices)
    for values, by_prompt, by_output in (
        ({"max_tokens": 1_000}, 1, 9),
        ({"max_tokens": 1, "user": "x" * 4_000}, 5, 2),
    ):
        reservation = reserved(tried.ask(**values))
        assert reservation.cost == 1_000 * (
            reservation.prompt * by_prompt + (reservation.tokens - reservation.prompt) * by_output
        )


def test_the_routes_default_output() -> None:
    reservation = reserved(edge(reserved_output=300).ask())
    assert reservation.tokens - reservation.prompt == 300


def test_headers_tell_what_is_left_of_the_tightest_limits() -> None:
    tried = edge(org=(limit(REQUESTS, 1_000, 86_400),), key=(limit(REQUESTS, 10, 60), limit(TOKENS, 10_000, 360)))
    allowed = tried.ask(max_tokens=100)
    tokens = reserved(allowed).tokens
    assert {name: value for name, value in allowed.headers.items() if name.startswith("x-ratelimit")} == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "1m1s",
        "x-ratelimit-limit-tokens": "10000",
        "x-ratelimit-remaining-tokens": str(10_000 - tokens),
        "x-ratelimit-reset-tokens": "6m6s",
    }


def test_without_limits_there_are_none_to_tell() -> None:
    assert not [name for name in edge().ask().headers if name.startswith("x-ratelimit")]


def test_a_rate_that_is_reached() -> None:
    tried = edge(key=(limit(REQUESTS, 1, 60),))
    tried.ask()
    tried.now += 30
    refused = tried.refused()
    assert (refused.code, refused.kind) == ("rate_limit_exceeded", "requests")
    assert refused.headers["retry-after"] == "31"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert "key 'key_ci'" in refused.message
    assert "1 requests per 1m0s" in refused.message
    tried.now += int(refused.headers["retry-after"])
    tried.ask()


def test_concurrency() -> None:
    tried = edge(route=(limit(CONCURRENCY, 1),))
    tried.ask("a")
    refused = tried.refused()
    assert (refused.code, refused.headers["retry-after"]) == ("rate_limit_exceeded", "1")
    assert "route 'gpt-4.1'" in refused.message
    assert "1 requests at a time" in refused.message
    tried.limiter.settle("a", 0, 0)
    tried.ask()


def test_the_end_of_a_request_is_wanted_where_concurrency_is_limited() -> None:
    assert edge(key=(limit(REQUESTS, 9, 60),)).ask("a").end == ""
    tried = edge(key=(limit(REQUESTS, 9, 60), limit(CONCURRENCY, 1)))
    assert tried.ask("a").end == "a"
    tried.meter.end("unknown")
    tried.refused("b")
    tried.meter.end("a")
    assert tried.journal.ends == ["a"]
    assert tried.ask("b").end == "b"
    tried.meter.end("a")
    tried.refused("c")
    assert tried.journal.ends == ["a"]


def test_a_request_that_is_asked_about_again_after_its_end_gets_the_same_answer() -> None:
    tried = edge(key=(limit(CONCURRENCY, 1),))
    first = tried.ask("a")
    tried.meter.end("a")
    assert tried.ask("a") == first
    tried.ask("b")


def test_a_budget_that_does_not_suffice_names_itself_and_when_it_renews() -> None:
    month = limit(COST, 10_000, calendar=policy.CALENDAR_MONTH, time_zone="Europe/Berlin")
    tried = edge(org=(month,), prices=(policy.Price(output=1_000_000),))
    tried.ask(max_tokens=9_000)
    refused = tried.refused(max_tokens=2_000)
    assert (refused.code, refused.kind) == ("insufficient_quota", "insufficient_quota")
    for part in (
        "organisation 'acme'", "0.01 USD per calendar month (Europe/Berlin)", "0.009 USD are used or reserved",
        "may use 0.002 USD", "renews at 2027-01-31T23:00:00Z",
    ):  # fmt: skip
        assert part in refused.message
    assert int(refused.headers["retry-after"]) == 16 * 86_400 + 15 * 3_600


@pytest.mark.parametrize(
    ("metric", "per", "code"),
    [
        (TOKENS, 60, "rate_limit_exceeded"),
        (TOKENS, 3_599, "rate_limit_exceeded"),
        (TOKENS, 3_600, "insufficient_quota"),
        (REQUESTS, 86_400, "insufficient_quota"),
        (COST, 60, "insufficient_quota"),
    ],
)
def test_what_is_a_budget_and_what_a_rate(metric: policy.Metric.ValueType, per: int, code: str) -> None:
    amount = {TOKENS: 1_100, REQUESTS: 1, COST: 1_100}[metric]
    tried = edge(key=(limit(metric, amount, per),), prices=(policy.Price(output=1_000_000),))
    tried.ask(max_tokens=1_000)
    refused = tried.refused(max_tokens=1_000)
    assert refused.code == code
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", refused.message)


@pytest.mark.parametrize("metric", [TOKENS, COST])
def test_a_request_that_is_too_large_for_the_whole_limit_learns_so(metric: policy.Metric.ValueType) -> None:
    tried = edge(key=(limit(metric, 500, 60),), prices=(policy.Price(output=1_000_000),))
    refused = tried.refused(max_tokens=1_000)
    assert "Lower max_tokens" in refused.message
    assert "retry-after" not in refused.headers
    tried.ask(max_tokens=400)


def test_a_limit_of_nothing() -> None:
    refused = edge(key=(limit(REQUESTS, 0, 60),)).refused()
    assert "allows no request" in refused.message
    assert "retry-after" not in refused.headers


def test_a_limit_for_one_model_counts_that_model_only() -> None:
    tried = edge(key=(limit(REQUESTS, 1, 60, model="gpt-4.1"), limit(REQUESTS, 3, 60)))
    tried.ask()
    assert "for model 'gpt-4.1'" in tried.refused().message
    tried.ask(model="other")
    tried.ask(model="other")
    assert "for model" not in tried.refused(model="other").message


def test_a_changed_amount_acts_at_once_and_forgets_nothing() -> None:
    tried = edge(key=(limit(REQUESTS, 1, 60),))
    tried.ask()
    tried.refused()
    changed = policies.key()
    changed.limits.append(limit(REQUESTS, 2, 60))
    tried.store.apply(policies.response(policies.KEY, changed))
    tried.ask()
    tried.refused()


def test_a_lost_reservation_finds_its_limits_by_the_ids_of_its_line() -> None:
    tried = edge(org=(limit(TOKENS, 10_000, 60),), route=(limit(TOKENS, 20_000, 60),))
    lost = Reservation("lost", NOW, "org_acme", "key_ci", "rt_gpt", "gpt-4.1", 0, 0, 0, False, "", "")
    tried.limiter.settle_unknown(lost, tokens=9_999, cost=0)
    assert "organisation 'acme'" in tried.refused(max_tokens=10).message


def test_every_end_user_has_the_whole_amount() -> None:
    tried = edge(org=(limit(REQUESTS, 1, 60, each=policy.EACH_USER),), key=(limit(REQUESTS, 9, 60),))
    allowed = tried.ask(user="alice")
    assert allowed.headers["x-ratelimit-remaining-requests"] == "0"
    # OpenAI's two names for it are equivalent.
    assert "for the end user 'alice'" in tried.refused(safety_identifier="alice").message
    assert "for the end user 'alice'" in tried.refused(user="alice", safety_identifier="bob").message
    tried.ask(user="bob")
    tried.ask()
    assert "organisation 'acme' for requests without an end user" in tried.refused().message
    tried.ask(user="u" * 300 + "1")
    tried.ask(user="u" * 300 + "2")
    tried.now += 62
    tried.ask(user="alice")


def test_every_run_of_an_agent_has_a_budget_of_its_own() -> None:
    tried = edge(key=(limit(TOKENS, 3_000, 3600, each=policy.EACH_TAG),))
    tried.ask("r", tag=b"run 1", max_tokens=2_900)
    refused = tried.refused(tag=b"run 1", max_tokens=2_900)
    assert (refused.code, "for the tag 'run 1'" in refused.message) == ("insufficient_quota", True)
    tried.ask(tag=b"run 2", max_tokens=2_900)
    tried.limiter.settle("r", 10, 0)
    tried.ask(tag=b"run 1", max_tokens=2_900)


def test_an_end_user_without_a_place_keeps_nobody_else_waiting() -> None:
    tried = edge(key=(limit(CONCURRENCY, 1, each=policy.EACH_USER),))
    allowed = tried.ask("r", user="alice")
    assert allowed.end == "r"
    refused = tried.refused(user="alice")
    assert isinstance(refused, NoPlace)
    assert refused.alone
    tried.ask(user="bob")
    tried.meter.end("r")
    tried.ask(user="alice")


def test_a_soft_limit_is_not_reported() -> None:
    tried = edge(key=(limit(REQUESTS, 1, 60, soft=True),))
    tried.ask()
    assert "x-ratelimit-limit-requests" not in tried.ask().headers


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain/text,ok", "plain/text,ok"),
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("-", "%2D"),
        ("--", "--"),
        # Unprintable characters are replaced (U+FFFD).
        ("line\r\nbreak", "line%EF%BF%BD%EF%BF%BDbreak"),
        ("\x1b[2J", "%EF%BF%BD%5B2J"),
        ("a\x00\x7f\x9b", "a%EF%BF%BD%EF%BF%BD%EF%BF%BD"),
        ("a\u202e\u2028\u200b", "a%EF%BF%BD%EF%BF%BD%EF%BF%BD"),
        ("é", "%C3%A9"),
        # Two long names stay different.
        ("x" * 200, "x" * 200),
        ("x" * 300, "x" * 183 + "~12b539c1cad94615"),
        ("x" * 299 + "y", "x" * 183 + "~4362bc79253a549d"),
        ("é" * 300, "%C3%A9" * 30 + "~0339efa52fe971b3"),
    ],
)
def test_labels(text: str, shown: str) -> None:
    assert label(text) == shown


def test_labels_never_break_out_of_their_line() -> None:
    allowed = edge().ask(tag=b"a\r\nx-trunkline-route: rt_x \xff", user="b\r\nx-trunkline-org: org_x")
    assert allowed.log_context.isascii() and allowed.log_context.isprintable()  # noqa: PT018 - one property: a line of its own


@pytest.mark.parametrize("user", [None, "", 5, ["x"], {}])
def test_a_user_that_is_no_name_is_left_out(user: object) -> None:
    assert reserved(edge().ask(user=user)).user == ""
