"""Estimates how many tokens a client was sent if the target does not report them."""

from __future__ import annotations

from translator.ledger.answer_facts import Facts
from translator.ledger.lines import RequestLine
from translator.limits import Reservation

#: If no text was found: a chat's events without a token, which are the role, the finish reason and `[DONE]`.
_OPENING_EVENTS = 1
_CLOSING_EVENTS = 2
#: Bytes around the text of a plain answer, and bytes of a token of English.
_ENVELOPE_BYTES = 400
_BYTES_PER_TOKEN = 4
#: Average bytes of text per event above which the events of a stream have several tokens each.
_LONGEST_TOKEN = 8
#: Bytes of an event of a stream whose events were not counted: an id, a model's name, a token.
_BYTES_PER_EVENT = 200
#: The same if compressed: events resemble each other, and English shrinks to about a third.
_CODED_BYTES_PER_EVENT = 16
_CODED_ENVELOPE_BYTES = 250


def completion_tokens(line: RequestLine, reservation: Reservation, facts: Facts) -> int:
    """Returns about one token for each event of a stream that has text, unless the events are longer; else by the
    text.
    """
    if reservation.tokens <= reservation.prompt:
        return 0  # nothing was reserved for output, as for embeddings: the answer is not text
    if line.events is not None and not facts.coded:
        return _by_events(line, line.events, facts)
    if facts.text:
        return facts.text // _BYTES_PER_TOKEN or 1
    if reservation.stream:
        return line.bytes_out // (_CODED_BYTES_PER_EVENT if facts.coded else _BYTES_PER_EVENT)
    if facts.coded:
        return max(0, line.bytes_out - _CODED_ENVELOPE_BYTES) * 3 // _BYTES_PER_TOKEN
    # A transcript may consist of text only.
    return max(0, line.bytes_out - (0 if reservation.units else _ENVELOPE_BYTES)) // _BYTES_PER_TOKEN


def _by_events(line: RequestLine, counted: int, facts: Facts) -> int:
    """Returns the events. Without flags, the stream came to its own end and all its events were counted."""
    cut = _uncounted(line, counted) if line.flags else 0
    if facts.deltas:
        several = facts.text > _LONGEST_TOKEN * facts.deltas
        return max(facts.deltas + cut, facts.text // _BYTES_PER_TOKEN if several else 0)
    return max(0, counted + cut - _OPENING_EVENTS - (0 if line.flags else _CLOSING_EVENTS))


def _uncounted(line: RequestLine, counted: int) -> int:
    """Returns the events of a cut stream that were sent after the last count, assuming the size of those
    before.
    """
    if not counted or not line.event_bytes:
        return 0
    return max(0, line.bytes_out - line.event_bytes) * counted // line.event_bytes
