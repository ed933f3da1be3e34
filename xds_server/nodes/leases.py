"""Keeps leases in a heap: a renewal updates a dictionary entry, and an expiry pops the heap, regardless of the
number of nodes.
"""

from __future__ import annotations

import heapq


class Leases:
    """Deadlines by node, in seconds of one monotonic clock.

    A renewal leaves the node's heap entry where it is; the entry is moved on when it comes up. A deadline before
    the entry's, as after a drop, gets an entry of its own; the older one is skipped.
    """

    def __init__(self) -> None:
        self._deadlines: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._queued: dict[str, float] = {}

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._deadlines

    def __len__(self) -> int:
        return len(self._deadlines)

    def grant(self, node_id: str, deadline: float) -> None:
        """Begins or renews a lease."""
        self._deadlines[node_id] = deadline
        if node_id not in self._queued or deadline < self._queued[node_id]:
            self._queue(node_id, deadline)

    def drop(self, node_id: str) -> None:
        """Ends a lease without an expiry."""
        self._deadlines.pop(node_id, None)

    def extend_all(self, deadline: float) -> None:
        """Makes every lease last until `deadline` at least."""
        self._deadlines = {node_id: max(deadline, until) for node_id, until in self._deadlines.items()}

    def expired(self, now: float) -> list[str]:
        """Returns the nodes whose leases ended by `now`, each once."""
        ended: list[str] = []
        while self._heap and self._heap[0][0] <= now:
            at, node_id = heapq.heappop(self._heap)
            if self._queued.get(node_id) != at:
                continue
            deadline = self._deadlines.get(node_id)
            if deadline is None or deadline <= now:
                del self._queued[node_id]
                if deadline is not None:
                    del self._deadlines[node_id]
                    ended.append(node_id)
            else:
                self._queue(node_id, deadline)
        return ended

    def _queue(self, node_id: str, at: float) -> None:
        self._queued[node_id] = at
        heapq.heappush(self._heap, (at, node_id))
