"""Writes exported records to files as they arrive."""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from trunkline_proto.ledger.v1.ledger_pb2 import UsageRecord

from trunkline.errors import UsageError
from trunkline.text import as_json, csv_cell
from trunkline.usage_rows import RECORD_COLUMNS, record_row

Rows = Sequence[Mapping[str, Any]]


def write(pages: Iterable[Rows], form: str, path: Path | None) -> int:
    """Writes every page and returns the number of records. `path` None is standard output.

    A file gets its name when it is complete. Raises UsageError if it cannot be written.
    """
    if path is None:
        if form == "parquet":
            raise UsageError("--format parquet needs --file PATH")
        return _TEXT[form](pages, sys.stdout)
    partial = path.with_name(path.name + ".partial")
    try:
        written = _to_file(pages, form, partial)
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"--file {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return written


def _to_file(pages: Iterable[Rows], form: str, path: Path) -> int:
    if form == "parquet":
        return _parquet(pages, path)
    with path.open("w", encoding="utf-8", newline="") as file:
        return _TEXT[form](pages, file)


def _csv(pages: Iterable[Rows], file: TextIO) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(RECORD_COLUMNS)
    written = 0
    for page in pages:
        for row in page:
            writer.writerow([_cell(row[name]) for name in RECORD_COLUMNS])
        written += len(page)
    return written


def _json_lines(pages: Iterable[Rows], file: TextIO) -> int:
    written = 0
    for page in pages:
        file.writelines(as_json(row, indent=None) + "\n" for row in page)
        written += len(page)
    return written


_TEXT: Mapping[str, Callable[[Iterable[Rows], TextIO], int]] = {"csv": _csv, "json": _json_lines}


def _parquet(pages: Iterable[Rows], path: Path) -> int:
    with _pyarrow() as (arrow, parquet):
        attempt = arrow.struct(
            [
                ("target_id", arrow.string()),
                ("credential_index", arrow.int64()),
                ("duration_us", arrow.int64()),
                ("status", arrow.int64()),
                ("reason", arrow.string()),
            ]
        )
        # The types are those of an empty record; the only list is that of failed attempts.
        kinds = {int: arrow.int64(), bool: arrow.bool_(), str: arrow.string(), list: arrow.list_(attempt)}
        empty = record_row(UsageRecord())
        schema = arrow.schema([(name, kinds[type(empty[name])]) for name in RECORD_COLUMNS])
        written = 0
        with parquet.ParquetWriter(path, schema) as writer:
            for page in pages:
                writer.write_table(arrow.Table.from_pylist(list(page), schema=schema))
                written += len(page)
        return written


@contextmanager
def _pyarrow() -> Iterator[tuple[Any, Any]]:
    """Imported here: it is large, and only this format needs it."""
    try:
        modules = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError("--format parquet needs pyarrow: pip install 'trunkline[parquet]'") from error
    yield modules


def _cell(value: Any) -> Any:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return csv_cell(as_json(value, indent=None)) if value else ""
        case str():
            return csv_cell(value)
        case _:
            return value
