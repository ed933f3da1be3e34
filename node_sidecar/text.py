"""Prints text for people, and logs it; some of it comes from gateways and local servers."""

from __future__ import annotations

import unicodedata
from typing import Any

import click
from structlog.typing import EventDict, WrappedLogger


def visible(text: str, *, lines: bool = False) -> str:
    r"""Returns `text` with every invisible or misleading character escaped, such as `\x1b` and `\u202e`.

    Such characters are controls, line separators, direction marks, zero-width and unassigned characters. With
    `lines`, line feeds are kept.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each if _is_seen(each) or (lines and each == "\n") else each.encode("unicode_escape").decode()
        for each in text
    )


def say(text: str, *, lines: bool = False, err: bool = False) -> None:
    """Prints `text`, made visible."""
    click.echo(visible(text, lines=lines), err=err)


def make_visible(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A log processor for readable logs; JSON does its own escaping."""
    return {name: _made_visible(value) for name, value in event.items()}


def _made_visible(value: Any) -> Any:
    match value:
        case str():
            return visible(value)
        case list() | tuple():
            return [_made_visible(each) for each in value]
        case dict():
            return {_made_visible(name): _made_visible(each) for name, each in value.items()}
        case BaseException():
            return visible(str(value))
        case _:
            return value


def _is_seen(character: str) -> bool:
    # Python does not count spaces other than U+0020 as printable.
    return character.isprintable() or unicodedata.category(character) == "Zs"
