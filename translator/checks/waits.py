"""The answer to a check whose request waits for a place, or for the answer to an identical request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from translator.checks.answers import Allowed, Queued

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Waits(Generic[R_co]):
    """A wait. `queued` is sent at once.

    `start` takes a callback, which is called once, after `start` has returned, with the decision. `cancel` ends
    the wait; the callback is then not called.
    """

    queued: Queued
    start: Callable[[Callable[[Allowed | R_co], None]], None]
    cancel: Callable[[], None]
