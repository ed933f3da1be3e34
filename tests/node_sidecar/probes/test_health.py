from __future__ import annotations

from node_sidecar.probes.health import GONE_AFTER, ServerHealth
from node_sidecar.probes.kind import Model, Observation

MODELS = (Model("m"),)
SEEN = Observation(MODELS, True, 3, 1, 500)


def test_a_server_that_fails_keeps_its_models_for_a_minute() -> None:
    health = ServerHealth()
    health.observed(0.0, SEEN)
    health.failed(10.0, "away")
    assert health.models == MODELS
    assert not health.healthy
    assert health.reason == "away"
    health.failed(10.0 + GONE_AFTER - 1, "away")
    assert health.models == MODELS
    assert not health.gone(10.0 + GONE_AFTER - 1)
    health.failed(10.0 + GONE_AFTER, "away")
    assert not health.models
    assert health.gone(10.0 + GONE_AFTER)


def test_the_load_of_a_server_that_fails_is_not_known() -> None:
    health = ServerHealth()
    health.observed(0.0, SEEN)
    health.failed(1.0, "away")
    assert (health.last.running, health.last.waiting, health.last.kv_cache) == (None, None, None)


def test_a_server_that_is_back_counts_anew() -> None:
    health = ServerHealth()
    health.observed(0.0, SEEN)
    health.failed(50.0, "away")
    health.observed(55.0, SEEN)
    health.failed(GONE_AFTER + 1, "away")
    assert health.models == MODELS


def test_a_failing_health_check_takes_the_models_that_are_reported() -> None:
    health = ServerHealth()
    health.observed(0.0, Observation(MODELS, healthy=False))
    assert health.models == MODELS
    assert not health.healthy
    health.observed(GONE_AFTER, Observation((), healthy=False))
    assert not health.models
