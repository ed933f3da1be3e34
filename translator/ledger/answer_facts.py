"""The facts in an answer that determine its cost.

Envoy's module finds the facts (envoy/module/places.c lists the places) and logs them as one JSON object: `usage`
as the target wrote it, or null, and if present `start` (the usage in an Anthropic stream's first event), `choices`
(the usage that each choice reports), `billed_units`, `timings`, `tier`, `seconds`, `size`, `quality`, `items` (the
length of the list `data`), `text` (bytes of generated text), `deltas` (events with such text), `failed` (an
event is an error), `too_long`, and `coding` (the content-encoding of an answer that could not be read).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import orjson

from translator.ledger.lines import number
from translator.ledger.reported import (
    MAX_TOKENS,
    Reported,
    as_milliseconds,
    of_choices,
    of_timings,
    of_usage,
    take_apart,
    with_start,
)

#: Digits of a number that is converted exactly.
_LONGEST_INTEGER = 20

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]


class Facts(msgspec.Struct, gc=False):
    """The facts. `reported` is None if no report counts anything; `audio_ms` is the answer's `duration`."""

    reported: Reported | None = None
    tier: str = ""
    audio_ms: int | None = None
    size: str = ""
    quality: str = ""
    #: The length of the list `data`, or the number of images sent as events.
    items: int = 0
    #: Bytes of generated text; 0 also if the answer's format shows none.
    text: int = 0
    #: Events of a stream that contain generated text.
    deltas: int = 0
    #: The target compressed its answer against the request's headers: nothing in it could be read.
    coded: bool = False
    #: The list `data` is there and empty.
    empty: bool = False
    #: An event of the stream is an error.
    failed: bool = False


NO_FACTS = Facts()


class UsualInputs(msgspec.Struct, gc=False):
    """Details of the prompt tokens by the names of Chat Completions and the Responses API. Other members are
    ignored.
    """

    cached_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None


class UsualOutputs(msgspec.Struct, gc=False):
    """Details of the completion tokens by the names of Chat Completions and the Responses API. Other members are
    ignored.
    """

    reasoning_tokens: _Count | None = None
    audio_tokens: _Count | None = None


class UsualUsage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The `usage` object of Chat Completions, with exactly these members."""

    prompt_tokens: _Count
    total_tokens: _Count
    completion_tokens: _Count | None = None
    prompt_tokens_details: UsualInputs | None = None
    completion_tokens_details: UsualOutputs | None = None


class UsualResponse(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The same counts by the names of the Responses API."""

    prompt_tokens: _Count = msgspec.field(name="input_tokens")
    total_tokens: _Count = msgspec.field()
    completion_tokens: _Count | None = msgspec.field(name="output_tokens", default=None)
    prompt_tokens_details: UsualInputs | None = msgspec.field(name="input_tokens_details", default=None)
    completion_tokens_details: UsualOutputs | None = msgspec.field(name="output_tokens_details", default=None)


class Usual(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """Facts with exactly these members, as in most answers. `_read_any` reads them with the same result, more
    slowly.
    """

    usage: UsualUsage
    tier: str = ""
    items: _Count | None = None
    text: _Count = 0
    deltas: _Count = 0


class UsualOfResponse(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The same facts as `Usual`, with the usage of the Responses API."""

    usage: UsualResponse
    tier: str = ""
    items: _Count | None = None
    text: _Count = 0
    deltas: _Count = 0


#: The beginning of the facts; a bare usage object cannot begin like this.
_FACTS = '{"usage":'
_usual = msgspec.json.Decoder(Usual).decode
_usual_of_response = msgspec.json.Decoder(UsualOfResponse).decode
_bare = msgspec.json.Decoder(UsualUsage).decode


def usual(text: str) -> Usual | UsualOfResponse | None:
    """Returns facts of the usual form as the log has them; None if only `read` can read them."""
    if not text.startswith(_FACTS):
        return None
    try:
        return _usual_of_response(text) if "input_tokens" in text else _usual(text)
    except (msgspec.MsgspecError, UnicodeError):
        return None


def read(text: str) -> Facts:
    """Reads facts from the log; returns `NO_FACTS` for anything but a JSON object.

    An older module logged the bare usage object, and a log that waited for the control plane may be full of them.
    """
    found = usual(text)
    if found is not None:
        made = Facts(_reported(found.usage), found.tier, None, "", "", found.items or 0, found.text, found.deltas)
        made.empty = found.items == 0
        return made
    try:
        return Facts(_reported(_bare(text)))
    except (msgspec.MsgspecError, UnicodeError):
        return _read_any(text)


def _reported(usage: UsualUsage | UsualResponse) -> Reported:
    prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    report = Reported(prompt, completion, total)
    if (inputs := usage.prompt_tokens_details) is not None:
        report.cached = inputs.cached_tokens or 0
        report.audio_input = inputs.audio_tokens or 0
        report.cache_write = inputs.cache_write_tokens or 0
    if (outputs := usage.completion_tokens_details) is not None:
        report.reasoning = outputs.reasoning_tokens or 0
        report.audio_output = outputs.audio_tokens or 0
    take_apart(report)
    return report


def _parsed(text: str) -> Any:
    """Parses JSON, and what servers in Python write instead: NaN, infinities, numbers of any length and halves of
    surrogate pairs. None for anything else. A target's other statistics must not hide its counts.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text, strict=False, parse_int=_integer)
        except (ValueError, RecursionError):
            return None


def _integer(digits: str) -> int | float:
    """Returns the number; Python refuses to convert very long ones exactly."""
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


def _read_any(text: str) -> Facts:
    facts = _parsed(text)
    if type(facts) is not dict:
        return NO_FACTS
    if "usage" not in facts:
        return Facts(of_usage(facts))
    if len(facts) == 1:
        return Facts(of_usage(facts["usage"]), _tier_in(facts["usage"]))
    return Facts(
        _of_facts(facts),
        _word(facts.get("tier")) or _tier_in(facts["usage"]) or _tier_in(facts.get("start")),
        as_milliseconds(facts.get("seconds")),
        _word(facts.get("size")),
        _word(facts.get("quality")),
        number(facts.get("items")) or 0,
        number(facts.get("text")) or 0,
        number(facts.get("deltas")) or 0,
        bool(facts.get("coding")),
        facts.get("items") == 0,
        facts.get("failed") is True,
    )


def _of_facts(facts: Mapping[str, Any]) -> Reported | None:
    found = of_usage(facts["usage"])
    if found is None and "choices" in facts:
        found = of_choices(facts["choices"])
    if "start" in facts:
        found = with_start(found, of_usage(facts["start"]))
    if found is None and "timings" in facts:
        found = of_timings(facts["timings"])
    units = of_usage(facts.get("billed_units"))
    if units is not None and found is not None and units.search_units:
        found.search_units = units.search_units
    return found or units


def _tier_in(usage: object) -> str:
    """Returns the service tier in a report, where Anthropic states it; `standard` is what others leave out."""
    tier = _word(usage.get("service_tier")) if type(usage) is dict else ""
    return "" if tier == "standard" else tier


def _word(value: object) -> str:
    return value if type(value) is str else ""
