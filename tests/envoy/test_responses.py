"""Responses with state: what the module reports about a created one, and where it sends requests that refer to
it.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.envoy.filters import (
    ATTEMPT,
    AUTHORISE,
    REQUEST,
    RESPONSE,
    SETTINGS,
    STOP,
    TWO,
    Attempts,
    Filter,
    attempt,
)
from tests.envoy.native import Driver, program
from tests.envoy.peer import PATIENCE, Peer, serving
from translator.checks.answers import Allowed
from translator.message import Request

PROVIDER = 'u - key target "m"'
NODE = 'n - node-7 target "m"'
CREATED_BODY = b'{"object":"response","output":[{"id":"msg_1"}],"id":"resp_1"}'
CREATED = b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1"}}\n\n'
LOG_CONTEXT = "the note"


class Translator:
    """Lets every request through as `decision` says. `notes` has what the module reports about responses."""

    def __init__(self) -> None:
        self.decision = Allowed("route")
        self.notes: queue.Queue[str] = queue.Queue()

    def decide(self, number: int, _: Request) -> bytes:
        return self.decision.encode(number)


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory, translator: Translator) -> Iterator[Driver]:
    path = tmp_path_factory.mktemp("translator") / "socket"
    program("address")  # first: building may take long
    with (
        closing(Peer(path)) as peer,
        serving(peer, translator.decide, made=translator.notes.put),
        Driver("filters", TRUNKLINE_TRANSLATOR_SOCKET=str(path)) as running,
    ):
        assert running.ask("configure", AUTHORISE, "authorise", SETTINGS) == [b"1"]
        assert running.ask("configure", ATTEMPT, "dress", "") == [b"1"]
        yield running
        running.ask("unconfigure", ATTEMPT)
        running.ask("unconfigure", AUTHORISE)


@contextmanager
def requested(
    driver: Driver, translator: Translator, path: str = "/responses", affinity: str = "", plan: str = ""
) -> Iterator[Attempts]:
    """Yields a request that was let through."""
    translator.decision = Allowed("route", "", LOG_CONTEXT, path, affinity=affinity)
    with Filter(driver, AUTHORISE) as request:
        request.add(REQUEST, **{":method": "POST", ":path": f"/v1{path}"})
        assert request.call("request_headers", 1)[0] == STOP
        assert request.scheduled()
        with Attempts(request, plan) as attempts:
            yield attempts


def answer(attempts: Attempts, target: str, kind: str, *pieces: bytes, status: str = "200") -> bytes:
    """Returns what passes of an answer in pieces."""
    with attempt(attempts.request, target) as made:
        made.call("request_headers", 1)
        made.add(RESPONSE, **{":status": status, "content-type": kind})
        made.call("response_headers", 0)
        passed = [made.call("response_body", 0, piece)[1] for piece in pieces]
        return b"".join([*passed, made.call("response_body", 1)[1]])


@pytest.mark.parametrize(("target", "machine"), [(PROVIDER, ""), (NODE, "node-7")])
@pytest.mark.parametrize(("kind", "body"), [("application/json", CREATED_BODY), ("text/event-stream", CREATED)])
def test_the_translator_learns_where_a_response_is_made(
    driver: Driver, translator: Translator, target: str, machine: str, kind: str, body: bytes
) -> None:
    with requested(driver, translator) as attempts:
        cluster = attempts.choose("two=1") + attempts.own
        assert (
            answer(attempts, target, kind, body[:20], body[20:], body if kind.startswith("text") else b"") != b""
        )
        assert translator.notes.get(timeout=PATIENCE) == f"resp_1\n{machine}\n{cluster}\n{LOG_CONTEXT}"
    assert translator.notes.empty()


def test_it_learns_so_before_the_client_can_see_the_id(driver: Driver, translator: Translator) -> None:
    with requested(driver, translator) as attempts:
        attempts.choose()
        with attempt(attempts.request, PROVIDER) as made:
            made.call("request_headers", 1)
            made.add(RESPONSE, **{":status": "200", "content-type": "text/event-stream"})
            made.call("response_headers", 0)
            made.driver.send("response_body", made.slot, 0, CREATED)
            assert translator.notes.get(timeout=PATIENCE).startswith("resp_1\n")
            made.driver.receive()


@pytest.mark.parametrize(
    ("path", "affinity", "status", "body"),
    [
        ("/chat/completions", "", "200", CREATED_BODY),
        ("/responses/resp_1", "<- one", "200", CREATED_BODY),  # only fetched, not created
        ("/responses", "", "400", CREATED_BODY),
        ("/responses", "", "500", CREATED_BODY),
        ("/responses", "", "200", b'{"error":{"id":"resp_1"},"id":"resp_1"}'),
        ("/responses", "", "200", b'{"output":[{"id":"resp_1"}],"metadata":{"id":"resp_1"}}'),
    ],
)
def test_nothing_else_is_one_that_is_made(
    driver: Driver, translator: Translator, path: str, affinity: str, status: str, body: bytes
) -> None:
    with requested(driver, translator, path, affinity) as attempts:
        attempts.choose()
        answer(attempts, PROVIDER, "application/json", body, status=status)
    # A valid one, after it on the same connection.
    with requested(driver, translator) as attempts:
        attempts.choose()
        answer(attempts, PROVIDER, "application/json", b'{"id":"resp_2"}')
    assert translator.notes.get(timeout=PATIENCE).startswith("resp_2\n")


def shown(attempts: Attempts, status: str = "503") -> tuple[str, str]:
    """Returns the answer that the client gets in place of Envoy's own."""
    request = attempts.request
    request.driver.ask("clear", request.slot, RESPONSE)
    request.add(RESPONSE, **{":status": status, "content-type": "application/json"})
    request.call("response_headers", 0)
    _, body = request.call("response_body", 1, b'{"error":{"code":"of_envoy"}}')
    return request.headers(RESPONSE)[":status"], json.loads(body)["error"]["code"]


def test_where_its_target_is_gone_no_other_one_is_touched(driver: Driver, translator: Translator) -> None:
    with requested(driver, translator, affinity="=- three", plan=TWO) as attempts:
        assert attempts.choose() == "none"
        assert shown(attempts) == ("404", "response_not_found")
        assert "retry-after" not in attempts.request.headers(RESPONSE)


def test_where_its_target_cannot_be_reached_the_client_learns_that(driver: Driver, translator: Translator) -> None:
    with requested(driver, translator, affinity="=- one", plan=TWO) as attempts:
        assert attempts.choose("two=1") == "one"
        assert shown(attempts) == ("503", "response_unreachable")
        assert attempts.request.headers(RESPONSE)["retry-after"] == "5"
    with requested(driver, translator) as attempts:
        assert shown(attempts) == ("503", "of_envoy")
