"""`trunkline smoke` against a real gateway: its output, its findings, and that it leaves nothing behind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess

pytestmark = pytest.mark.usefixtures("well_behaved")

PRICE = {"input": 2, "output": 8}


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a), provider_entry(provider_b)],
        "routes": [
            {
                "model": "gpt-4.1",
                "targets": [
                    {"provider": "a", "model": "gpt-4.1", "price": PRICE},
                    {"provider": "b", "model": "vendor/gpt-4.1", "tier": 1, "price": {"input": 1, "output": 4}},
                ],
            },
            {"model": "text-embedding-3-small", "targets": [{"provider": "a", "model": "text-embedding-3-small"}]},
        ],
    }


def outcomes(found: list[dict[str, Any]], *checks: str) -> dict[tuple[str, str], str]:
    return {(each["check"], each["subject"]): each["outcome"] for each in found if each["check"] in checks}


def left_over(gateway: GatewayProcess) -> list[str]:
    """Returns everything that a smoke test might have left behind."""
    return [
        row[name]
        for noun, name in (("routes", "model"), ("keys", "name"), ("orgs", "name"), ("providers", "name"))
        for row in json.loads(gateway.run(noun, "list", "--json").stdout)
        if str(row[name]).startswith("smoke-")
    ]


def test_every_target_failover_costs_cache_and_limits(gateway: GatewayProcess) -> None:
    done = gateway.run("smoke", "--json")
    found = json.loads(done.stdout)
    assert {each["outcome"] for each in found} <= {"ok", "skipped"}
    assert outcomes(found, "target", "failover", "cost", "cache", "stream") == {
        ("target", "gpt-4.1 at a/gpt-4.1"): "ok",
        ("target", "gpt-4.1 at b/vendor/gpt-4.1"): "ok",
        ("cost", "gpt-4.1"): "ok",
        ("stream", "gpt-4.1 at a/gpt-4.1"): "ok",
        ("failover", "gpt-4.1"): "ok",
        ("cache", "gpt-4.1"): "ok",
        ("target", "text-embedding-3-small at a/text-embedding-3-small"): "ok",
        ("stream", "text-embedding-3-small at a/text-embedding-3-small"): "ok",
        ("cost", "text-embedding-3-small"): "skipped",
        ("failover", "text-embedding-3-small"): "skipped",
        ("cache", "text-embedding-3-small"): "ok",
    }
    assert outcomes(found, "refusal", "rate limit", "budget", "usage report") == {
        ("refusal", "a wrong key"): "ok",
        ("refusal", "an unknown model"): "ok",
        ("rate limit", "gpt-4.1"): "ok",
        ("budget", "gpt-4.1"): "ok",
        ("rate limit", "text-embedding-3-small"): "ok",
        ("budget", "text-embedding-3-small"): "skipped",
        ("usage report", "default"): "ok",
    }
    assert left_over(gateway) == []


def test_a_target_that_fails_is_named_and_the_exit_code_says_so(
    gateway: GatewayProcess, provider_b: ProviderProcess
) -> None:
    provider_b.behave("status:500")
    done = gateway.run("smoke", "--model", "gpt-4.1", "--json", check=False)
    assert done.returncode == 1
    (failed,) = [each for each in json.loads(done.stdout) if each["outcome"] == "FAILED"]
    assert (failed["check"], failed["subject"]) == ("target", "gpt-4.1 at b/vendor/gpt-4.1")
    assert failed["detail"].startswith("5")
    assert left_over(gateway) == []


def test_the_demo_brings_everything_along(gateway: GatewayProcess) -> None:
    done = gateway.run("smoke", "--demo", "--json")
    found = json.loads(done.stdout)
    assert {each["outcome"] for each in found} == {"ok"}
    assert {each["check"] for each in found} == {
        *("refusal", "target", "cost", "stream", "failover", "cache", "rate limit", "budget", "usage report"),
        "failure",
    }
    assert sum(each["check"] == "target" for each in found) == 3
    assert left_over(gateway) == []


def test_a_route_that_is_not_there_is_named(gateway: GatewayProcess) -> None:
    done = gateway.run("smoke", "--model", "gpt-9", check=False)
    assert done.returncode == 1
    assert "no route gpt-9 for default; there are: gpt-4.1, text-embedding-3-small" in done.stderr
