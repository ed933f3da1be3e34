"""Tracks how far one client is with one type: what it holds, what is still to be sent, what it has not
answered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set as AbstractSet
from dataclasses import dataclass

from xds_server.protocol.bounds import MAX_NAMES
from xds_server.protocol.errors import BoundsError
from xds_server.protocol.interest import Interest
from xds_server.protocol.push import Nack, Push, TypeProgress
from xds_server.protocol.snapshot import WILDCARD_TYPES, Resource

#: Version of a name that the client knows not to exist. Real versions are never empty.
ABSENT = ""


class Backlog:
    """Names to send, with the first and the last point in time (stream sequence) that added one."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.owed = False
        self.since = 0
        self.at = 0
        self._descending: list[str] | None = None

    def __bool__(self) -> bool:
        return self.owed or bool(self.names)

    def add(self, name: str, sequence: int) -> None:
        """Adds a resource that changed at `sequence`."""
        self._mark(sequence)
        if name not in self.names:
            self.names.add(name)
            self._descending = None

    def owe(self, sequence: int) -> None:
        """Makes a response due even if it turns out to be empty."""
        self._mark(sequence)
        self.owed = True

    def ordered(self) -> Iterator[str]:
        """Yields the names in an order that all streams have in common, so that they can share encoded
        responses.
        """
        if self._descending is None:
            self._descending = sorted(self.names, reverse=True)
        return (name for name in reversed(self._descending) if name in self.names)

    def take(self, names: Collection[str]) -> None:
        """Removes `names`, which are sent; a response is no longer due."""
        self.owed = False
        self.names.difference_update(names)
        while self._descending and self._descending[-1] not in self.names:
            self._descending.pop()

    def clear(self) -> None:
        """Empties the backlog, once a response includes everything."""
        self.names = set()
        self.owed = False
        self._descending = None

    def reaches(self, sequence: int) -> bool:
        """Returns whether something from `sequence` or before is still here."""
        return bool(self) and self.since <= sequence

    def _mark(self, sequence: int) -> None:
        if not self:
            self.since = sequence
        self.at = sequence


@dataclass(frozen=True, slots=True)
class Pending:
    """The only unanswered push; `since` is the oldest change in it."""

    push: Push
    since: int
    removal: bool


class Subscription:
    """The state of one type on one stream.

    `reports_absence`: the protocol variant can say that a name does not exist. `reports_removal`: it can say that
    a name no longer exists.
    """

    def __init__(self, type_url: str, *, reports_absence: bool, reports_removal: bool, full_state: bool) -> None:
        self.type_url = type_url
        self.interest = Interest(legacy_wildcard=type_url in WILDCARD_TYPES)
        self.full_state = full_state
        self.held: dict[str, str] = {}
        self.forced: set[str] = set()
        self.updates = Backlog()
        self.removals = Backlog()
        self.pending: Pending | None = None
        self.last_nonce = ""
        self._reports_absence = reports_absence
        self._reports_removal = reports_removal
        self._rejected: set[str] = set()
        self._refusal: Nack | None = None
        self._accepted_revision = 0
        self._acks = 0
        self._nacks = 0

    def refused_names(self) -> AbstractSet[str]:
        """Returns the names of pushes that the client refused and that were not corrected yet."""
        return self._rejected

    def known_names(self) -> set[str]:
        """Returns every name that this subscription has recorded anything about."""
        return self.held.keys() | self.updates.names | self.removals.names | self.forced

    def require_bounds(self, versions: int = 0) -> None:
        """Raises BoundsError if the client lists too many names, or claims to hold too many `versions`."""
        names = max(len(self.interest.named), versions)
        if names > MAX_NAMES:
            raise BoundsError(f"{self.type_url}: {names:,} names are listed; accepted: at most {MAX_NAMES:,}")

    def note_changes(self, names: AbstractSet[str], resources: Mapping[str, Resource], sequence: int) -> None:
        """Records that the content of `names` changed.

        A refused push is withdrawn as a whole. The client may have refused a good resource because of a bad one in
        the same push, so all of them are sent again with the first change to any of them.
        """
        if self._rejected and not self._rejected.isdisjoint(names):
            self._retry_rejected(resources, sequence)
        self.refresh(names if self.interest.wildcard else names & self.interest.named, resources, sequence)

    def force(self, names: AbstractSet[str], resources: Mapping[str, Resource], sequence: int) -> None:
        """Sends `names` whether or not the client holds them."""
        self.forced |= names
        self.refresh(names, resources, sequence)

    def refresh(self, names: Iterable[str], resources: Mapping[str, Resource], sequence: int) -> None:
        """Sorts `names` into updates, removals or neither, by what is wanted, what is held and what exists."""
        self._sort(names, resources, sequence)
        unwanted = {name for name in self._rejected if not self.interest.wants(name)}
        if unwanted:
            # The client no longer asks for a resource that may have been the bad one, so the others of its push
            # get another chance.
            self._rejected -= unwanted
            self._retry_rejected(resources, sequence)
            self._clear_refusal()

    def _sort(self, names: Iterable[str], resources: Mapping[str, Resource], sequence: int) -> None:
        for name in names:
            resource = resources.get(name)
            update = removal = False
            if not self.interest.wants(name):
                self.held.pop(name, None)
                self.forced.discard(name)
            elif resource is not None:
                update = name in self.forced or self.held.get(name) != resource.version
            elif name in self.forced and self._reports_absence:
                update = True
            elif self.held.get(name, ABSENT) != ABSENT:
                removal = self._reports_removal
                if not removal:
                    # This protocol variant cannot withdraw the name, so nothing more is said about it.
                    del self.held[name]
                    self._rejected.discard(name)
                    self._clear_refusal()
            _place(self.updates, name, update, sequence)
            _place(self.removals, name, removal, sequence)

    def sent(
        self, push: Push, versions: Mapping[str, str], *, removal: bool, taken: Collection[str] | None = None
    ) -> None:
        """Records that `push` was sent with the `versions` of `push.names`. `taken` are the backlog's names in it;
        None: all.
        """
        backlog = self.removals if removal else self.updates
        self.pending = Pending(push, backlog.since, removal)
        self.last_nonce = push.nonce
        self.held.update(versions)
        for name in push.removed:
            if name in self.interest.named:
                self.held[name] = ABSENT
            else:
                self.held.pop(name, None)
        self.forced.difference_update(push.names, push.removed)
        if taken is None:
            backlog.clear()
        else:
            backlog.take(taken)

    def accepted(self) -> None:
        """Records that the pending push was acknowledged."""
        push = self._take_pending()
        self._acks += 1
        self._accepted_revision = push.revision
        self._rejected.difference_update(push.names, push.removed)
        if self.full_state:
            self._rejected.clear()
        self._clear_refusal()

    def refused(self, reason: str, resources: Mapping[str, Resource], sequence: int) -> Nack:
        """Records that the pending push was refused, for `reason` in the client's own words."""
        push = self._take_pending()
        self._nacks += 1
        refusal = self._refusal = Nack(push.type_url, push.names or push.removed, reason, push.revision)
        relevant = {name for name in push.names if self._can_be_corrected(name, resources)}
        self._rejected |= relevant
        changed = self.updates.names | self.removals.names
        if len(relevant) < len(push.names) or not changed.isdisjoint(relevant):
            # The content or the subscription changed while the push was in flight: that may be the correction.
            self._retry_rejected(resources, sequence)
        if push.names and not relevant:
            self._clear_refusal()
        return refusal

    def _can_be_corrected(self, name: str, resources: Mapping[str, Resource]) -> bool:
        return self.interest.wants(name) and (self._reports_removal or name in resources)

    def unsent(self, sequence: int) -> bool:
        """Returns whether an addition or update from `sequence` or before waits to be sent."""
        return self.updates.reaches(sequence)

    def unanswered(self, sequence: int) -> bool:
        """Returns whether an addition or update from `sequence` or before is in flight."""
        return self.pending is not None and not self.pending.removal and self.pending.since <= sequence

    def settled(self, sequence: int) -> bool:
        """Returns whether everything up to `sequence` was sent and answered, removals included."""
        if self.updates.reaches(sequence) or self.removals.reaches(sequence):
            return False
        return self.pending is None or self.pending.since > sequence

    def keep_up(self, revision: int) -> None:
        """Records that the client runs `revision`, if nothing is left to send, answer or correct."""
        if self.pending is None and self._refusal is None and not self.updates and not self.removals:
            self._accepted_revision = revision

    def _retry_rejected(self, resources: Mapping[str, Resource], sequence: int) -> None:
        again = self._rejected & resources.keys()
        self.forced |= again
        self._sort(again, resources, sequence)

    def _take_pending(self) -> Push:
        if self.pending is None:
            raise RuntimeError(f"no push of {self.type_url} is waiting for an answer")
        push, self.pending = self.pending.push, None
        return push

    def _clear_refusal(self) -> None:
        if not self._rejected:
            self._refusal = None

    def progress(self) -> TypeProgress:
        """Describes what the client has of this type, for `status`."""
        return TypeProgress(
            type_url=self.type_url,
            accepted_revision=self._accepted_revision,
            unanswered=self.pending.push.nonce if self.pending else "",
            waiting=bool(self.updates) or bool(self.removals),
            refusal=self._refusal,
            acks=self._acks,
            nacks=self._nacks,
        )


def _place(backlog: Backlog, name: str, belongs: bool, sequence: int) -> None:
    if belongs:
        backlog.add(name, sequence)
    else:
        backlog.names.discard(name)
