"""Prints listings as a table, JSON or CSV.

On a terminal, a table fits its width (COLUMNS in the environment overrides it). With `--wide`, and in a file or a
pipe, it has all columns and nothing is cut.
"""

from __future__ import annotations

import csv
import datetime
import io
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import click

from trunkline import table
from trunkline.text import as_json, csv_cell, visible

Row = Mapping[str, Any]

_WIDE = "trunkline.output.wide"
_DEFAULT_WIDTH = 80


def _is_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.params["output"] = "json"


def _is_wide(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[_WIDE] = value


def output_option(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --output, its short form --json, and --wide; passes `output` to the command."""

    def chosen(ctx: click.Context, param: click.Parameter, value: str) -> str:
        return "json" if ctx.params.get("output") == "json" else value

    for option in (
        click.option(
            "--wide",
            is_flag=True,
            expose_value=False,
            callback=_is_wide,
            help="Show all columns, regardless of the width.",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_is_json,
            help="Same as --output json.",
        ),
        click.option(
            "--output",
            "-o",
            type=click.Choice(["table", "json", "csv"]),
            default="table",
            show_default=True,
            callback=chosen,
            help="Output format.",
        ),
    ):
        verb = option(verb)
    return verb


def is_wide() -> bool:
    """Returns whether --wide was given."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(_WIDE))


def render(
    rows: Sequence[Row],
    columns: Sequence[str],
    output: str,
    *,
    right: Collection[str] = (),
    important: Sequence[str] = (),
) -> str:
    """Formats `rows` with their `columns`, in that order. JSON keeps lists and numbers; the other formats get
    text.

    `right` are the columns of numbers, which a table aligns to the right. `important` are the columns that a
    narrow terminal keeps longest, most important first; the rest follow in their order.
    """
    if output == "json":
        return as_json([{name: row[name] for name in columns} for row in rows])
    if output == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [columns, *([_csv_cell(row[name]) for name in columns] for row in rows)]
        )
        return text.getvalue().rstrip("\n")
    if not rows:
        return "(none)"
    ranks = {name: rank for rank, name in enumerate(dict.fromkeys((*important, *columns)))}
    return table.table(
        [
            table.Column(
                name.replace("_", " "),
                [visible(_cell(row[name])) for row in rows],
                ranks[name],
                right=name in right,
            )
            for name in columns
        ],
        width(),
    )


def render_fields(fields: Mapping[str, Any]) -> str:
    """Formats the names and values of one object for people: one line each, wrapped on a terminal."""
    return table.pairs(
        [(name.replace("_", " "), visible(_cell(value))) for name, value in fields.items()], width()
    )


def width() -> int | None:
    """Returns the maximum width of a table; None for no limit."""
    if is_wide() or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size((_DEFAULT_WIDTH, 24)).columns


def when(seconds: float) -> str | None:
    """Formats Unix seconds as UTC in ISO 8601; None for 0, which means never."""
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
