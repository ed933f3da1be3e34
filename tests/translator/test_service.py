"""Requests that the translator answers directly; refusals have OpenAI's format."""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog

from tests.translator import policies
from translator.authorise import Authoriser
from translator.limits import Limiter
from translator.message import Request, Response
from translator.metering import Meter
from translator.policy.store import PolicyStore
from translator.service import Service


def _service(store: PolicyStore) -> Service:
    return Service(store, Authoriser(store, Meter(Limiter(store.limits_by_id))), structlog.get_logger())


def get(target: bytes, store: PolicyStore | None = None, key: bytes = b"key_ci", method: str = "GET") -> Response:
    service = _service(store or policies.default_store())
    response = service.handle(Request(method, target, {b"x-trunkline-key": key}))
    assert isinstance(response, Response)
    return response


def content(response: Response) -> Any:
    assert response.headers["content-type"] == "application/json"
    return json.loads(response.body)


STORE_OF_TWO = (
    policies.organisation(),
    policies.organisation("org_other"),
    policies.key(models=["gpt-*", "vendor/*"]),
    policies.route(created_at=7),
    policies.route("rt_own", "vendor/x y", org="org_acme", created_at=8),
    policies.route("rt_foreign", "gpt-secret", org="org_other"),
    policies.route("rt_c", "claude"),
)


def test_models_are_those_the_key_may_use() -> None:
    response = get(b"/v1/models", policies.store(*STORE_OF_TWO))
    assert response.status == 200
    assert content(response) == {
        "object": "list",
        "data": [
            {"id": "gpt-4.1", "object": "model", "created": 7, "owned_by": "trunkline"},
            {"id": "vendor/x y", "object": "model", "created": 8, "owned_by": "trunkline"},
        ],
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"gpt-4.1", 200),
        (b"vendor/x%20y", 200),
        (b"vendor%2Fx%20y?a=b", 200),
        (b"gpt-secret", 404),
        (b"claude", 404),
        (b"%ff", 404),
    ],
)
def test_one_model(path: bytes, status: int) -> None:
    response = get(b"/v1/models/" + path, policies.store(*STORE_OF_TWO))
    assert response.status == status
    if status == 404:
        error = content(response)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["type"], error["param"], error["code"]) == (
            "invalid_request_error",
            "model",
            "model_not_found",
        )


@pytest.mark.parametrize("key", [b"", b"key_unknown", b"\xff"])
def test_models_need_a_key(key: bytes) -> None:
    assert get(b"/v1/models", key=key).status == 401


def test_health() -> None:
    assert get(b"/healthz", PolicyStore()).status == 200
    response = get(b"/readyz", PolicyStore())
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    ready = content(get(b"/readyz"))
    assert (ready["status"], ready["policy"], ready["keys"]) == ("ready", "control plane", 1)
    restored = PolicyStore()
    restored.restore(policies.default_store().contents())
    assert content(get(b"/readyz", restored))["policy"] == "snapshot"


@pytest.mark.parametrize(
    ("method", "target", "status"), [("GET", b"/", 404), ("POST", b"/v1/models", 405), ("PUT", b"/readyz", 405)]
)
def test_nothing_else_is_served(method: str, target: bytes, status: int) -> None:
    assert get(target, method=method).status == status


def test_a_defect_is_answered_and_logged_without_what_it_was_about(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Response:
        raise ValueError("a prompt")

    store = policies.default_store()
    service = _service(store)
    monkeypatch.setattr(service._authoriser, "decide", broken)
    with structlog.testing.capture_logs() as logged:
        response = service.decide(Request("POST", b"/v1/chat/completions", {}))
    assert isinstance(response, Response)
    assert response.status == 500
    assert b"prompt" not in response.body
    (line,) = logged
    assert line["error"] == "ValueError"
    assert "a prompt" not in repr(line)
