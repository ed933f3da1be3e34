"""What a request used: what its target reported, else an estimate from what was asked for and delivered."""

from __future__ import annotations

import msgspec

from translator import requested_units
from translator.ledger import answer_facts, plausibility
from translator.ledger.answer_facts import NO_FACTS, Facts
from translator.ledger.delivered import completion_tokens
from translator.ledger.lines import RequestLine
from translator.ledger.reported import Reported
from translator.ledger.units import with_units
from translator.limits import Reservation


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """`cached`, `cache_write` (kept for 5 minutes), `cache_write_1h` and `audio_input` are parts of the prompt,
    `reasoning` and `audio_output` of the completion; none overlaps another.

    What providers charge for beside tokens: `images` of a size and quality, milliseconds of sound that was heard
    or made, `characters` that were spoken, `search_units` of a rerank. `tier` is the service tier that the target
    says it used.

    `capped` tells that the target claimed more than the request could have used, which is billed instead.
    `claimed_prompt` and `claimed_completion` are what it claimed where that is too much of them; 0 elsewhere.
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
        """Whether there is something beside tokens."""
        return bool(self.images or self.audio_in_ms or self.audio_out_ms or self.characters or self.search_units)

    @property
    def total(self) -> int:
        return self.prompt + self.completion


NOTHING = Tokens(0, 0, 0, 0)


def used(line: RequestLine, reservation: Reservation) -> Tokens:
    """What to bill.

    A target's own report counts, within reason; what it leaves out is estimated. Without one, a request that
    failed or reached no target costs nothing, and any other is billed for the prompt and for what the client was
    sent until it or the target went away, or an operator ended it.
    """
    if line.usage is not None and not reservation.units:
        tokens = _as_reported(line.usage, line, reservation)
        if tokens is not None:
            return tokens
    facts = NO_FACTS if line.usage is None else answer_facts.read(line.usage)
    units = requested_units.read(reservation.units) if reservation.units else None
    report = facts.reported
    if report is None or (units is None and report.prompt is report.completion is report.total is None):
        if report is None and ((line.status >= 400 and not line.cancelled) or not line.target):
            return NOTHING
        tokens = Tokens(
            reservation.prompt, 0, completion_tokens(line, reservation, facts), 0, estimated=True, tier=facts.tier
        )
    else:
        tokens = _billed(report, facts, line, reservation)
    return tokens if units is None else with_units(tokens, units, facts, line)


def _as_reported(text: str, line: RequestLine, reservation: Reservation) -> Tokens | None:
    """Returns what a target reports in the usual form, where its counts agree and need no second look, as those of
    nearly all answers; None for all others. `_billed` would come to the same, in four times the time.
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
        # Prices differ, so it matters what is which; the completion is what was delivered.
        completion = min(completion_tokens(line, reservation, facts), report.total)
        prompt, estimated = report.total - completion, completion > 0
    elif prompt is None and completion is None:
        prompt = completion = 0  # charged by another unit
    elif prompt is None:
        prompt, estimated = reservation.prompt, True
    elif completion is None:
        completion = completion_tokens(line, reservation, facts)
        estimated = completion > 0
    assert completion is not None  # noqa: S101 - each case above sets it
    claimed_prompt = claimed_completion = 0
    if prompt > line.bytes_in and prompt > (most := plausibility.most_prompt(line, reservation)):
        claimed_prompt, prompt = prompt, most
    # At least so much is believed of every target, so nearly all claims need no look.
    if completion > (reservation.stated or facts.text or line.bytes_out) and completion > (
        most := plausibility.most_completion(line, reservation, facts, report)
    ):
        claimed_completion, completion = completion, most
    cached, cache_write, cache_write_1h = report.cached, report.cache_write, report.cache_write_1h
    reasoning, audio_input, audio_output = report.reasoning, report.audio_input, report.audio_output
    # Most often there is nothing to be kept within the whole, of the prompt or of the completion.
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
