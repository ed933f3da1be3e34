"""Counts seconds with a lease, by node and Unix hour. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Mapping

from xds_server.nodes.moment import Moment

HOUR = 3_600


class Uptime:
    """Counts durations by the monotonic clock and files them under the hours of the Unix clock."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._seconds: dict[tuple[str, int], float] = {}

    def begin(self, node_id: str, now: Moment) -> None:
        """Records that the node has a lease from now on, if it had none."""
        self._since.setdefault(node_id, now.monotonic)

    def end(self, node_id: str, now: Moment) -> None:
        """Records that the node has no lease any more."""
        since = self._since.pop(node_id, None)
        if since is not None:
            self._count(node_id, since, now)

    def take(self, now: Moment) -> Mapping[tuple[str, int], int]:
        """Returns whole seconds by node and hour since the last call; fractions of a second stay for the next
        call.
        """
        for node_id, since in self._since.items():
            self._count(node_id, since, now)
            self._since[node_id] = now.monotonic
        taken = {at: int(seconds) for at, seconds in self._seconds.items() if seconds >= 1.0}
        present = int(now.unix) // HOUR
        self._seconds = {
            (node_id, hour): seconds % 1.0
            for (node_id, hour), seconds in self._seconds.items()
            if hour >= present - 1
        }
        return taken

    def put_back(self, taken: Mapping[tuple[str, int], int]) -> None:
        """Puts back what could not be stored, for the next call of `take`."""
        for at, seconds in taken.items():
            self._seconds[at] = self._seconds.get(at, 0.0) + seconds

    def _count(self, node_id: str, since: float, now: Moment) -> None:
        """Counts from `since` (monotonic) until `now`, hour by hour, backwards."""
        left, end = max(0.0, now.monotonic - since), now.unix
        while left > 0.0:
            hour = int(end // HOUR)
            part = min(left, end - hour * HOUR) or min(left, float(HOUR))
            if end == hour * HOUR:
                hour -= 1
            self._seconds[node_id, hour] = self._seconds.get((node_id, hour), 0.0) + part
            left -= part
            end -= part
