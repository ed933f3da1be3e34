"""Remembers which clients named resources before: the version with which a client returns does not show which
names it dropped.
"""

from __future__ import annotations

from collections import OrderedDict

#: Clients and types that are remembered; the entry that was recorded longest ago is forgotten first.
_MAX = 10_000


class ReturningClients:
    """The clients that named resources of a type on any stream of one server."""

    def __init__(self, most: int = _MAX) -> None:
        self._named: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._most = most

    def note(self, client_id: str, type_url: str) -> bool:
        """Records that the client names resources of a type on a new stream. Returns whether it did so on an
        earlier one.
        """
        key = client_id, type_url
        returns = key in self._named
        self._named[key] = None
        self._named.move_to_end(key)
        if len(self._named) > self._most:
            self._named.popitem(last=False)
        return returns
