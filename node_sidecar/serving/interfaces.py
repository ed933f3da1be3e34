"""What serving needs of the rest of the sidecar."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Upstream(Protocol):
    """A local server. `base_url` as in `http://127.0.0.1:11434/v1`; `api_key` is empty if it wants none."""

    @property
    def base_url(self) -> str: ...

    @property
    def api_key(self) -> str: ...

    def serving(self) -> AbstractContextManager[None]:
        """Around a request to it: of servers that have the same model, the one with fewest gets the next."""


class Upstreams(Protocol):
    """The local servers, as the probes see them at the moment."""

    def find(self, model: str) -> Upstream | None:
        """The server that has the model ready."""

    def loading(self, model: str) -> bool:
        """A server has it, but cannot serve it yet."""
