from __future__ import annotations

import pytest

from node_sidecar.tunnel.backoff import ReconnectBackoff


def test_doubles_up_to_the_longest_and_begins_anew() -> None:
    backoff = ReconnectBackoff(0.1, 3.0, random=lambda: 0.0)
    assert [backoff.seconds() for _ in range(7)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0])
    backoff.reset()
    assert backoff.seconds() == pytest.approx(0.1)


def test_the_jitter_takes_at_most_half() -> None:
    assert ReconnectBackoff(1.0, random=lambda: 1.0).seconds() == pytest.approx(0.5)
    waits = {ReconnectBackoff(1.0).seconds() for _ in range(20)}
    assert len(waits) > 10
    assert all(0.5 <= wait <= 1.0 for wait in waits)
