"""Decides whom the node serves at the moment, and says why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from node_sidecar.preferences.idle import IdleState
from node_sidecar.preferences.model import Preferences

_REASON_LIMIT = 256
_NOT_IDLE: dict[IdleState | None, str] = {
    IdleState.BUSY: "its owner is using the machine",
    IdleState.MEASURING: "measuring how much its owner uses the machine",
    IdleState.UNREADABLE: "cannot see whether its owner uses the machine",
}


class Serves(Enum):
    """The callers that a node serves at a moment. The values are for messages to its owner."""

    OPEN = "everybody"
    OWNER_ONLY = "its owner alone"
    CLOSED = "nobody"


@dataclass(frozen=True, slots=True)
class Availability:
    """`reason` has at most 256 bytes of UTF-8; empty if nothing limits the node.

    Unless `turns_away`, requests that still arrive are served: the gateway was asked to send no more, but cannot
    know at once.
    """

    serves: Serves
    reason: str = ""
    turns_away: bool = True


def decide(preferences: Preferences, moment: datetime, idle: IdleState | None) -> Availability:
    """Decides by the strictest preference, which gives the reason. `idle` is None if there is no idle rule."""
    if preferences.paused:
        return Availability(Serves.CLOSED, "paused by its owner")
    limited = Serves.OWNER_ONLY if preferences.owner_always or preferences.maintenance else Serves.CLOSED
    if preferences.schedule is not None and not preferences.schedule.open_at(moment):
        return Availability(limited, cut(f"outside {preferences.schedule}"))
    if idle in _NOT_IDLE:
        # During a measurement the gateway sends no more; requests that still arrive are served.
        return Availability(
            limited, _NOT_IDLE[idle], turns_away=idle is not IdleState.MEASURING or preferences.maintenance
        )
    if preferences.maintenance:
        return Availability(Serves.OWNER_ONLY, "maintenance")
    return Availability(Serves.OPEN)


def cut(text: str) -> str:
    """Returns `text` in at most 256 bytes of UTF-8, which is what the gateway accepts of a sentence."""
    encoded = text.encode()
    if len(encoded) <= _REASON_LIMIT:
        return text
    return encoded[: _REASON_LIMIT - 3].decode(errors="ignore") + "…"
