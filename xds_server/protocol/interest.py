"""Which names of one type a stream wants (xDS protocol, "How the client specifies what resources to return")."""

from __future__ import annotations

from collections.abc import Collection

WILDCARD = "*"


class Interest:
    """Names and the wildcard.

    `legacy_wildcard`: an empty request means "*" as long as the stream never named anything for the type. Only
    types that a client takes as a whole have it; for EDS and RDS an empty list is just that.
    """

    def __init__(self, *, legacy_wildcard: bool) -> None:
        self.wildcard = False
        self.named: set[str] = set()
        self._legacy_wildcard = legacy_wildcard
        self._explicit = False

    def wants(self, name: str) -> bool:
        """Whether a resource of that name would be sent."""
        return self.wildcard or name in self.named

    def replace(self, names: Collection[str]) -> frozenset[str]:
        """State of the world: the whole list, every time. Returns the names (or "*") asked for anew."""
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
        """Delta: what is added and taken away. Returns the names that were really taken away (and "*")."""
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
