from __future__ import annotations

from node_sidecar.probes.kind import Model, Observation
from node_sidecar.probes.standing import GONE_AFTER, Standing

MODELS = (Model("m"),)
SEEN = Observation(MODELS, True, 3, 1, 500)


def test_a_server_that_fails_keeps_its_models_for_a_minute() -> None:
    standing = Standing()
    standing.observed(0.0, SEEN)
    standing.failed(10.0, "away")
    assert standing.models == MODELS
    assert not standing.healthy
    assert standing.reason == "away"
    standing.failed(10.0 + GONE_AFTER - 1, "away")
    assert standing.models == MODELS
    assert not standing.gone(10.0 + GONE_AFTER - 1)
    standing.failed(10.0 + GONE_AFTER, "away")
    assert standing.models == ()
    assert standing.gone(10.0 + GONE_AFTER)


def test_the_load_of_a_server_that_fails_is_not_known() -> None:
    standing = Standing()
    standing.observed(0.0, SEEN)
    standing.failed(1.0, "away")
    assert (standing.last.running, standing.last.waiting, standing.last.kv_cache) == (None, None, None)


def test_a_server_that_is_back_counts_anew() -> None:
    standing = Standing()
    standing.observed(0.0, SEEN)
    standing.failed(50.0, "away")
    standing.observed(55.0, SEEN)
    standing.failed(GONE_AFTER + 1, "away")
    assert standing.models == MODELS


def test_a_failing_health_check_takes_the_models_that_are_told() -> None:
    standing = Standing()
    standing.observed(0.0, Observation(MODELS, healthy=False))
    assert standing.models == MODELS
    assert not standing.healthy
    standing.observed(GONE_AFTER, Observation((), healthy=False))
    assert standing.models == ()
