"""Which bodies are read on the loop. `test_stalls.py` measures how long the worst of them hold it."""

from __future__ import annotations

import pytest

from translator.endpoints import BodyKind
from translator.reading.weight import is_light

BEGIN, END = b'{"model":"m","messages":[{"role":"user","content":"', b'"}]}'


@pytest.mark.parametrize(
    "text", [b"a", b"All work and no play. ", b"\\n    ", "\u00e9".encode(), b"\\u4e2dabcdefghijkl"]
)
def test_a_quarter_of_a_megabyte_of_text_is_light(text: bytes) -> None:
    body = BEGIN + text * (250_000 // len(text)) + END
    assert is_light(BodyKind.JSON, body)


@pytest.mark.parametrize("text", [b"\\u0000", b"\\ud83d\\ude00", b'\\"', b"[", b","])
def test_what_takes_long_for_its_bytes_is_not(text: bytes) -> None:
    body = BEGIN + text * (262_144 // len(text)) + END
    assert not is_light(BodyKind.JSON, body)


@pytest.mark.parametrize("text", [b"\\u0000", b"["])
def test_anything_short_is_light(text: bytes) -> None:
    assert is_light(BodyKind.JSON, BEGIN + text * (20_000 // len(text)) + END)
