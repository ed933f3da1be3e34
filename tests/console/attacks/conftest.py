"""A gateway for the tests of this package, which leave much behind in it; the browser is that of all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import GatewayProcess

PASSWORD = "correct horse battery"


@pytest.fixture(scope="package")
def gateway(tmp_path_factory: pytest.TempPathFactory, provider: ProviderProcess) -> Iterator[GatewayProcess]:
    config = {
        "version": 1,
        "providers": [provider_entry(provider)],
        "routes": [{"model": "gpt-4.1", "targets": [{"provider": "a", "model": "gpt-4.1"}]}],
        "organisations": [{"name": "acme"}],
    }
    data_dir: Path = tmp_path_factory.mktemp("attacks") / "data"
    with GatewayProcess(data_dir, config, environment=PROVIDER_CREDENTIALS) as running:
        yield running


@dataclass(frozen=True)
class Answer:
    status: int
    json: Any
    cookies: Mapping[str, str]

    @property
    def message(self) -> str:
        """Returns the refusal's text; empty for an answer."""
        return str(self.json.get("error", {}).get("message", ""))


class Caller:
    """Calls the gateway over HTTP: with a token, or as a browser with a session."""

    def __init__(self, gateway: GatewayProcess, *, token: str = "", session: str = "") -> None:
        self.gateway = gateway
        headers = {"authorization": f"Bearer {token}"} if token else {"x-trunkline-csrf": "1"}
        cookies = {"trunkline_session": session} if session else {}
        self._client = httpx.Client(base_url=gateway.admin_url, headers=headers, cookies=cookies, timeout=60)

    def __call__(self, verb: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        content = None if body is None else json.dumps(body).encode()
        sent = (
            {"content-type": "application/json", **(headers or {})} if content is not None else dict(headers or {})
        )
        answer = self._client.request(verb, path, content=content, headers=sent)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return Answer(answer.status_code, answer.json() if is_json else answer.text, dict(answer.cookies))

    def get(self, verb: str, path: str, body: Any = None) -> Any:
        """Returns the answer of a call that must succeed."""
        answer = self(verb, f"/admin/v1/{path}", body)
        assert answer.status == 200, (path, answer.json)
        return answer.json

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def machine(gateway: GatewayProcess) -> Iterator[Caller]:
    """Calls with the admin token."""
    caller = Caller(gateway, token=gateway.credentials["admin_token"])
    yield caller
    caller.close()


def signed_in(machine: Caller, email: str, **invitation: Any) -> tuple[str, str]:
    """Returns the session's value and the invitation's of a person who has accepted it."""
    token = str(machine.get("POST", "users:invite", {"email": email, **invitation})["url"]).partition("#invite=")[
        2
    ]
    newcomer = Caller(machine.gateway)
    body = {"token": token, "name": "", "password": PASSWORD}
    answer = newcomer("POST", "/admin/v1/invitations:accept", body)
    newcomer.close()
    assert answer.status == 200, answer.json
    return answer.cookies["trunkline_session"], token
