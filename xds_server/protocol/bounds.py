"""Bounds on what one stream may request and hold. Clients are not trusted to be reasonable, or to read what they
requested.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Resource types that one stream may subscribe to; an Envoy uses five.
MAX_TYPES = 64
#: Names and versions of one type that one stream may list. A translator that reconnects lists every key it holds.
MAX_NAMES = 250_000
#: Bytes of a client's id, of its kind and software, and of a type's URL.
MAX_TEXT_BYTES = 256
#: Characters that are kept of a client's reason for refusing a push.
MAX_REASON = 4_000
#: Answers to responses that were never sent on the stream, after which the stream ends. A client that is merely
#: late answers responses that were sent.
MAX_UNKNOWN_ANSWERS = 100


@dataclass(frozen=True, slots=True)
class ResponseBounds:
    """The largest response in bytes, for a response that can be divided by resource names; a single resource
    cannot.

    `first` applies until the client has answered once on its stream, so that a client that never reads costs
    little. `later` applies from then on.
    """

    first: int = 64 * 1024
    later: int = 1024 * 1024
