"""Listings as a table, JSON or CSV."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import click

from trunkline.text import as_json, csv_cell, visible

Row = Mapping[str, Any]

output_option: Callable[..., Any] = click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How to print it.",
)


def render(rows: Sequence[Row], columns: Sequence[str], output: str, *, right: Collection[str] = ()) -> str:
    """`rows` with their `columns`, in that order. JSON keeps lists and numbers; the others get text.

    `right` are the columns of numbers, which a table aligns to the right.
    """
    if output == "json":
        return as_json([{name: row[name] for name in columns} for row in rows])
    if output == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [columns, *([_csv_cell(row[name]) for name in columns] for row in rows)]
        )
        return text.getvalue().rstrip("\n")
    from tabulate import tabulate  # noqa: PLC0415 - only tables need it

    cells = [[visible(_cell(row[name])) for name in columns] for row in rows]
    headers = [name.replace("_", " ") for name in columns]
    if not rows:
        return "(none)"
    aligned = ["right" if name in right else "left" for name in columns]
    return str(tabulate(cells, headers=headers, tablefmt="plain", disable_numparse=True, colalign=aligned))


def when(seconds: float) -> str | None:
    """Unix seconds as UTC in ISO 8601; None for 0, which stands for never."""
    return (
        datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
    )


def _csv_cell(value: Any) -> str:
    return _cell(value) if isinstance(value, int | float) else csv_cell(_cell(value))


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_cell, value))
        case _:
            return str(value)
