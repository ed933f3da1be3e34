"""A hostile provider's answers in the playground. Errors, streams, calls of tools and names are shown as text, and
the next answer works.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from tests.console.attacks.answers import ATTACK, Answers, arm, press, shown, wrongs
from tests.console.attacks.conftest import Caller
from tests.console.conftest import Window
from tests.fakes.provider_process import ProviderProcess

#: What Markdown would turn into an image or a link.
MARKDOWN = f"![{ATTACK.format(20)}](https://elsewhere.example/x.png) [x](javascript:owned())"
_CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": ATTACK.format(21)}
_USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
#: An element in the shape of Preact's and React's own.
_ELEMENT = {"type": "img", "props": {"src": "x", "onerror": "owned()"}, "key": None, "__v": 1, "ref": None}
_POLLUTING = {"__proto__": {"polluted": ATTACK.format(22)}, "constructor": {"prototype": {"polluted": "x"}}}
_OBJECT_MESSAGE = {"error": {"message": _ELEMENT, "code": [_ELEMENT], "type": None, "param": 5}}


@dataclass(frozen=True)
class Hostile:
    """A provider's answer; `texts` are the numbers of the attacks that the playground shows."""

    name: str
    body: str
    texts: tuple[int, ...] = ()
    status: int = 200
    kind: str = "application/json"

    @property
    def raw(self) -> str:
        return (
            f"HTTP/1.1 {self.status} Hostile\r\ncontent-type: {self.kind}\r\nx-request-id: {ATTACK.format(23)}\r\n"
            f"content-length: {len(self.body)}\r\n\r\n{self.body}"
        )


def error(first: int) -> dict[str, Any]:
    members = ("message", "type", "code", "param")
    return {"error": {name: ATTACK.format(first + at) for at, name in enumerate(members)}}


def stream(*events: Any) -> str:
    return "".join(f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n" for each in events)


def delta(**content: Any) -> dict[str, Any]:
    return {**_CHUNK, "choices": [{"index": 0, "delta": content, "finish_reason": None}]}


def calls(*functions: dict[str, Any]) -> dict[str, Any]:
    return delta(tool_calls=[{"type": "function", "id": ATTACK.format(24), **each} for each in functions])


def end() -> tuple[dict[str, Any], dict[str, Any], str]:
    finish = {"index": 0, "delta": {}, "finish_reason": ATTACK.format(25)}
    return {**_CHUNK, "choices": [finish]}, {**_CHUNK, "choices": [], "usage": _USAGE}, "[DONE]"


def streamed(name: str, texts: tuple[int, ...], *events: Any) -> Hostile:
    return Hostile(name, stream(*events, *end()), texts, kind="text/event-stream")


_PAGE = f"<!doctype html><title>{ATTACK.format(30)}</title><body onload=owned()>{ATTACK.format(31)}</body>"
_NAMED = {"name": ATTACK.format(50), "arguments": json.dumps({"query": ATTACK.format(51)})}
_TEXT = {"role": "assistant", "content": ATTACK.format(60)}
_ODD_USAGE = {
    "prompt_tokens": ATTACK.format(26),
    "completion_tokens": _ELEMENT,
    "prompt_tokens_details": _ELEMENT,
}
_ODD_PLACES = (4_000_000_000, -1, "__proto__", "length", 0.5)
_ODD_CALLS = (calls({"index": at, "function": _NAMED}) for at in _ODD_PLACES)
HOSTILE = [
    Hostile("an error", json.dumps(error(40)), (40, 41, 42, 43), 400),
    Hostile("an error whose message is an element", json.dumps(_OBJECT_MESSAGE), status=400),
    Hostile("an error that is a text", json.dumps({"error": ATTACK.format(44)}), (44,), 422),
    Hostile("a page as an error", _PAGE, status=400, kind="text/html"),
    Hostile("a page as an answer", _PAGE, kind="text/html"),
    Hostile("an answer in one piece", json.dumps({**_CHUNK, "choices": [{"index": 0, "message": _TEXT}]}), (60,)),
    streamed("a text", (61, 62), delta(content=ATTACK.format(61), reasoning=ATTACK.format(62))),
    streamed("Markdown", (20,), delta(content=MARKDOWN)),
    streamed("an element as text", (), delta(content=[_ELEMENT], reasoning_content=_ELEMENT)),
    streamed("a tool", (50, 51), calls({"index": 0, "function": _NAMED})),
    streamed("tools at odd places", (63,), *_ODD_CALLS, delta(content=ATTACK.format(63), tool_calls=_ELEMENT)),
    streamed("names of prototypes", (64,), {**delta(content=ATTACK.format(64)), **_POLLUTING}),
    streamed("an error within a stream", (45, 46, 47, 48), delta(content="So "), error(45)),
    streamed("no JSON within a stream", (65,), delta(content="So "), ATTACK.format(65)),
    streamed("values within a stream", (66,), delta(content=ATTACK.format(66)), "null", delta(content="")),
    streamed("usage in words", (67,), delta(content=ATTACK.format(67)), {**_CHUNK, "usage": _ODD_USAGE}),
]


def ask(page: Page, question: str) -> str:
    """Sends a question, waits for the end of its answer, and returns all that the page shows."""
    before = page.locator(".turn.user").count()
    page.get_by_label("Question").fill(question)
    page.get_by_role("button", name="Send").click()
    page.locator(".turn.user").nth(before).wait_for()
    page.wait_for_selector('.turns:not(:has(.turn[aria-busy="true"]))')
    page.evaluate("[...document.querySelectorAll('.turn details')].forEach(each => (each.open = true))")
    return shown(page)


def numbers(text: str) -> set[int]:
    return {int(each) for each in re.findall(r"<x-owned id=o(\d+)>", text)}


@pytest.fixture
def hostile_route(machine: Caller) -> Iterator[str]:
    """A model whose only target has an attack as its model."""
    target = {"provider": "a", "model": ATTACK.format(27), "price": {"input": "1", "output": "1"}}
    assert machine("POST", "/admin/v1/routes", {"route": {"model": "hostile", "targets": [target]}}).status == 200
    yield "hostile"
    assert machine("POST", "/admin/v1/routes:delete", {"model": "hostile"}).status == 200


def test_a_hostile_provider_s_answer_is_text(
    window: Window, provider: ProviderProcess, hostile_route: str
) -> None:
    page = window.page
    arm(page)
    window.sign_in()
    window.expected.append("the server responded with a status of")
    window.open("playground")
    page.get_by_role("button", name="Make a key for a day").click()
    page.get_by_text("is made, for a day").wait_for()
    page.get_by_label("Model", exact=True).select_option(hostile_route)
    try:
        for answer in HOSTILE:
            provider.behave("raw", raw=answer.raw)
            text = ask(page, f"{answer.name} {ATTACK.format(28)}")
            assert wrongs(page) == [], answer.name
            assert page.evaluate("[({}).polluted, Object.keys(Array.prototype).length]") == [None, 0], answer.name
            assert {27, 28, *answer.texts} <= numbers(text), answer.name
    finally:
        provider.behave("ok")
    assert "Hello from provider a." in ask(page, "Whatever came before, this is answered")
    press(page)
    assert wrongs(page) == []


def test_hostile_names_in_an_answer_s_headers_are_text(window: Window) -> None:
    """The target's name and the request's id stand in headers; the console does not trust the gateway either."""
    page = window.page
    answers = Answers({"trunkline.admin.v1.User.admin": True, "trunkline.admin.v1.GetMeResponse.machine": False})
    arm(page)
    page.route("**/admin/v1/**", answers.answer)
    names = ("target", "attempts", "request-id", "cache")
    headers = {f"x-trunkline-{name}": ATTACK.format(70 + at) for at, name in enumerate(names)}
    queue = list(HOSTILE)

    def served(route: Route) -> None:
        answer = queue.pop(0)
        route.fulfill(status=answer.status, headers={**headers, "content-type": answer.kind}, body=answer.body)

    page.route("**/console/v1/**", served)
    window.expected.append("the server responded with a status of")
    window.open("playground")
    page.get_by_label("API key").fill("sk-any")
    for answer in HOSTILE:
        text = ask(page, answer.name)
        assert wrongs(page) == [], answer.name
        assert set(answer.texts) <= numbers(text), answer.name
    assert 70 in numbers(text)
    assert queue == []
