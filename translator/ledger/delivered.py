"""How many tokens a client was sent, where its target does not say."""

from __future__ import annotations

from translator.ledger.answer_facts import Facts
from translator.ledger.lines import RequestLine
from translator.limits import Reservation

#: Where no text was found: a chat's events without a token, the role; at the end the finish reason and `[DONE]`.
_OPENING_EVENTS = 1
_CLOSING_EVENTS = 2
#: Of a plain answer: what stands around the text, and how many bytes a token of English takes.
_ENVELOPE_BYTES = 400
_BYTES_PER_TOKEN = 4
#: Bytes of text per event, on average, above which the events of a stream have several tokens each.
_LONGEST_TOKEN = 8
#: One event of a stream whose events were not counted: an id, a model's name, a token.
_BYTES_PER_EVENT = 200
#: Compressed, the same: events are much alike, and English takes about a third.
_CODED_BYTES_PER_EVENT = 16
_CODED_ENVELOPE_BYTES = 250


def completion_tokens(line: RequestLine, reservation: Reservation, facts: Facts) -> int:
    """About one for each event of a stream with text, unless these are longer than that; else by the text."""
    if reservation.tokens <= reservation.prompt:
        return 0  # nothing was reserved for output: embeddings and the like, whose answers are no text
    if line.events is not None and not facts.coded:
        return _by_events(line, line.events, facts)
    if facts.text:
        return facts.text // _BYTES_PER_TOKEN or 1
    if reservation.stream:
        return line.bytes_out // (_CODED_BYTES_PER_EVENT if facts.coded else _BYTES_PER_EVENT)
    if facts.coded:
        return max(0, line.bytes_out - _CODED_ENVELOPE_BYTES) * 3 // _BYTES_PER_TOKEN
    # A transcript may be nothing but text.
    return max(0, line.bytes_out - (0 if reservation.units else _ENVELOPE_BYTES)) // _BYTES_PER_TOKEN


def _by_events(line: RequestLine, counted: int, facts: Facts) -> int:
    """With no flags the stream came to its own end, and all its events were counted."""
    cut = _uncounted(line, counted) if line.flags else 0
    if facts.deltas:
        several = facts.text > _LONGEST_TOKEN * facts.deltas
        return max(facts.deltas + cut, facts.text // _BYTES_PER_TOKEN if several else 0)
    return max(0, counted + cut - _OPENING_EVENTS - (0 if line.flags else _CLOSING_EVENTS))


def _uncounted(line: RequestLine, counted: int) -> int:
    """Events of a cut stream, sent since they were last counted: as long as those before, by the bytes."""
    if not counted or not line.event_bytes:
        return 0
    return max(0, line.bytes_out - line.event_bytes) * counted // line.event_bytes
