"""The units other than tokens that providers charge for: images, seconds of sound, characters and searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from translator.bodies import requested_units
from translator.bodies.requested_units import RequestedUnits
from translator.ledger import plausibility
from translator.ledger.answer_facts import Facts
from translator.ledger.lines import RequestLine

if TYPE_CHECKING:
    from translator.ledger.usage import Tokens

#: Completion tokens of an image by its quality, as OpenAI's models make it; 1.5 times as many if it is not square.
_IMAGE_TOKENS = {"low": 272, "medium": 1_056, "high": 4_160, "hd": 4_160}
_SQUARE = frozenset({"", "auto", "1024x1024", "512x512", "256x256"})
#: Requests that leave a size or quality to the target, and how qualities compare.
_OPEN = frozenset({"", "auto"})
_QUALITIES = {"low": 0, "standard": 1, "medium": 1, "high": 2, "hd": 2}
#: Bytes a second of speech by its format, as OpenAI sends it; MP3 if the request does not say.
_SPEECH_BYTES = {"wav": 48_000, "pcm": 48_000, "flac": 24_000, "opus": 6_000, "aac": 16_000}
_MP3_BYTES = 20_000
#: Bytes of an event with sound, besides the sound itself.
_AROUND_SOUND = 50


def with_units(tokens: Tokens, units: RequestedUnits, facts: Facts, line: RequestLine) -> Tokens:
    """Adds the requested units: as the target reports them, if that is plausible, else as they were requested."""
    match units.kind:
        case requested_units.IMAGES:
            return _images(tokens, units, facts)
        case requested_units.SPEECH:
            spoken = tokens if facts.reported is not None else replace(tokens, completion=0)
            made = _sound_bytes(line) * 1000 // _SPEECH_BYTES.get(units.size, _MP3_BYTES)
            return replace(spoken, characters=units.count, audio_out_ms=made)
        case requested_units.TRANSCRIPTION:
            return _sound(tokens, units, facts)
        case _:
            return _searches(tokens, units, facts, line)


def _sound_bytes(line: RequestLine) -> int:
    """Returns the bytes of the sound in an answer: events have it as base64, in an object around it."""
    if line.events is None:
        return line.bytes_out
    return max(0, line.bytes_out - line.events * _AROUND_SOUND) * 3 // 4


def _images(tokens: Tokens, units: RequestedUnits, facts: Facts) -> Tokens:
    """Counts images, including those that a cut stream had not finished: they are made and charged
    nevertheless.
    """
    made = 0 if facts.empty else facts.items or units.count
    images = min(made, max(1, units.count))
    claimed_size, claimed_quality = facts.size.lower(), facts.quality.lower()
    size = _within_request(claimed_size, units.size, _pixels)
    quality = _within_request(claimed_quality, units.quality, _QUALITIES.get)
    claimed_better = (claimed_size or size, claimed_quality or quality) != (size, quality)
    if facts.reported is None:
        each = _IMAGE_TOKENS.get(quality, _IMAGE_TOKENS["medium"])
        tokens = replace(tokens, completion=images * (each if size in _SQUARE else each * 3 // 2))
    return replace(
        tokens,
        images=images,
        image_size=size,
        image_quality=quality,
        capped=tokens.capped or made > images or claimed_better,
    )


def _within_request(claimed: str, requested: str, measure: Callable[[str], int | None]) -> str:
    """Returns the target's word for a size or quality, unless the request states another one and the target's is
    not known to be less.
    """
    if not claimed or requested in _OPEN:
        return claimed or requested
    least, most = measure(claimed), measure(requested)
    return claimed if least is not None and most is not None and least <= most else requested


def _pixels(size: str) -> int | None:
    width, _, height = size.partition("x")
    return int(width) * int(height) if width.isdecimal() and height.isdecimal() else None


def _sound(tokens: Tokens, units: RequestedUnits, facts: Facts) -> Tokens:
    reported = facts.reported.audio_ms if facts.reported is not None else None
    if reported is None:
        reported = facts.audio_ms
    if reported is None:
        return replace(tokens, audio_in_ms=-(-units.count // 1_000) * 1_000)  # reports count started seconds
    heard = min(reported, plausibility.max_audio_ms(units))
    return replace(tokens, audio_in_ms=heard, capped=tokens.capped or reported > heard)


def _searches(tokens: Tokens, units: RequestedUnits, facts: Facts, line: RequestLine) -> Tokens:
    reported = facts.reported.search_units if facts.reported is not None else 0
    if not reported:
        return replace(tokens, search_units=-(-units.count // requested_units.DOCUMENTS_PER_SEARCH))
    searched = min(reported, plausibility.max_searches(units.count, line.bytes_in))
    return replace(tokens, search_units=searched, capped=tokens.capped or reported > searched)
