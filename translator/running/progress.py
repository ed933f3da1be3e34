"""The progress of a running request, from the lines in which Envoy's module reports it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from translator.ledger.lines import attempted

_WORDS = 5


class Progress(NamedTuple):
    """`attempts` and `target` are 0 and empty until a target was asked. For a stream, `events` and `event_bytes`
    are those so far. `log_context` is the one that the request's line in the log will have; it begins with the
    request's id.
    """

    attempts: int
    events: int
    event_bytes: int
    target: str
    log_context: str

    @property
    def request_id(self) -> str:
        """The request's id, which is the first word of its log context."""
        return self.log_context.partition(" ")[0]


def read(lines: bytes) -> Iterator[Progress]:
    """Reads lines of `<attempts> <events> <bytes of them> <target or -> <log context>`; skips other lines."""
    for line in lines.decode("latin-1").splitlines():
        words = line.split(" ", _WORDS - 1)
        if len(words) < _WORDS or not all(word.isascii() and word.isdecimal() for word in words[:3]):
            continue
        attempts, events, event_bytes, target, context = words
        yield Progress(
            int(attempts), int(events), int(event_bytes), "" if target == "-" else attempted(target)[0], context
        )
