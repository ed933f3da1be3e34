"""Logs what nodes are refused, so that an operator finds the reasons that nodes' owners saw."""

from __future__ import annotations

import structlog

from xds_server.nodes.moment import Clock
from xds_server.nodes.rate_limit import RateLimit

#: Lines per second, and at once: a node that is refused again and again must not fill the disk.
_PER_SECOND, _BURST = 1.0, 20
_SHOWN = 500

_log = structlog.get_logger(__name__)


class Refusals:
    """Logs refusals. `clock` is read at each refusal."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rate_limit = RateLimit(per_second=_PER_SECOND, burst=_BURST)
        self._unlogged = 0

    def log(self, call: str, node_id: str, reason: Exception) -> None:
        """Logs a refusal. `node_id` is empty for a caller without a certificate."""
        now = self._clock().monotonic
        if self._rate_limit.wait(now):
            self._unlogged += 1
            return
        self._rate_limit.take(now)
        unlogged, self._unlogged = self._unlogged, 0
        more = {"refused_before_and_not_logged": unlogged} if unlogged else {}
        _log.warning("node refused", call=call, node=node_id, reason=str(reason)[:_SHOWN], **more)
