"""The usage of a request: as its target reported it, or estimated from the request and the delivered answer."""

from __future__ import annotations

import msgspec

from translator.bodies import requested_units
from translator.ledger import answer_facts, plausibility
from translator.ledger.answer_facts import NO_FACTS, Facts
from translator.ledger.delivered import completion_tokens
from translator.ledger.lines import RequestLine
from translator.ledger.reported import Reported
from translator.ledger.units import with_units
from translator.limits import Reservation


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """Tokens and units of a request.

    `cached`, `cache_write` (stored for 5 minutes), `cache_write_1h` and `audio_input` are parts of the prompt,
    `reasoning` and `audio_output` of the completion; none overlaps another.

    Providers charge for more than tokens: `images` of a size and quality, milliseconds of sound heard or made,
    `characters` spoken, and `search_units` of a rerank. `tier` is the service tier that the target reported.

    `capped` says that the target claimed more than the request could have used, and that the bound is billed
    instead. `claimed_prompt` and `claimed_completion` are its claims then; 0 if they are plausible.
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
    images: int = 0
    image_size: str = ""
    image_quality: str = ""
    audio_in_ms: int = 0
    audio_out_ms: int = 0
    characters: int = 0
    search_units: int = 0
    tier: str = ""
    claimed_prompt: int = 0
    claimed_completion: int = 0
    capped: bool = False

    @property
    def has_units(self) -> bool:
        """True if anything other than tokens was used."""
        return bool(self.images or self.audio_in_ms or self.audio_out_ms or self.characters or self.search_units)

    @property
    def total(self) -> int:
        return self.prompt + self.completion


NOTHING = Tokens(0, 0, 0, 0)
#: Events of a stream that is only an error: the error, and `[DONE]`.
_ERROR_EVENTS = 2


def used(line: RequestLine, reservation: Reservation) -> Tokens:
    """Returns what to bill.

    A target's own report counts if it is plausible; what it leaves out is estimated. Without a report, a request
    that failed or reached no target costs nothing. Any other is billed for the prompt and for what the client was
    sent until it or the target left, or an operator ended the request.
    """
    if line.usage is not None and not reservation.units:
        tokens = _as_reported(line.usage, line, reservation)
        if tokens is not None:
            return tokens
    facts = NO_FACTS if line.usage is None else answer_facts.read(line.usage)
    units = requested_units.read(reservation.units) if reservation.units else None
    report = facts.reported
    if report is None or (units is None and report.prompt is report.completion is report.total is None):
        if report is None and (
            (line.status >= 400 and not line.cancelled)
            or not line.target
            or _is_only_error(facts, line, reservation)
        ):
            return NOTHING
        tokens = Tokens(
            reservation.prompt, 0, completion_tokens(line, reservation, facts), 0, estimated=True, tier=facts.tier
        )
    else:
        tokens = _billed(report, facts, line, reservation)
    return tokens if units is None else with_units(tokens, units, facts, line)


def _is_only_error(facts: Facts, line: RequestLine, reservation: Reservation) -> bool:
    """Returns whether a stream of status 200 has an error and nothing that was generated. Events of sound and of
    unfinished images have no text.
    """
    generated = facts.text or facts.items or (reservation.units and (line.events or 0) > _ERROR_EVENTS)
    return facts.failed and not generated


def _as_reported(text: str, line: RequestLine, reservation: Reservation) -> Tokens | None:
    """Returns the counts of a target's report in the usual form, if they agree and need no check, as in nearly all
    answers; else None. `_billed` gives the same result in four times the time.
    """
    facts = answer_facts.usual(text)
    if facts is None:
        return None
    usage = facts.usage
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if (
        completion is None
        or prompt + completion != usage.total_tokens
        or prompt > line.bytes_in
        or completion > (reservation.stated or facts.text or line.bytes_out)
        or (completion and plausibility.generates_nothing(reservation))
    ):
        return None
    cached = reasoning = 0
    if (inputs := usage.prompt_tokens_details) is not None:
        cached = inputs.cached_tokens or 0
        if inputs.audio_tokens or inputs.cache_write_tokens or cached > prompt:
            return None
    if (outputs := usage.completion_tokens_details) is not None:
        reasoning = outputs.reasoning_tokens or 0
        if outputs.audio_tokens or reasoning > completion:
            return None
    return Tokens(prompt, cached, completion, reasoning, tier=facts.tier)


def _billed(report: Reported, facts: Facts, line: RequestLine, reservation: Reservation) -> Tokens:
    prompt, completion, estimated = report.prompt, report.completion, False
    if prompt is None and completion is None and report.total is not None:
        # Prices differ between prompt and completion; the completion is what was delivered.
        completion = min(completion_tokens(line, reservation, facts), report.total)
        prompt, estimated = report.total - completion, completion > 0
    elif prompt is None and completion is None:
        prompt = completion = 0  # charged by other units
    elif prompt is None:
        prompt, estimated = reservation.prompt, True
    elif completion is None:
        completion = completion_tokens(line, reservation, facts)
        estimated = completion > 0
    assert completion is not None  # noqa: S101 - each case above sets it
    claimed_prompt = claimed_completion = 0
    if prompt > line.bytes_in and prompt > (most := plausibility.max_prompt(line, reservation)):
        claimed_prompt, prompt = prompt, most
    # This much is plausible for every target that generates text, so nearly all claims need no further check.
    looked_at = completion > (reservation.stated or facts.text or line.bytes_out) or (
        completion and plausibility.generates_nothing(reservation)
    )
    if looked_at and completion > (most := plausibility.max_completion(line, reservation, facts, report)):
        claimed_completion, completion = completion, most
    cached, cache_write, cache_write_1h = report.cached, report.cache_write, report.cache_write_1h
    reasoning, audio_input, audio_output = report.reasoning, report.audio_input, report.audio_output
    # Mostly the parts need not be bounded by the whole, of the prompt or of the completion.
    if cached or cache_write or cache_write_1h or audio_input:
        cached = min(cached, prompt)
        cache_write_1h = min(cache_write_1h, prompt - cached)
        cache_write = min(cache_write, prompt - cached - cache_write_1h)
        audio_input = min(audio_input, prompt - cached - cache_write - cache_write_1h)
    if reasoning or audio_output:
        reasoning = min(reasoning, completion)
        audio_output = min(audio_output, completion - reasoning)
    return Tokens(
        prompt,
        cached,
        completion,
        reasoning,
        estimated,
        cache_write,
        cache_write_1h,
        audio_input,
        audio_output,
        tier=facts.tier,
        claimed_prompt=claimed_prompt,
        claimed_completion=claimed_completion,
        capped=claimed_prompt > 0 or claimed_completion > 0,
    )
