"""Values that a stream hands to its transport, and its reports about itself."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Push:
    """One response, ready to be written.

    `shared` are the bytes that other streams' responses have in common with this one, `own` the bytes of this
    stream. `names` are the resources that the response adds or changes. In a state-of-the-world response of CDS or
    LDS the unchanged resources are in `payload` too, but not in `names`. `removed` are the names that the response
    reports as nonexistent.
    """

    type_url: str
    nonce: str
    shared: bytes = field(repr=False)
    own: bytes = field(repr=False)
    names: tuple[str, ...]
    removed: tuple[str, ...]
    revision: int

    @property
    def size(self) -> int:
        """Returns the size of the payload in bytes."""
        return len(self.shared) + len(self.own)

    @property
    def payload(self) -> bytes:
        """Assembles the message again on each call, so that only what is being written holds a copy."""
        return b"".join((self.shared, self.own))


@dataclass(frozen=True, slots=True)
class Nack:
    """A NACK: the resources of one push, the client's reason in its own words, and the snapshot's revision."""

    type_url: str
    names: tuple[str, ...]
    reason: str
    revision: int


@dataclass(frozen=True, slots=True)
class TypeProgress:
    """A client's progress with one type.

    `refusal` stays until the refused content is accepted in another form. `unanswered` is the nonce of the push in
    flight, or empty. `waiting` is true while changes are held back.
    """

    type_url: str
    accepted_revision: int
    unanswered: str
    waiting: bool
    refusal: Nack | None
    acks: int
    nacks: int
