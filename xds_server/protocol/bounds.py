"""What one stream may ask for and hold: a client is not trusted to be reasonable, or to read what it asked for."""

from __future__ import annotations

from dataclasses import dataclass

#: Resource types that one stream may subscribe to; an Envoy uses five.
MAX_TYPES = 64
#: Names and versions of one type that one stream may list. A translator that reconnects lists every key it holds.
MAX_NAMES = 250_000
#: Bytes of a client's id, of its kind and software, and of a type's URL.
MAX_TEXT_BYTES = 256
#: Characters of a client's reason to refuse a push that are kept.
MAX_REASON = 4_000
#: Answers to responses that were never sent on the stream, after which it ends. A client that is merely late
#: answers what was sent.
MAX_UNKNOWN_ANSWERS = 100


@dataclass(frozen=True, slots=True)
class Portions:
    """The largest response in bytes, where one can be divided by names: a resource itself cannot.

    `first`: until the client has answered once on its stream, so that one that never reads costs little; `later`:
    from then on.
    """

    first: int = 64 * 1024
    later: int = 1024 * 1024
