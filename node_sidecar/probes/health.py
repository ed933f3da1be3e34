"""The health of one server, derived from its probes and their times. No I/O, no clock."""

from __future__ import annotations

from dataclasses import replace

from node_sidecar.probes.kind import Model, Observation

#: Seconds after which the models of a server that fails are no longer offered.
GONE_AFTER = 60.0


class ServerHealth:
    """The health of one server. A failing server keeps its models, as unhealthy, for a minute: restarts are common
    and short.
    """

    def __init__(self) -> None:
        self._last = Observation((), healthy=False)
        self._failing_since: float | None = None
        #: Why the server is not healthy; None before the first probe, empty if it is healthy.
        self.reason: str | None = None

    @property
    def healthy(self) -> bool:
        """True if the server can serve requests, by the last observation."""
        return self._last.healthy

    @property
    def last(self) -> Observation:
        """The last observation, without load while the server fails."""
        return self._last

    @property
    def models(self) -> tuple[Model, ...]:
        """The models of the last observation that found any."""
        return self._last.models

    def observed(self, now: float, seen: Observation) -> None:
        """Records an observation at `now` (seconds, monotonic). An unhealthy server that names no models keeps
        those it had.
        """
        if seen.healthy:
            self._last, self._failing_since, self.reason = seen, None, ""
        else:
            self._fail(now, seen.models or self._last.models, "its health check fails")

    def failed(self, now: float, reason: str) -> None:
        """Records a failure at `now` (seconds, monotonic). The models stay for GONE_AFTER seconds."""
        self._fail(now, self._last.models, reason)

    def gone(self, now: float) -> bool:
        """Returns whether the server has failed for so long that a server of another kind may be there next."""
        return self._failing_since is not None and now - self._failing_since >= GONE_AFTER

    def _fail(self, now: float, models: tuple[Model, ...], reason: str) -> None:
        self._failing_since = now if self._failing_since is None else self._failing_since
        kept = () if self.gone(now) else models
        self._last = replace(self._last, models=kept, healthy=False, running=None, waiting=None, kv_cache=None)
        self.reason = reason
