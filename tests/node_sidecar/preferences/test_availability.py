from __future__ import annotations

from datetime import UTC, datetime

import pytest

from node_sidecar.preferences.availability import Availability, Serves, decide
from node_sidecar.preferences.idle import IdleState
from node_sidecar.preferences.model import Preferences
from node_sidecar.preferences.schedule import Hours, Schedule

NOON = datetime(2025, 6, 6, 12, tzinfo=UTC)
NIGHT = Schedule(UTC, "UTC", (Hours(frozenset(range(7)), 22 * 60, 6 * 60),))
DAY = Schedule(UTC, "UTC", (Hours(frozenset(range(7)), 6 * 60, 22 * 60),))


@pytest.mark.parametrize(
    ("preferences", "idle", "expected"),
    [
        (Preferences(), None, Availability(Serves.OPEN)),
        (Preferences(schedule=DAY), None, Availability(Serves.OPEN)),
        (Preferences(schedule=NIGHT), None, Availability(Serves.CLOSED, "outside 22:00-06:00 (UTC)")),
        (
            Preferences(schedule=NIGHT, owner_always=True),
            None,
            Availability(Serves.OWNER_ONLY, "outside 22:00-06:00 (UTC)"),
        ),
        (Preferences(maintenance=True), None, Availability(Serves.OWNER_ONLY, "maintenance")),
        (Preferences(paused=True, maintenance=True), None, Availability(Serves.CLOSED, "paused by its owner")),
        (Preferences(), IdleState.IDLE, Availability(Serves.OPEN)),
        (Preferences(), IdleState.BUSY, Availability(Serves.CLOSED, "its owner is using the machine")),
        (
            Preferences(owner_always=True),
            IdleState.BUSY,
            Availability(Serves.OWNER_ONLY, "its owner is using the machine"),
        ),
    ],
)
def test_the_strictest_preference_counts(
    preferences: Preferences, idle: IdleState | None, expected: Availability
) -> None:
    assert decide(preferences, NOON, idle) == expected


def test_a_long_reason_is_cut_to_what_the_contract_takes() -> None:
    hours = tuple(Hours(frozenset({0, 2, 4}), minute, minute + 1) for minute in range(60))
    reason = decide(Preferences(schedule=Schedule(UTC, "UTC", hours)), NOON, None).reason
    assert len(reason.encode()) <= 256
    assert reason.endswith("…")
