"""The module's filters with the part of Envoy that they see: fixtures, and a driver of a filter."""

from __future__ import annotations

import itertools
import queue
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.envoy.native import Driver, program
from tests.envoy.peer import Peer, admitted, allowed, denied, serving
from translator.checks.answers import Allowed, Answered, refused
from translator.checks.frames import Copied
from translator.message import Request, Response

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
AUTHORISE, ATTEMPT = 0, 1
#: The statuses that Envoy sees in place of a failed answer.
FINAL, RETRY = "496", "497"
BODY = b'{"stream":true,"model":"gpt","messages":[]}'
USAGE_EDIT = '1:0:"stream_options":{"include_usage":true},'
MODEL = '23:5:j:"gpt"'
REPORT = b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n'


#: The translator's answers, by path.
Decisions = dict[bytes, Allowed | Answered | bytes]


@pytest.fixture(scope="module")
def decisions() -> dict[bytes, Allowed | Answered | bytes]:
    """The answer for each path; an answer in bytes is a refusal's body."""
    return {}


@pytest.fixture(scope="module")
def asked() -> list[Request]:
    """The whole checks."""
    return []


@pytest.fixture(scope="module")
def heads() -> list[Request]:
    """The head checks."""
    return []


@pytest.fixture(scope="module")
def ends() -> queue.Queue[tuple[int, str]]:
    """The end notices, and those of busy machines: whether one turned a request away, and `busy: ID`."""
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
    program("address")  # first: building may take long

    def decide(number: int, check: Request) -> bytes:
        asked.append(check)
        decision = decisions.get(check.target, b"")
        if check.target == b"/v1/many-headers":
            return refused(number, Response(429, {f"x-{at}": "v" for at in range(100)}))
        if isinstance(decision, (Allowed, Answered)):
            return decision.encode(number)
        return denied(number, decision) if decision else allowed(number)

    def admit(number: int, head: Request) -> bytes:
        """Admits the key that the header names."""
        heads.append(head)
        key = head.headers.get(b"authorization", b"").decode()
        return admitted(number, key) if key else denied(number, b"who?")

    with (
        closing(Peer(path)) as peer,
        serving(
            peer,
            decide,
            admit,
            lambda number, request_id: ends.put((number, request_id)),
            copies.put,
            machine=lambda notice: ends.put((int(notice.turned_away), f"busy: {notice.request_id}")),
        ),
        Driver("filters", TRUNKLINE_TRANSLATOR_SOCKET=str(path)) as running,
    ):
        assert running.ask("configure", AUTHORISE, "authorise", SETTINGS) == [b"1"]
        assert running.ask("configure", ATTEMPT, "dress", "") == [b"1"]
        yield running
        running.ask("unconfigure", ATTEMPT)
        running.ask("unconfigure", AUTHORISE)


class Filter:
    """One of the module's filters: `authorise` of a request, or `dress`, which prepares an attempt of it."""

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
        """Calls a hook. Returns its status, and the body that goes on."""
        status, *body = self.driver.ask(hook, self.slot, *arguments)
        return int(status), b"".join(body)

    def state(self, key: str) -> bytes | None:
        found = self.driver.ask("state", self.slot, key)
        return found[0] if found else None

    def response(self) -> list[bytes]:
        """Returns status, details, body and headers of an answer that was sent instead."""
        return self.driver.ask("response", self.slot)

    def scheduled(self) -> bool:
        """Waits for the answer. Returns whether the request goes on."""
        event = LOOK
        while event == LOOK:
            event, continued = self.step()
        return continued

    def step(self) -> tuple[int, bool]:
        """Waits for one event. Returns which one it is, and whether the request goes on."""
        came, continued, event = self.driver.ask("scheduled", self.slot)
        assert came == b"1"
        return int(event), continued == b"1"

    def limit(self) -> int:
        """Returns the bytes that Envoy buffers at most."""
        (limit,) = self.driver.ask("limit", self.slot)
        return int(limit)


def authorised(driver: Driver, decisions: Decisions, decision: Allowed) -> Filter:
    """Returns a request that the translator has let through."""
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
    made = Filter(request.driver, ATTEMPT, request)
    made.driver.ask("metadata", made.slot, target)
    return made


def is_number(text: str) -> bool:
    return 0 < len(text) <= 18 and text.isdigit()


def begun(driver: Driver, path: str, *, key: str = "k", length: int | None = None, request_id: str = "") -> Filter:
    """Returns a request whose head has been received."""
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
    """Lets Envoy read what has arrived."""
    assert request.step() == (LOOK, False)
    return request


def reading(driver: Driver, path: str, **options: Any) -> Filter:
    """Returns a request whose head has been checked and whose body is being read."""
    request = looked(begun(driver, path, **options))
    assert request.step() == (ANSWERED, False)
    return request


TWO = "0 0 1 1 t key-1 one\n0 1 1 1 t key-2 two\n"
BOTH = "one=1\ntwo=1"
plans = itertools.count(8)


class Attempts:
    """One request that a plan leads from target to target; without a plan, to `one` and `two`, which no other
    request has used.
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

    def attempt(self, status: str | None = None, *, kind: str = "audio/mpeg", **headers: str) -> str | None:
        """Returns the status that Envoy sees; None without an answer. `kind` is the answer's content type."""
        with attempt(self.request, 'u - key target "there"') as made:
            made.call("request_headers", 1)
            if status is None:
                return None
            made.add(RESPONSE, **{":status": status, "content-type": kind}, **headers)
            if made.call("response_headers", 0)[0] == STOP:
                made.call("response_body", 1, b"x")
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


def failed(request: Filter) -> bytes:
    """Returns what the log gets about failed attempts, except how long each took."""
    return re.sub(rb":\d+", b"", request.state("trunkline.failed") or b"")
