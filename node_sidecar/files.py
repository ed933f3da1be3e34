"""Files that only their owner can read, replaced atomically.

On Windows, files have the permissions of the directory, from which the installer removes everybody else.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from node_sidecar.errors import SettingsError


def private_directory(path: Path) -> Path:
    """Creates the directory `path` and its parents, and makes it accessible only to this user.

    Raises:
        SettingsError: it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix" and path.stat().st_uid == os.getuid():
            path.chmod(0o700)
    except OSError as error:
        raise SettingsError(f"--state-dir: {path} cannot be used: {error.strerror}") from error
    return path


def write_private(path: Path, content: bytes) -> None:
    """Replaces `path` atomically; after a crash it holds the old content or the new one. Mode 0600.

    Raises:
        OSError: the disk is full, or the directory cannot be written.
    """
    # mkstemp opens with 0600, so the content is never readable by others.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
