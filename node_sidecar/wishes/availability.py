"""Whom the node serves at this moment, and why, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from node_sidecar.wishes.idle import State
from node_sidecar.wishes.model import Wishes

_REASON_LIMIT = 256
_NOT_IDLE: dict[State | None, str] = {
    State.BUSY: "its owner is using the machine",
    State.MEASURING: "measuring how much its owner uses the machine",
    State.UNREADABLE: "cannot see whether its owner uses the machine",
}


class Serves(Enum):
    OPEN = "everybody"
    OWNER_ONLY = "its owner alone"
    CLOSED = "nobody"


@dataclass(frozen=True, slots=True)
class Availability:
    """`reason` is at most 256 bytes of UTF-8, empty where nothing limits.

    Unless it `turns_away`, requests that come all the same are served: the gateway is asked to send no more, which
    it cannot know at once.
    """

    serves: Serves
    reason: str = ""
    turns_away: bool = True


def decide(wishes: Wishes, moment: datetime, idle: State | None) -> Availability:
    """`idle` is None where it does not matter. The strictest wish gives the reason."""
    if wishes.paused:
        return Availability(Serves.CLOSED, "paused by its owner")
    limited = Serves.OWNER_ONLY if wishes.owner_always or wishes.maintenance else Serves.CLOSED
    if wishes.schedule is not None and not wishes.schedule.open_at(moment):
        return Availability(limited, _cut(f"outside {wishes.schedule}"))
    if idle in _NOT_IDLE:
        # While it is measured, the gateway sends no more; what comes all the same is served.
        return Availability(limited, _NOT_IDLE[idle], turns_away=idle is not State.MEASURING or wishes.maintenance)
    if wishes.maintenance:
        return Availability(Serves.OWNER_ONLY, "maintenance")
    return Availability(Serves.OPEN)


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= _REASON_LIMIT:
        return text
    return encoded[: _REASON_LIMIT - 3].decode(errors="ignore") + "…"
