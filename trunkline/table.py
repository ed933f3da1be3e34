"""Tables for people, no wider than their terminal.

A narrow terminal loses empty columns first, then the least important ones; what is still too wide is cut at its
end and marked with an ellipsis. Wide (East Asian) characters count as two columns, combining ones as none.
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
#: Of the values beside the names of a single object.
_NARROWEST_VALUE = 16


# Two columns may hold the same: they are told apart by being different objects.
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
    """The lines of a table of at most `width` columns; None for no limit.

    Below it stands what was left out or cut, and how to see it.
    """
    widths = {each: each.width for each in columns}
    if width is None or _total(list(widths.values())) <= width:
        return _lines(columns, widths)
    shown = _chosen(columns, width)
    fitting = _shrunk(shown, width)
    hidden = [each.title for each in columns if each not in shown]
    return f"{_lines(shown, fitting)}\n{_remark(hidden, width)}"


def pairs(fields: Sequence[tuple[str, str]], width: int | None) -> str:
    """The names and values of one object, a line each; long values go on below where they began."""
    title = max((width_of(name) for name, _ in fields), default=0)
    lines = []
    for name, value in fields:
        head = _padded(name, title, right=False) + _GAP
        room = None if width is None else max(_NARROWEST_VALUE, width - title - len(_GAP))
        first, *more = [value] if room is None else _wrapped(value, room)
        lines += [f"{head}{first}".rstrip(), *(f"{' ' * len(head)}{each}" for each in more)]
    return "\n".join(lines)


def width_of(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def cut(text: str, width: int) -> str:
    """`text` if it fits into `width` columns, else its beginning and an ellipsis."""
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
    """As many as fit when all are as narrow as they may be; at least one."""
    shown = list(columns)
    by_use = sorted(columns, key=lambda each: (any(each.cells), -each.important))
    for each in by_use[:-1]:
        if _total([min(one.width, _least(one)) for one in shown]) <= width:
            break
        shown.remove(each)
    return shown


def _least(column: Column) -> int:
    """A number that is cut is another number."""
    return column.width if column.right else max(_NARROWEST, width_of(column.title))


def _shrunk(columns: Sequence[Column], width: int) -> dict[Column, int]:
    """Takes what is too much from the widest columns."""
    widths = {each: each.width for each in columns}
    excess = _total(list(widths.values())) - width
    while excess > 0:
        able = [each for each in columns if widths[each] > min(each.width, _least(each))]
        if not able:  # one column is left, and even that is too wide
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
    """What is not seen, in parentheses."""
    told = f"not shown: {', '.join(hidden)}; --wide shows all" if hidden else "cut to fit; --wide shows all"
    return "\n".join(cut(line, width) for line in textwrap.wrap(f"({told})", max(1, width)))


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken between words where that is possible."""
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
