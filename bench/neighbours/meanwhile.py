"""Runs something in a separate thread while a block runs."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Meanwhile(ABC):
    """Starts `run` at the beginning of the block. Leaving the block sets `over` and waits until `run` has
    returned.
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        self._thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.over.set()
        self._thread.join()

    @abstractmethod
    def run(self) -> None:
        """Runs meanwhile; must return soon after `over` is set."""
