"""Providers' formats for reporting usage: every field name in use, mapped to one set of counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from translator.ledger.lines import number

#: The largest count; sums of such counts fit into 64 bits.
MAX_TOKENS = 1_000_000_000_000
_MAX_MS = 100 * 24 * 3_600_000

_INPUTS = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count")
_OUTPUTS = ("completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count")
_TOTALS = ("total_tokens", "totalTokenCount", "total_token_count")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
#: Tokens read from a cache, in a field next to the counts rather than in their details: Moonshot, DeepSeek,
#: Anthropic, Gemini.
_CACHED = (
    *("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", "num_cached_tokens"),
    *("cachedContentTokenCount", "cached_content_token_count"),
)
_THOUGHTS = ("thoughtsTokenCount", "thoughts_token_count")
_TOOL_USE = ("toolUsePromptTokenCount", "tool_use_prompt_token_count")
#: Gemini's lists of `{modality, tokenCount}`.
_INPUT_MODALITIES = ("promptTokensDetails", "prompt_tokens_details")
_OUTPUT_MODALITIES = ("candidatesTokensDetails", "candidates_tokens_details")
_SECONDS = ("seconds", "prompt_audio_seconds", "duration")
#: The counts that Cohere charges for, and those of the model, as objects of their own.
_NESTED = ("billed_units", "tokens")
#: Other spellings, without `_` and in lower case: Bedrock, Vercel, Hunyuan, watsonx.
_RENAMED = {
    name.replace("_", ""): name
    for name in (
        *(*_INPUTS, *_OUTPUTS, *_TOTALS, *_CACHED, *_INPUT_DETAILS, *_OUTPUT_DETAILS),
        *("reasoning_tokens", "audio_tokens", "cache_creation_input_tokens"),
    )
    if name.islower()
} | {
    "inputtokencount": "input_tokens",
    "outputtokencount": "output_tokens",
    "generatedtokencount": "output_tokens",
    "cachedinputtokens": "cached_tokens",
    "cachewriteinputtokens": "cache_creation_input_tokens",
}


class Reported(msgspec.Struct, gc=False):
    """Counts that the target reported; prompt and completion are None if they are missing. `total` matters only if
    one of them is missing.

    `cached`, `cache_write` (5 minutes) and `cache_write_1h` are parts of the prompt's tokens, `reasoning` of the
    completion's, and `audio_input` and `audio_output` of one of them each.
    """

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    #: Reasoning that the target counts in addition to its completion.
    apart: int = 0
    audio_input: int = 0
    audio_output: int = 0
    audio_ms: int | None = None
    search_units: int = 0


def of_usage(usage: object) -> Reported | None:
    """Returns the counts of a usage object; None if it counts nothing."""
    if type(usage) is not dict:
        return None
    found = _counted(usage)
    if found is None or found.prompt is found.completion is found.total is None:
        for counts in (*(usage.get(name) for name in _NESTED), _renamed(usage)):
            if type(counts) is dict and (elsewhere := _counted(counts)) is not None:
                return elsewhere
    return found


def _counted(usage: Mapping[str, Any]) -> Reported | None:
    """Returns the counts by their usual names."""
    prompt, completion, total = _first(usage, _INPUTS), _first(usage, _OUTPUTS), _first(usage, _TOTALS)
    found = Reported(prompt, completion, total)
    found.audio_ms = next((ms for name in _SECONDS if (ms := as_milliseconds(usage.get(name))) is not None), None)
    found.search_units = as_count(usage.get("search_units")) or 0
    if prompt is None and completion is None and total is None:
        return found if found.audio_ms is not None or found.search_units else None
    inputs, outputs = _details(usage, _INPUT_DETAILS), _details(usage, _OUTPUT_DETAILS)
    found.audio_input = as_count(inputs.get("audio_tokens")) or _modality(usage, _INPUT_MODALITIES, "AUDIO")
    found.audio_output = as_count(outputs.get("audio_tokens")) or _modality(usage, _OUTPUT_MODALITIES, "AUDIO")
    found.cached = as_count(inputs.get("cached_tokens")) or _first(usage, _CACHED) or 0
    _cache_writes(found, usage, inputs)
    if prompt is not None:
        # Anthropic counts cache reads and writes in addition to `input_tokens`; servers that translate that to
        # `prompt_tokens` mostly include them.
        separate = found.cached + found.cache_write + found.cache_write_1h
        named = "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage
        if named and separate and "prompt_tokens" not in usage and total != prompt + (completion or 0):
            found.prompt = prompt + separate
        elif tool_use := _first(usage, _TOOL_USE):
            found.prompt = prompt + tool_use
    found.reasoning = as_count(outputs.get("reasoning_tokens")) or as_count(usage.get("reasoning_tokens")) or 0
    if thoughts := _first(usage, _THOUGHTS):
        found.reasoning = found.apart = thoughts
        found.completion = (completion or 0) + thoughts
    take_apart(found)
    return found


def _renamed(usage: Mapping[str, Any], levels: int = 2) -> Mapping[str, Any]:
    """Returns the members that have a usual name in another spelling, also those of their own members."""
    if not levels:
        return {}
    return {
        usual: _renamed(value, levels - 1) if type(value) is dict else value
        for name, value in usage.items()
        if (usual := _RENAMED.get(name.replace("_", "").lower())) is not None
    }


def _cache_writes(found: Reported, usage: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    written = as_count(usage.get("cache_creation_input_tokens")) or as_count(inputs.get("cache_write_tokens")) or 0
    by_time = usage.get("cache_creation")
    if type(by_time) is dict:
        long = as_count(by_time.get("ephemeral_1h_input_tokens")) or 0
        short = as_count(by_time.get("ephemeral_5m_input_tokens")) or 0
        found.cache_write_1h = long
        found.cache_write = max(short, written - long)
    else:
        found.cache_write = written


def take_apart(found: Reported) -> None:
    """Adds what a target counts in addition to prompt and completion: tokens of its cache to the prompt, reasoning
    to the completion.

    A part that is larger than its whole, or by which the total is larger, is such a count. What else is in the
    total alone is reasoning.
    """
    prompt, completion, total = found.prompt, found.completion, found.total
    separate = found.cached + found.cache_write + found.cache_write_1h
    if separate and prompt is not None:
        listed = total is None or completion is None or total != prompt + completion + separate
        if separate > prompt or not (listed or found.reasoning == separate):
            prompt = found.prompt = prompt + separate
    if completion is not None and found.reasoning > completion:
        found.apart = found.reasoning
        completion = found.completion = completion + found.reasoning
    if total is None:
        return
    if prompt is None or completion is None:
        # With a total, one of prompt and completion gives the other.
        if prompt is not None:
            found.completion = max(0, total - prompt)
        elif completion is not None:
            found.prompt = max(0, total - completion)
        return
    unlisted = total - prompt - completion
    if unlisted > 0:
        found.completion = completion + unlisted
        found.apart += unlisted
        found.reasoning = max(found.reasoning, unlisted)


def of_choices(usages: object) -> Reported | None:
    """Adds up counts that each choice reports for itself: each counts the prompt again, and its own completion."""
    if type(usages) is not list:
        return None
    found = [each for usage in usages if (each := of_usage(usage)) is not None]
    if not found:
        return None
    merged = max(found, key=lambda each: each.prompt or 0)
    merged.completion = _sum(each.completion for each in found)
    merged.total = None if merged.completion is not None else _sum(each.total for each in found)
    merged.reasoning = sum(each.reasoning for each in found)
    merged.apart = sum(each.apart for each in found)
    merged.audio_output = sum(each.audio_output for each in found)
    return merged


def with_start(last: Reported | None, start: Reported | None) -> Reported | None:
    """Combines the counts of a stream whose first event has the prompt and whose last event has the completion."""
    if last is None or start is None:
        return last or start
    if not last.prompt:
        last.prompt, last.cached, last.audio_input = start.prompt, start.cached, start.audio_input
        last.cache_write, last.cache_write_1h = start.cache_write, start.cache_write_1h
    if last.completion is None:
        last.completion = start.completion
    return last


def of_timings(timings: object) -> Reported | None:
    """Returns the counts of llama.cpp, whose `prompt_n` are the tokens that were not in its cache."""
    if type(timings) is not dict:
        return None
    prompt, completion = as_count(timings.get("prompt_n")), as_count(timings.get("predicted_n"))
    if prompt is None or completion is None:
        return None
    cached = as_count(timings.get("cache_n")) or 0
    return Reported(prompt + cached, completion, cached=cached)


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _first(usage: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in usage and (count := as_count(usage[name])) is not None:
            return count
    return None


def _details(usage: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    for name in names:
        if type(details := usage.get(name)) is dict:
            return details
    return {}


def _modality(usage: Mapping[str, Any], names: tuple[str, ...], modality: str) -> int:
    for name in names:
        if type(details := usage.get(name)) is list:
            for each in details:
                if type(each) is dict and each.get("modality") == modality:
                    return _first(each, ("tokenCount", "token_count")) or 0
    return 0


def as_count(value: object) -> int | None:
    """Returns a count; None for anything else, and the largest count for a larger number."""
    if type(value) is int:
        return min(value, MAX_TOKENS) if value >= 0 else None
    if type(value) is float and value >= MAX_TOKENS:
        return MAX_TOKENS
    count = number(value)
    return None if count is None else min(count, MAX_TOKENS)


def as_milliseconds(seconds: object) -> int | None:
    """Returns milliseconds, rounded up like providers do, at most `_MAX_MS`; None for anything but a length of
    time.
    """
    if type(seconds) is str:
        try:
            seconds = float(seconds)
        except ValueError:
            return None
    if type(seconds) is not int and type(seconds) is not float:
        return None
    if not seconds >= 0:  # NaN is neither
        return None
    return -int(-seconds * 1000 // 1) if seconds * 1000 < _MAX_MS else _MAX_MS
