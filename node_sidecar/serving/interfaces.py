"""The interfaces through which serving uses the rest of the sidecar."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Upstream(Protocol):
    """A local server. `base_url` is like `http://127.0.0.1:11434/v1`; `api_key` is empty if the server needs
    none.
    """

    @property
    def base_url(self) -> str:
        """The URL of the local server up to `/v1`."""

    @property
    def api_key(self) -> str:
        """The key that the local server requires; empty if it requires none."""

    def serving(self) -> AbstractContextManager[None]:
        """Wraps a request to the server: of servers with the same model, the one with the fewest requests gets the
        next.
        """


class Upstreams(Protocol):
    """The local servers in their current state."""

    def find(self, model: str) -> Upstream | None:
        """Returns the server that can serve the model, or None."""

    def loading(self, model: str) -> bool:
        """Returns whether a server has the model but cannot serve it yet."""
