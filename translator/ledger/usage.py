"""How many tokens a request used: what its target reported, else an estimate from what was delivered."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from translator.ledger.lines import RequestLine, number
from translator.limits import Reservation

#: A chat stream's events that carry no token: the role; at its end the finish reason and `[DONE]`.
_OPENING_EVENTS = 1
_CLOSING_EVENTS = 2
#: Of a plain answer: what stands around the text, and how many bytes a token of English takes.
_ENVELOPE_BYTES = 400
_BYTES_PER_TOKEN = 4
#: One event of a stream whose events were not counted: an id, a model's name, a token.
_BYTES_PER_EVENT = 200
_MOST_TOKENS = 1_000_000_000


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """`cached` are of the prompt's, `reasoning` of the completion's."""

    prompt: int
    cached: int
    completion: int
    reasoning: int
    estimated: bool = False

    @property
    def total(self) -> int:
        return self.prompt + self.completion


NOTHING = Tokens(0, 0, 0, 0)


def used(line: RequestLine, held: Reservation) -> Tokens:
    """The tokens to bill.

    A target's own report always counts. Without one, a request that failed or reached no target costs nothing, and
    any other is billed for the prompt and for what the client was sent until it or the target went away.
    """
    if line.usage is not None:
        tokens = reported(line.usage)
        if tokens is not None:
            return tokens
    if line.status >= 400 or not line.target:
        return NOTHING
    # Nothing was reserved for output: embeddings and the like, whose answers are no text.
    completion = _delivered(line, held) if held.tokens > held.prompt else 0
    return Tokens(held.prompt, 0, completion, 0, estimated=True)


def reported(text: str) -> Tokens | None:
    """From a `usage` object of Chat Completions, Completions, Embeddings or Responses; None if it is no such."""
    try:
        usage: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if type(usage) is not dict:
        return None
    get = usage.get
    prompt = _count(get("prompt_tokens") if "prompt_tokens" in usage else get("input_tokens"))
    completion = _count(get("completion_tokens") if "completion_tokens" in usage else get("output_tokens"))
    if prompt is None:
        if completion is None:
            return None
        prompt = 0
    elif completion is None:
        completion = 0
    inputs = get("prompt_tokens_details") or get("input_tokens_details")
    outputs = get("completion_tokens_details") or get("output_tokens_details")
    cached = _count(inputs.get("cached_tokens")) or 0 if type(inputs) is dict else 0
    reasoning = _count(outputs.get("reasoning_tokens")) or 0 if type(outputs) is dict else 0
    unlisted = (_count(get("total_tokens")) or 0) - prompt - completion
    if unlisted > 0:
        # Some providers leave reasoning out of the completion and count it in the total only; it is output.
        completion += unlisted
        reasoning = max(reasoning, unlisted)
    return Tokens(prompt, min(cached, prompt), completion, min(reasoning, completion))


def _count(value: object) -> int | None:
    if type(value) is not int:
        value = number(value)
    return value if value is not None and 0 <= value <= _MOST_TOKENS else None


def _delivered(line: RequestLine, held: Reservation) -> int:
    """Completion tokens in what the client was sent; about one per event."""
    if line.events is not None:
        if not line.flags:  # the stream came to its own end, and all its events were counted
            return max(0, line.events - _OPENING_EVENTS - _CLOSING_EVENTS)
        return max(0, line.events + _uncounted(line) - _OPENING_EVENTS)
    if held.stream:
        return line.bytes_out // _BYTES_PER_EVENT
    return max(0, line.bytes_out - _ENVELOPE_BYTES) // _BYTES_PER_TOKEN


def _uncounted(line: RequestLine) -> int:
    """Events of a cut stream, sent since they were last counted: as long as those before, by the bytes."""
    if not line.events or not line.event_bytes:
        return 0
    return max(0, line.bytes_out - line.event_bytes) * line.events // line.event_bytes
