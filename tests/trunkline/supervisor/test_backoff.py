from __future__ import annotations

from trunkline.supervisor.backoff import RestartBackoff


def test_at_once_then_doubling_to_ten_seconds() -> None:
    backoff = RestartBackoff()
    assert [backoff.delay(lived=0.1) for _ in range(8)] == [0, 0.5, 1, 2, 4, 8, 10, 10]


def test_a_minute_of_health_starts_over() -> None:
    backoff = RestartBackoff()
    assert [backoff.delay(lived=0.1) for _ in range(3)] == [0, 0.5, 1]
    assert backoff.delay(lived=59.9) == 2
    assert backoff.delay(lived=60.0) == 0
    assert backoff.delay(lived=0.1) == 0.5


def test_a_process_that_never_comes_up_does_not_overflow() -> None:
    backoff = RestartBackoff()
    assert max(backoff.delay(lived=0) for _ in range(5000)) == 10
