"""What a check is answered by whose request waits: for a place, or for the answer to an identical one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from translator.checks.frames import Allowed, Queued

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Waits(Generic[R_co]):
    """`queued` is told at once. `start` takes what is called once, and not before `start` has returned, with the
    decision, which is allowed or an `R_co`. `cancel` ends the wait, and nothing is called.
    """

    queued: Queued
    start: Callable[[Callable[[Allowed | R_co], None]], None]
    cancel: Callable[[], None]
