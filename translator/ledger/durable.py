"""Small files that are replaced atomically: JSON after a line with the format and a checksum, synced to the
disk.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson

from translator.errors import LedgerFileError
from translator.replacing import replace

_FORMAT = b"trunkline ledger 1 "


def load(path: Path) -> dict[str, Any] | None:
    """Returns what was saved last; None if there is no file.

    Raises:
        LedgerFileError: the file is damaged, of another format, or cannot be read.
    """
    try:
        head, _, content = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerFileError(f"{path.name} cannot be read: {error.strerror}") from error
    if head != _FORMAT + hashlib.sha256(content).hexdigest().encode():
        raise LedgerFileError(f"{path.name} is damaged, or of a format that this version does not know")
    value = orjson.loads(content)
    if type(value) is not dict:
        raise LedgerFileError(f"{path.name} does not hold an object")
    return value


def save(path: Path, content: bytes) -> None:
    """Replaces the file by JSON `content`, which survives a power cut on return. Raises OSError."""
    replace(path, (_FORMAT, hashlib.sha256(content).hexdigest().encode(), b"\n", content))
