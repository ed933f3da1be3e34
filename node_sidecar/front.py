"""Puts together what serves requests: the gate, the service behind it, and tunnels or a listener in front."""

from __future__ import annotations

from collections.abc import Callable

from node_sidecar.concurrency import UNKNOWN
from node_sidecar.errors import SettingsError
from node_sidecar.holder import Holder
from node_sidecar.preferences.model import Preferences
from node_sidecar.serving.gate import Gate
from node_sidecar.serving.service import Service
from node_sidecar.serving_parts import Serving
from node_sidecar.tunnel.direct import DirectListener
from node_sidecar.tunnel.tunnels import Tunnels
from node_sidecar.upstreams import Upstreams


def build(holder: Holder, upstreams: Upstreams, preferences: Preferences) -> Serving:
    """As the preferences are at the start. Call it in a running event loop."""
    concurrency = UNKNOWN if preferences.concurrency is None else preferences.concurrency
    gate = Gate(concurrency, preferences.queue, preferences.share / 100, own_first=preferences.own_first)
    service = Service(upstreams, gate)
    if preferences.direct:
        return Serving(gate, Direct(_split(preferences.direct), holder, service), service.outcomes)
    record = holder.current.record
    return Serving(gate, Tunneled(_split(record.gateway), holder, service, record.node_id), service.outcomes)


class Tunneled(Tunnels):
    """The service is closed with its tunnels."""

    def __init__(self, address: tuple[str, int], holder: Holder, service: Service, node_id: str) -> None:
        super().__init__(address, holder.client_context, service, node_id=node_id)
        self._service = service

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            await self._service.close()


class Direct(DirectListener):
    """Listens on all addresses, on the port that the gateway was told. The service is closed with it."""

    def __init__(self, address: tuple[str, int], holder: Holder, service: Service) -> None:
        super().__init__(("", address[1]), holder.server_context, service)
        self._service = service
        self.on_ready: Callable[[], None] = lambda: None

    @property
    def ready(self) -> bool:
        """The gateway opens its connections when it needs them."""
        return True

    def set_count(self, count: int) -> None:
        """The gateway decides how many connections it opens."""

    async def start(self) -> None:
        """Binds. Raises SettingsError: the port is in use, or not for this user."""
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
