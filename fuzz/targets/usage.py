"""A target's usage report: the billed amounts add up within bounds, in any format."""

from __future__ import annotations

import json

import orjson
from msgspec.structs import replace

from tests.translator.ledger.writing import request_line, reservation
from translator.ledger import lines, plausibility, usage

UNDER_TEST = tuple(
    f"translator.ledger.{name}"
    for name in ("answer_facts", "reported", "usage", "units", "delivered", "plausibility")
)
MAX = 1 << 53
_RESERVATION = reservation("r1")


def _parsed(text: bytes) -> lines.RequestLine:
    line = lines.parse(text)
    assert line is not None
    return line


_LINE = _parsed(request_line("r1").rstrip())


def check(data: bytes) -> bool:
    """Checks that counts are within bounds, and the same for the same report in another format."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    line = replace(_LINE, usage=text)
    tokens = usage.used(line, _RESERVATION)
    assert tokens.cached >= 0 <= tokens.cache_write
    assert 0 <= tokens.cached + tokens.cache_write + tokens.cache_write_1h <= tokens.prompt
    assert 0 <= tokens.reasoning <= tokens.completion < MAX
    assert 0 <= tokens.audio_input <= tokens.prompt
    assert 0 <= tokens.audio_output <= tokens.completion
    assert tokens.audio_in_ms >= 0 <= tokens.search_units
    assert tokens.prompt <= max(line.bytes_in, plausibility.max_prompt(line, _RESERVATION))
    assert tokens.claimed_prompt == 0 or tokens.claimed_prompt > tokens.prompt
    assert tokens.claimed_completion == 0 or tokens.claimed_completion > tokens.completion
    try:
        orjson.loads(text)  # refuses numbers that json.loads reads as infinite
        rewritten = json.dumps(json.loads(text), indent=1, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    assert usage.used(replace(_LINE, usage=rewritten), _RESERVATION) == tokens
    return not tokens.estimated
