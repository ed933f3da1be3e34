"""What one client may use of the event loop."""

from __future__ import annotations

from xds_server.transport.share import Share


def test_a_burst_then_a_part_of_the_time() -> None:
    share, now = Share(part=0.2, burst=2.0), 100.0
    for _ in range(4):
        assert share.spend(now, now + 0.5) == 0.0
        now += 0.5
    worked, waited, began = 0.0, 0.0, now
    for _ in range(200):
        now += waited
        waited = share.spend(now, now + 0.5)
        now += 0.5
        worked += 0.5
    assert worked / (now - began) < 0.21
    assert share.spend(now + 1_000, now + 1_001) == 0.0


def test_a_client_that_asks_for_little_never_waits() -> None:
    share = Share()
    assert {share.spend(float(at), at + 0.05) for at in range(1_000)} == {0.0}
