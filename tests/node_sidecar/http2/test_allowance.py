from __future__ import annotations

from node_sidecar.http2.allowance import Allowance


def test_refills_evenly_and_never_beyond_its_count() -> None:
    allowance = Allowance(10, 5.0)
    assert all(allowance.spend(100.0) for _ in range(10))
    assert not allowance.spend(100.0)
    assert not allowance.spend(100.2)
    assert allowance.spend(102.0)
    assert [allowance.spend(1_000.0) for _ in range(11)] == [True] * 10 + [False]
