"""The commands of the machine's owner to the running node, each of which returns the resulting status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from structlog.typing import FilteringBoundLogger

from node_sidecar.node import RunningNode
from node_sidecar.preferences.store import PreferenceStore
from node_sidecar.renewable_identity import RenewableIdentity
from node_sidecar.report import Reporter


class OwnerCommands:
    """Obeys the commands; `by_name` has them for the control socket."""

    def __init__(
        self,
        node: RunningNode,
        store: PreferenceStore,
        identity: RenewableIdentity,
        reporter: Reporter,
        log: FilteringBoundLogger,
    ) -> None:
        self._node = node
        self._store = store
        self._identity = identity
        self._reporter = reporter
        self._log = log
        self.by_name: Mapping[str, Callable[[], Mapping[str, Any]]] = {
            "drain": self._drain,
            "pause": self._pause,
            "resume": self._resume,
        }

    def status(self) -> Mapping[str, Any]:
        """Returns the node's status as JSON shows it."""
        return self._node.status(self._identity.current, self._reporter.problem, self._store)

    def _drain(self) -> Mapping[str, Any]:
        self._log.info("draining, by its owner's preference")
        self._node.draining.set()
        return self.status()

    def _pause(self) -> Mapping[str, Any]:
        self._store.pause()
        return self._applied()

    def _resume(self) -> Mapping[str, Any]:
        self._store.resume()
        return self._applied()

    def _applied(self) -> Mapping[str, Any]:
        self._node.apply(self._store.load())
        return self.status()
