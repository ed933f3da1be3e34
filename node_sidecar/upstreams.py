"""Chooses the local server for a request: the healthy one with the model and the fewest requests in flight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from node_sidecar.preferences.model import Preferences
from node_sidecar.probes.watch import WatchedServer


@dataclass(frozen=True, slots=True)
class Upstream:
    """A local server for one request. `base_url` ends with `/v1`; `api_key` may be empty."""

    base_url: str
    api_key: str = field(repr=False)
    _server: WatchedServer = field(repr=False, compare=False)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Wraps a request and counts it, so that the next one may go to another server."""
        self._server.in_flight += 1
        self._server.served += 1
        try:
            yield
        finally:
            self._server.in_flight -= 1


class Upstreams:
    """Chooses the local server for each request."""

    def __init__(self, servers: Sequence[WatchedServer], preferences: Preferences) -> None:
        self._servers = servers
        #: Replaced when the owner changes node.yaml.
        self.preferences = preferences

    def find(self, model: str) -> Upstream | None:
        """Returns the least busy healthy server, among equals the one that has served least; None if none can
        serve `model`.
        """
        able = [server for server in self._having(model) if server.health.healthy]
        if not able:
            return None
        chosen = min(able, key=lambda server: (_busy(server), server.served))
        return Upstream(f"{chosen.base_url}/v1", chosen.preference.api_key, chosen)

    def loading(self, model: str) -> bool:
        """Returns whether a server has `model` but cannot serve it yet, because it is loading or briefly away."""
        return any(True for _ in self._having(model, loading=True)) and self._none_able(model)

    def _none_able(self, model: str) -> bool:
        return not any(server.health.healthy for server in self._having(model))

    def _having(self, model: str, *, loading: bool = False) -> Iterator[WatchedServer]:
        if not self.preferences.offers(model):
            return
        for server in self._servers:
            if any(held.name == model and (loading or not held.loading) for held in server.health.models):
                yield server


def _busy(server: WatchedServer) -> int:
    """Returns the load of a server: the node's own requests are current, those of other clients as of the last
    probe.
    """
    seen = server.health.last
    return max(server.in_flight, (seen.running or 0) + (seen.waiting or 0))
