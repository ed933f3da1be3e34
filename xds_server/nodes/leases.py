"""Leases as a heap: a renewal costs a dictionary's entry, an expiry a heap's pop, whatever the number of nodes."""

from __future__ import annotations

import heapq


class Leases:
    """Deadlines by node, in seconds of one monotonic clock.

    A node has one entry in the heap at most. A renewal leaves it where it is: it is moved on when it comes up.
    """

    def __init__(self) -> None:
        self._deadlines: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._queued: set[str] = set()

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._deadlines

    def __len__(self) -> int:
        return len(self._deadlines)

    def grant(self, node_id: str, deadline: float) -> None:
        """Begins or renews. A deadline before the present one takes effect when that comes up."""
        self._deadlines[node_id] = deadline
        if node_id not in self._queued:
            self._queued.add(node_id)
            heapq.heappush(self._heap, (deadline, node_id))

    def drop(self, node_id: str) -> None:
        """Ends it without an expiry."""
        self._deadlines.pop(node_id, None)

    def extend_all(self, deadline: float) -> None:
        """Makes every lease last until `deadline` at least."""
        self._deadlines = {node_id: max(deadline, until) for node_id, until in self._deadlines.items()}

    def expired(self, now: float) -> list[str]:
        """The nodes whose leases ended by `now`; they are told once."""
        ended: list[str] = []
        while self._heap and self._heap[0][0] <= now:
            _, node_id = heapq.heappop(self._heap)
            deadline = self._deadlines.get(node_id)
            if deadline is None or deadline <= now:
                self._queued.discard(node_id)
                if deadline is not None:
                    del self._deadlines[node_id]
                    ended.append(node_id)
            else:
                heapq.heappush(self._heap, (deadline, node_id))
        return ended
