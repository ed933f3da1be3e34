"""A gateway with two providers, and the models that the clients' scripts request from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import GatewayProcess

#: Served by the first provider, as it is.
MODELS = ("gpt-4.1", "text-embedding-3-small", "gpt-image-1", "whisper-1", "tts-1")
#: Fails at the first provider, and is served by the second.
FAILOVER = "failover"
ALL_MODELS = (*MODELS, FAILOVER)


def _route(model: str, *targets: tuple[str, str]) -> dict[str, Any]:
    """Returns a route whose targets, (provider, model there), are tried in order."""
    return {
        "model": model,
        "targets": [
            {"provider": provider, "model": upstream, "tier": tier}
            for tier, (provider, upstream) in enumerate(targets)
        ],
    }


def _configuration(a: ProviderProcess, b: ProviderProcess, clients: Sequence[str]) -> dict[str, Any]:
    """Returns the configuration. Each client has a second key, which allows one request in four seconds."""
    limit = {"metric": "requests", "per": "4s", "amount": 1}
    keys = [{"name": _word(client), "value": f"env:{_variable(client)}", "limits": [limit]} for client in clients]
    return {
        "version": 1,
        "providers": [provider_entry(a), provider_entry(b)],
        "routes": [
            *(_route(model, (a.name, model)) for model in MODELS),
            _route(FAILOVER, (a.name, "always-500"), (b.name, "gpt-4.1")),
        ],
        "organisations": [{"name": "hasty", "keys": keys}],
    }


def limited_key(client: str) -> str:
    """Returns the key of `client` with a limit of one request in four seconds."""
    return f"sk-limited-to-one-request-{_word(client)}"


def _variable(client: str) -> str:
    return f"LIMITED_{_word(client).upper()}"


def _word(client: str) -> str:
    return re.sub(r"\W", "_", client).lower()


@contextmanager
def gateway(directory: Path, clients: Sequence[str]) -> Iterator[GatewayProcess]:
    """Runs the gateway; its data and logs are below `directory`."""
    limited = {_variable(client): limited_key(client) for client in clients}
    with (
        ProviderProcess("a", api_keys=["sk-provider-a"]) as a,
        ProviderProcess("b", api_keys=["sk-provider-b"]) as b,
        GatewayProcess(
            directory / "data", _configuration(a, b, clients), environment={**PROVIDER_CREDENTIALS, **limited}
        ) as running,
    ):
        yield running
