"""Every metric of the policy is counted, refuses, and is settled."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import msgspec
import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.policy.words import METRICS

from tests.translator.limits.building import NOW, limiter, reservation
from translator.ledger.records import Bill
from translator.ledger.settlement import Settlement
from translator.ledger.usage import Tokens
from translator.limits import HolderLimit, Limiter, Metric, Refused, windows, wire
from translator.policy.limits import limits

_NO_JOURNAL = SimpleNamespace(gather=lambda entry: None)
#: Metrics whose amount is used once a request is admitted.
_OF_ADMISSION = {"requests"}


def limit(metric: str, amount: int) -> HolderLimit:
    per_seconds = 0 if metric == "concurrency" else 3_600
    message = policy.Limit(metric=METRICS[metric], per_seconds=per_seconds, amount=amount)
    (made,) = limits([message], "key", "key_a", "a")
    return made


def reserve(engine: Limiter, request_id: str, of: HolderLimit) -> Refused | None:
    """Reserves for a request that uses some of every metric."""
    held = reservation(request_id, [of], tokens=5, cost=5)
    return engine.reserve(msgspec.structs.replace(held, units="i5:1024x1024:high"), [of])


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_counted_and_settled(metric: str) -> None:
    where = f"{metric} is lost in translator/limits/limiter.py"
    nothing = limit(metric, 0)
    refused = reserve(limiter(), "r", nothing)
    assert refused is not None, where
    said = wire.refusal(refused, {}, NOW).message
    assert metric.partition("_")[0] in {*said.replace("USD", "cost").split(), "concurrency"}, (
        f"translator/limits/wire.py does not name {metric}: {said}"
    )
    engine, exact = limiter(), dataclasses.replace(nothing, amount=refused.needed)
    assert reserve(engine, "first", exact) is None
    assert reserve(engine, "second", exact) is not None, where
    assert engine.settle("first", 0, 0)
    assert (reserve(engine, "third", exact) is None) == (metric not in _OF_ADMISSION), where


@pytest.mark.parametrize("metric", METRICS)
def test_what_was_used_counts_in_a_metric(metric: str) -> None:
    engine, bound = limiter(), limit(metric, 10**12)
    settlement = Settlement(engine, _NO_JOURNAL, None, expire_after=60, log=None)  # type: ignore[arg-type]
    assert reserve(engine, "r", bound) is None
    held = engine.reservation("r")
    assert held is not None
    settlement.reserved(held)
    settlement.settle(held, Bill(Tokens(7, 0, 7, 0, images=7), 7, 1))
    full = reserve(engine, "next", dataclasses.replace(bound, amount=0))
    assert full is not None
    assert full.taken == {"requests": 1, "tokens": 14, "cost_usd": 7, "concurrency": 0}.get(metric, 7), (
        f"what was used of {metric} is lost in translator/ledger/settlement.py"
    )


def test_every_metric_has_a_window_or_none() -> None:
    for metric in Metric:
        has_none = limit(metric.text, 1).window == windows.NO_WINDOW
        assert has_none == (metric is Metric.CONCURRENCY)
