"""What a check is answered by whose request waits for a place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from translator.questions.frames import Allowed, Queued

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Waits(Generic[R]):
    """The request stands in a line already. `queued` is told at once; `start` takes what is called once with the
    decision, which is allowed or an R. `cancel` takes the request out of the line, and nothing is called.
    """

    queued: Queued
    start: Callable[[Callable[[Allowed | R], None]], None]
    cancel: Callable[[], None]
