"""How many tokens a request used: what its target reported, else an estimate from what was delivered."""

from __future__ import annotations

import msgspec

from translator.ledger import belief, reported
from translator.ledger.lines import RequestLine
from translator.ledger.reported import NO_FACTS, Facts, Reported
from translator.limits import Reservation

#: A chat stream's events that carry no token: the role; at its end the finish reason and `[DONE]`.
_OPENING_EVENTS = 1
_CLOSING_EVENTS = 2
#: Of a plain answer: what stands around the text, and how many bytes a token of English takes.
_ENVELOPE_BYTES = 400
_BYTES_PER_TOKEN = 4
#: Bytes of text per event, on average, above which the events of a stream have several tokens each.
_LONGEST_TOKEN = 8
#: One event of a stream whose events were not counted: an id, a model's name, a token.
_BYTES_PER_EVENT = 200


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """`cached`, `cache_write` (kept for 5 minutes) and `cache_write_1h` are of the prompt's, `reasoning` of the
    completion's, `audio_input` and `audio_output` of either's.

    What providers charge for beside tokens: `audio_ms` of audio that was heard, `search_units` of a rerank. `tier`
    is the service tier that the target says it used.

    `claimed_prompt` and `claimed_completion` are what the target claimed where that is more than the request could
    have used, which is billed instead; 0 elsewhere.
    """

    prompt: int
    cached: int
    completion: int
    reasoning: int
    estimated: bool = False
    cache_write: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    audio_output: int = 0
    audio_ms: int = 0
    search_units: int = 0
    tier: str = ""
    claimed_prompt: int = 0
    claimed_completion: int = 0

    @property
    def capped(self) -> bool:
        """Whether the target claimed more than is believed."""
        return self.claimed_prompt > 0 or self.claimed_completion > 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion


NOTHING = Tokens(0, 0, 0, 0)


def used(line: RequestLine, held: Reservation) -> Tokens:
    """The tokens to bill.

    A target's own report counts, within reason; what it leaves out is estimated. Without one, a request that
    failed or reached no target costs nothing, and any other is billed for the prompt and for what the client was
    sent until it or the target went away.
    """
    facts = NO_FACTS if line.usage is None else reported.read(line.usage)
    if facts.reported is None:
        if line.status >= 400 or not line.target:
            return NOTHING
        return Tokens(
            held.prompt,
            0,
            _delivered(line, held, facts),
            0,
            estimated=True,
            audio_ms=facts.audio_ms or 0,
            tier=facts.tier,
        )
    return _billed(facts.reported, facts, line, held)


def _billed(report: Reported, facts: Facts, line: RequestLine, held: Reservation) -> Tokens:
    prompt, completion, estimated = report.prompt, report.completion, False
    if prompt is None and completion is None and report.total is not None:
        # Prices differ, so it matters what is which; the completion is what was delivered.
        completion = min(_delivered(line, held, facts), report.total)
        prompt, estimated = report.total - completion, completion > 0
    elif prompt is None and completion is None:
        # Charged by another unit. What tokens it took is of no interest.
        prompt = completion = 0
    elif prompt is None:
        prompt, estimated = held.prompt, True
    elif completion is None:
        completion = _delivered(line, held, facts)
        estimated = completion > 0
    assert completion is not None  # noqa: S101 - each case above sets it
    claimed_prompt = claimed_completion = 0
    if prompt > line.bytes_in and prompt > (most := belief.most_prompt(line, held)):
        claimed_prompt, prompt = prompt, most
    if completion > (most := belief.most_completion(line, held, facts, report)):
        claimed_completion, completion = completion, most
    cached = min(report.cached, prompt)
    cache_write_1h = min(report.cache_write_1h, prompt - cached)
    return Tokens(
        prompt,
        cached,
        completion,
        min(report.reasoning, completion),
        estimated=estimated,
        cache_write=min(report.cache_write, prompt - cached - cache_write_1h),
        cache_write_1h=cache_write_1h,
        audio_input=min(report.audio_input, prompt),
        audio_output=min(report.audio_output, completion),
        audio_ms=facts.audio_ms or report.audio_ms or 0,
        search_units=report.search_units,
        tier=facts.tier,
        claimed_prompt=claimed_prompt,
        claimed_completion=claimed_completion,
    )


def _delivered(line: RequestLine, held: Reservation, facts: Facts) -> int:
    """Completion tokens in what the client was sent: about one for each event of a stream, unless these are longer
    than that; else by the text.
    """
    if held.tokens <= held.prompt:
        return 0  # nothing was reserved for output: embeddings and the like, whose answers are no text
    by_text = facts.text // _BYTES_PER_TOKEN
    if line.events is not None:
        events = line.events
        # With no flags the stream came to its own end, and all its events were counted.
        events += _uncounted(line) - _OPENING_EVENTS if line.flags else -_OPENING_EVENTS - _CLOSING_EVENTS
        several = facts.text > _LONGEST_TOKEN * line.events
        return max(0, events, by_text if several else 0)
    if facts.text:
        return by_text or 1
    if held.stream:
        return line.bytes_out // _BYTES_PER_EVENT
    return max(0, line.bytes_out - _ENVELOPE_BYTES) // _BYTES_PER_TOKEN


def _uncounted(line: RequestLine) -> int:
    """Events of a cut stream, sent since they were last counted: as long as those before, by the bytes."""
    if not line.events or not line.event_bytes:
        return 0
    return max(0, line.bytes_out - line.event_bytes) * line.events // line.event_bytes
