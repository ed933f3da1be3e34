"""Discovery against a local HTTP server in place of the providers."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline import discovery
from trunkline.environment import KnownProvider, ProviderCandidate, candidates

MODELS = {"/a/v1/models": ["shared", "models/only-a", "shared"], "/b/v1/models": ["shared", "only-b"]}


class _Provider(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("authorization", "")))
        if self.path.startswith("/slow"):
            self.server.release.wait()
            return
        status, body = 200, b"<html>"
        if self.path in MODELS:
            body = json.dumps({"data": [{"id": name} for name in MODELS[self.path]]}).encode()
        elif self.path.startswith("/refused"):
            status = 401
        elif self.path.startswith("/away"):
            status = 302
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/a/v1/models")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Provider)
        self.asked: list[tuple[str, str]] = []
        self.release = threading.Event()

    def candidate(self, name: str, *, local: bool = False) -> ProviderCandidate:
        base_url = f"http://127.0.0.1:{self.server_port}/{name}/v1"
        return ProviderCandidate(name, base_url, "" if local else f"{name.upper()}_KEY")


@pytest.fixture
def providers() -> Iterator[_Server]:
    server = _Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits longer than the command does, for a busy machine."""
    monkeypatch.setattr(discovery, "_LIMIT_SECONDS", 60.0)


@pytest.mark.usefixtures("patient")
def test_models_come_from_every_provider_that_answers(providers: _Server) -> None:
    asked = [providers.candidate(name) for name in ("a", "b", "refused", "html", "away")]

    found = {each.candidate.name: each for each in discovery.ask(asked, {"A_KEY": "sk-a", "B_KEY": "sk-b"})}

    assert found["a"].models == ("shared", "only-a")
    assert found["b"].models == ("shared", "only-b")
    assert ("/a/v1/models", "Bearer sk-a") in providers.asked
    assert "is the key in REFUSED_KEY right?" in found["refused"].problem
    assert found["html"].problem
    assert "answered 302" in found["away"].problem
    assert all("trunkline providers discover" in each.problem for each in found.values() if not each.models)
    assert "sk-a" not in repr(found)


@pytest.mark.slow
def test_a_provider_that_is_slow_is_not_waited_for(providers: _Server) -> None:
    (found,) = discovery.ask([providers.candidate("slow")], {})
    assert "did not answer within 2 s" in found.problem
    assert "trunkline providers discover" in found.problem


@pytest.mark.usefixtures("patient")
def test_a_local_server_that_is_not_there_is_not_worth_a_word(providers: _Server) -> None:
    found = discovery.ask(
        [ProviderCandidate("ollama", "http://127.0.0.1:9/v1", ""), providers.candidate("a", local=True)], {}
    )
    assert [(each.models, each.problem) for each in found] == [((), ""), (("shared", "only-a"), "")]
    assert ("/a/v1/models", "") in providers.asked


def test_what_is_stored_is_left_alone() -> None:
    a, b = ProviderCandidate("a", "http://a/v1", "A"), ProviderCandidate("b", "http://b/v1", "")
    stored = admin.Document(
        providers=[admin.Provider(name="a", base_url="http://mine")],
        routes=[admin.Route(model="mine", targets=[admin.RouteTarget(provider="a", model="other")])],
    )

    document = discovery.missing(
        stored, [discovery.Discovery(a, "sk-a", ("mine", "x")), discovery.Discovery(b, "", ("x", "y"))]
    )

    assert list(document.providers) == [admin.Provider(name="b", dialect="openai", base_url="http://b/v1")]
    assert {each.model: [(to.provider, to.tier) for to in each.targets] for each in document.routes} == {
        "x": [("a", 0), ("b", 1)],
        "y": [("b", 0)],
    }


def test_providers_are_chosen_by_their_variables() -> None:
    found = candidates({"OPENAI_API_KEY": "sk", "OPENAI_BASE_URL": "https://eu.example/v1/", "GROQ_API_KEY": ""})
    assert [(each.name, each.base_url) for each in found] == [
        ("openai", "https://eu.example/v1"),
        ("ollama", "http://127.0.0.1:11434/v1"),
        ("vllm", "http://127.0.0.1:8000/v1"),
    ]
    assert candidates({}, (KnownProvider("x", "http://x", "X_KEY"),)) == ()


def test_what_is_said_where_no_provider_is_usable_is_true() -> None:
    openai = ProviderCandidate("openai", "http://a/v1", "OPENAI_API_KEY")
    assert "no key of a known provider is in the environment" in discovery.nothing_found([])
    unreachable = discovery.nothing_found([discovery.Discovery(openai, "sk", problem="openai: did not answer")])
    assert "No provider yet: none of openai could be used (see above)." in unreachable
    assert "no key of a known provider" not in unreachable
    assert "trunkline providers add" in unreachable


@pytest.mark.parametrize(
    ("called", "path", "typed"),
    [
        (".venv/bin/trunkline", "/nonexistent", ".venv/bin/trunkline providers add"),
        (".venv/bin/trunkline", str(Path(sys.executable).parent), "  trunkline providers add"),
        ("/src/trunkline/__main__.py", "/nonexistent", "  trunkline providers add"),
    ],
)
def test_the_commands_can_be_typed_as_they_are_shown(
    monkeypatch: pytest.MonkeyPatch, called: str, path: str, typed: str
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setenv("PATH", path)
    assert typed in discovery.nothing_found([])
