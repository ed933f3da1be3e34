"""Formats tables for people, no wider than their terminal.

On a narrow terminal, empty columns are left out first, then the least important ones; what is still too wide is
cut at its end and marked with an ellipsis. Wide (East Asian) characters count as two columns, combining ones as
none.
"""

from __future__ import annotations

import sys
import textwrap
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

_GAP = "  "
#: A column is left out rather than cut to less than this. Times and most names fit.
_NARROWEST = 20
#: The minimum width of values next to the names of a single object.
_NARROWEST_VALUE = 16


# Compared by identity, because two columns may have the same content.
@dataclass(frozen=True, eq=False)
class Column:
    """`cells` are printable text; `important` is its rank among the columns, 0 for the last to be left out."""

    title: str
    cells: Sequence[str]
    important: int = 0
    right: bool = False

    @cached_property
    def width(self) -> int:
        return max(map(width_of, (self.title, *self.cells)))


def table(columns: Sequence[Column], width: int | None) -> str:
    """Returns the lines of a table of at most `width` columns; None for no limit.

    A remark below it says what was left out or cut, and how to see it.
    """
    widths = {each: each.width for each in columns}
    if width is None or _total(list(widths.values())) <= width:
        return _lines(columns, widths)
    shown = _chosen(columns, width)
    fitting = _shrunk(shown, width)
    hidden = [each.title for each in columns if each not in shown]
    return f"{_lines(shown, fitting)}\n{_remark(hidden, width)}"


def pairs(fields: Sequence[tuple[str, str]], width: int | None) -> str:
    """Formats the names and values of one object, a line each; long values continue below where they began."""
    title = max((width_of(name) for name, _ in fields), default=0)
    lines = []
    for name, value in fields:
        head = _padded(name, title, right=False) + _GAP
        room = None if width is None else max(_NARROWEST_VALUE, width - title - len(_GAP))
        first, *more = [value] if room is None else _wrapped(value, room)
        lines += [f"{head}{first}".rstrip(), *(f"{' ' * len(head)}{each}" for each in more)]
    return "\n".join(lines)


def width_of(text: str) -> int:
    """Returns the number of terminal columns of `text`."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def cut(text: str, width: int) -> str:
    """Returns `text` if it fits into `width` columns, else its beginning and an ellipsis."""
    if width_of(text) <= width:
        return text
    mark = _ellipsis()
    room, taken = width - len(mark), 0
    for index, character in enumerate(text):
        taken += _width(character)
        if taken > room:
            return text[:index] + mark
    return text


def _chosen(columns: Sequence[Column], width: int) -> list[Column]:
    """Returns as many columns as fit at their minimum widths; at least one."""
    shown = list(columns)
    by_use = sorted(columns, key=lambda each: (any(each.cells), -each.important))
    for each in by_use[:-1]:
        if _total([min(one.width, _least(one)) for one in shown]) <= width:
            break
        shown.remove(each)
    return shown


def _least(column: Column) -> int:
    """Returns the minimum width of a column. Numbers are never cut: a cut number would be a different one."""
    return column.width if column.right else max(_NARROWEST, width_of(column.title))


def _shrunk(columns: Sequence[Column], width: int) -> dict[Column, int]:
    """Shrinks the widest columns until all fit."""
    widths = {each: each.width for each in columns}
    excess = _total(list(widths.values())) - width
    while excess > 0:
        able = [each for each in columns if widths[each] > min(each.width, _least(each))]
        if not able:  # one column is left, and it is too wide
            widest = max(columns, key=lambda each: widths[each])
            widths[widest] = max(1, widths[widest] - excess)
            break
        widths[max(able, key=lambda each: widths[each])] -= 1
        excess -= 1
    return widths


def _lines(columns: Sequence[Column], widths: dict[Column, int]) -> str:
    rows = zip(*((each.title, *each.cells) for each in columns), strict=True)
    return "\n".join(
        _GAP.join(
            _padded(cut(cell, widths[column]), widths[column], right=column.right)
            for column, cell in zip(columns, row, strict=True)
        ).rstrip()
        for row in rows
    )


def _remark(hidden: Sequence[str], width: int) -> str:
    """Returns the remark about hidden or cut columns, in parentheses."""
    remark = f"not shown: {', '.join(hidden)}; --wide shows all" if hidden else "cut to fit; --wide shows all"
    return "\n".join(cut(line, width) for line in textwrap.wrap(f"({remark})", max(1, width)))


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def _wrapped(text: str, width: int) -> list[str]:
    """Returns lines of at most `width` columns, broken between words if possible."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(joined) <= width:
            lines[-1] = joined
            continue
        lines.append("")
        for character in word:
            if width_of(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return [each for each in lines if each] or [""]


def _total(widths: Collection[int]) -> int:
    return sum(widths) + len(_GAP) * max(0, len(widths) - 1)


def _width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _ellipsis() -> str:
    try:
        "…".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "~"
    return "…"
