"""Other people's text in messages: short and readable, and no terminal obeys it."""

from __future__ import annotations

import pytest

from xds_server.quoting import quoted


@pytest.mark.parametrize("text", ["Ключ", "模型", "עברית", "é 🦊", "a\u00a0b"])
def test_text_of_every_script_stays_readable(text: str) -> None:
    assert quoted(text) == f'"{text}"'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2J", r"a\x1b[2J"),
        ("a\nb", r"a\nb"),
        ("\u202eevil", r"\u202eevil"),
        ("\u200b", r"\u200b"),
        ("\ud800", r"\ud800"),
        (r"\x1b", r"\\x1b"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert quoted(text) == f'"{shown}"'


def test_long_text_is_cut() -> None:
    assert quoted("я" * 1000) == f'"{"я" * 80}…"'
