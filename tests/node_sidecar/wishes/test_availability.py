from __future__ import annotations

from datetime import UTC, datetime

import pytest

from node_sidecar.wishes.availability import Availability, Serves, decide
from node_sidecar.wishes.idle import State
from node_sidecar.wishes.model import Wishes
from node_sidecar.wishes.schedule import Hours, Schedule

NOON = datetime(2025, 6, 6, 12, tzinfo=UTC)
NIGHT = Schedule(UTC, "UTC", (Hours(frozenset(range(7)), 22 * 60, 6 * 60),))
DAY = Schedule(UTC, "UTC", (Hours(frozenset(range(7)), 6 * 60, 22 * 60),))


@pytest.mark.parametrize(
    ("wishes", "idle", "expected"),
    [
        (Wishes(), None, Availability(Serves.OPEN)),
        (Wishes(schedule=DAY), None, Availability(Serves.OPEN)),
        (Wishes(schedule=NIGHT), None, Availability(Serves.CLOSED, "outside 22:00-06:00 (UTC)")),
        (
            Wishes(schedule=NIGHT, owner_always=True),
            None,
            Availability(Serves.OWNER_ONLY, "outside 22:00-06:00 (UTC)"),
        ),
        (Wishes(maintenance=True), None, Availability(Serves.OWNER_ONLY, "maintenance")),
        (Wishes(paused=True, maintenance=True), None, Availability(Serves.CLOSED, "paused by its owner")),
        (Wishes(), State.IDLE, Availability(Serves.OPEN)),
        (Wishes(), State.BUSY, Availability(Serves.CLOSED, "its owner is using the machine")),
        (Wishes(owner_always=True), State.BUSY, Availability(Serves.OWNER_ONLY, "its owner is using the machine")),
    ],
)
def test_the_strictest_wish_counts(wishes: Wishes, idle: State | None, expected: Availability) -> None:
    assert decide(wishes, NOON, idle) == expected


def test_a_long_reason_is_cut_to_what_the_contract_takes() -> None:
    hours = tuple(Hours(frozenset({0, 2, 4}), minute, minute + 1) for minute in range(60))
    reason = decide(Wishes(schedule=Schedule(UTC, "UTC", hours)), NOON, None).reason
    assert len(reason.encode()) <= 256
    assert reason.endswith("…")
