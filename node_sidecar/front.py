"""Assembles the parts that serve requests: the gate, the service behind it, and tunnels or a listener in front."""

from __future__ import annotations

from collections.abc import Callable

from node_sidecar.concurrency import UNKNOWN
from node_sidecar.errors import SettingsError
from node_sidecar.preferences.model import Preferences
from node_sidecar.renewable_identity import RenewableIdentity
from node_sidecar.serving.gate import Gate
from node_sidecar.serving.service import Service
from node_sidecar.serving_parts import Serving
from node_sidecar.tunnel.direct import DirectListener
from node_sidecar.tunnel.tunnels import Tunnels
from node_sidecar.upstreams import Upstreams


def build(identity: RenewableIdentity, upstreams: Upstreams, preferences: Preferences) -> Serving:
    """Builds the parts for the preferences at the start. Must be called in a running event loop."""
    concurrency = UNKNOWN if preferences.concurrency is None else preferences.concurrency
    gate = Gate(concurrency, preferences.queue, preferences.share / 100, own_first=preferences.own_first)
    service = Service(upstreams, gate)
    if preferences.direct:
        return Serving(gate, Direct(_split(preferences.direct), identity, service), service.outcomes)
    record = identity.current.record
    return Serving(gate, Tunneled(_split(record.gateway), identity, service, record.node_id), service.outcomes)


class Tunneled(Tunnels):
    """Tunnels that close the service when they end."""

    def __init__(
        self, address: tuple[str, int], identity: RenewableIdentity, service: Service, node_id: str
    ) -> None:
        super().__init__(address, identity.client_context, service, node_id=node_id)
        self._service = service

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            await self._service.close()


class Direct(DirectListener):
    """A listener on all addresses, at the port that the gateway connects to. Closes the service when it ends."""

    def __init__(self, address: tuple[str, int], identity: RenewableIdentity, service: Service) -> None:
        super().__init__(("", address[1]), identity.server_context, service)
        self._service = service
        self.on_ready: Callable[[], None] = lambda: None

    @property
    def ready(self) -> bool:
        """Always true: the gateway connects when it needs to."""
        return True

    def set_count(self, count: int) -> None:
        """Does nothing: the gateway decides how many connections it opens."""

    async def start(self) -> None:
        """Binds. Raises SettingsError if the port is in use or this user may not listen on it."""
        try:
            await super().start()
        except OSError as error:
            raise SettingsError(
                f"--direct: cannot listen on port {self.port}: {error.strerror or error}; choose another port"
            ) from error

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            await self._service.close()


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
