"""Tracks which names of one type a stream wants (xDS protocol, "How the client specifies what resources to
return").
"""

from __future__ import annotations

from collections.abc import Collection

WILDCARD = "*"


class Interest:
    """The names that a stream wants, and the wildcard.

    `legacy_wildcard`: an empty request means "*" as long as the stream has never named a resource of the type.
    This holds only for types that a client takes as a whole; for EDS and RDS an empty list means no resources.
    """

    def __init__(self, *, legacy_wildcard: bool) -> None:
        self.wildcard = False
        self.named: set[str] = set()
        self._legacy_wildcard = legacy_wildcard
        self._explicit = False

    def wants(self, name: str) -> bool:
        """Returns whether a resource of that name would be sent."""
        return self.wildcard or name in self.named

    def replace(self, names: Collection[str]) -> frozenset[str]:
        """Replaces the whole list, as state-of-the-world requests do. Returns the names (or "*") that are new."""
        asked = set(names)
        self._explicit = self._explicit or bool(asked)
        wildcard = WILDCARD in asked or (self._legacy_wildcard and not self._explicit)
        asked.discard(WILDCARD)
        new = asked - self.named
        if wildcard and not self.wildcard:
            new.add(WILDCARD)
        self.wildcard, self.named = wildcard, asked
        return frozenset(new)

    def change(self, subscribe: Collection[str], unsubscribe: Collection[str]) -> frozenset[str]:
        """Adds and removes names, as delta requests do. Returns the names (or "*") that were really removed."""
        gone = self.named.intersection(unsubscribe)
        self.named -= gone
        if self.wildcard and WILDCARD in unsubscribe:
            self.wildcard = False
            gone.add(WILDCARD)
        if subscribe or unsubscribe:
            self._explicit = True
            self.wildcard = self.wildcard or WILDCARD in subscribe
        elif self._legacy_wildcard and not self._explicit:
            self.wildcard = True
        self.named.update(name for name in subscribe if name != WILDCARD)
        return frozenset(gone)
