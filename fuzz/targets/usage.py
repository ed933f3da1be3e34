"""A usage object as a target reports it: tokens that add up, within what is believed, however it is written."""

from __future__ import annotations

import json

from translator.ledger.usage import reported

UNDER_TEST = ("translator.ledger.usage", "translator.ledger.lines")
MOST = 1 << 53


def check(data: bytes) -> None:
    """No usage, or counts within bounds; the same for the same object written in another way."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    tokens = reported(text)
    if tokens is None:
        return
    assert 0 <= tokens.cached <= tokens.prompt < MOST
    assert 0 <= tokens.reasoning <= tokens.completion < MOST
    assert not tokens.estimated
    assert reported(json.dumps(json.loads(text), indent=1)) == tokens
