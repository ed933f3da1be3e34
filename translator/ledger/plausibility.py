"""Bounds the usage that a target may plausibly claim by what the request could have used at most.

These are bounds, not estimates: an honest target never reaches them with any tokeniser. docs/usage.md gives
the reasons for each figure.
"""

from __future__ import annotations

from translator.bodies import requested_units
from translator.bodies.requested_units import ABOUT, RequestedUnits
from translator.ledger.answer_facts import Facts
from translator.ledger.lines import RequestLine
from translator.ledger.reported import Reported
from translator.limits import Reservation

#: Tokens of the templates around messages and tools, and of a system prompt that the target adds.
_TEMPLATES = 4_096
#: Tokens of the largest image per reserved token: 49,000 instead of 765.
_LARGEST_MEDIUM = 64
#: Tokens that a target may add to the prompt: an earlier response, files, pages that it finds, in several rounds.
_OUTSIDE = 10_000_000
#: Tokens of hidden reasoning: in all, at once, and for each millisecond.
_HIDDEN = 131_072
_HIDDEN_AT_ONCE = 4_096
_HIDDEN_PER_MS = 10
_BYTES_PER_TOKEN = 4
#: More bytes than a token of ordinary text has on average.
_LONGEST_TOKEN = 8


def max_prompt(line: RequestLine, reservation: Reservation) -> int:
    """Returns the most plausible prompt tokens. A token has at least one byte, templates repeat names, and media
    can have more tokens than bytes.
    """
    size = line.bytes_in or reservation.prompt * _BYTES_PER_TOKEN
    media = max(0, reservation.prompt - size // _BYTES_PER_TOKEN) * _LARGEST_MEDIUM
    return size * 3 // 2 + _TEMPLATES + media + (_OUTSIDE if reservation.outside else 0)


def generates_nothing(reservation: Reservation) -> bool:
    """Returns whether the endpoint generates no tokens: embeddings, moderations, rerank. Images, sound and
    transcripts are counted in tokens by some targets.
    """
    kind = reservation.units[:1]
    return kind == requested_units.RERANK or (not kind and reservation.tokens == reservation.prompt)


def max_completion(line: RequestLine, reservation: Reservation, facts: Facts, report: Reported) -> int:
    """Returns the most plausible completion tokens.

    The request's own maximum counts if it states one. It includes reasoning unless the target counts that
    separately. Only the text that was really sent can prove that the target ignored the maximum. Without a
    maximum, the sent text has at least one byte per token, and the rest is reasoning.
    """
    if generates_nothing(reservation):
        return 0
    hidden = min(_HIDDEN, _HIDDEN_AT_ONCE + _HIDDEN_PER_MS * line.duration_ms)
    if reservation.stated:
        ignored = facts.text > reservation.stated * _LONGEST_TOKEN
        return (facts.text // _BYTES_PER_TOKEN if ignored else reservation.stated) + min(report.apart, hidden)
    return (facts.text or line.bytes_out) + hidden


def max_audio_ms(units: RequestedUnits) -> int:
    """Returns the most plausible milliseconds of sound. Some providers charge for at least ten seconds, and a
    guessed length may belong to a lower bit rate.
    """
    if units.size == ABOUT:
        return units.count * 10 + 60_000
    return units.count * 11 // 10 + 10_000


def max_searches(documents: int, size: int) -> int:
    """Returns the most plausible search units of a rerank with a body of `size` bytes: long documents count
    several times.
    """
    return 1 + (documents + size // 50) // 100
