"""The file in which `trunkline login` keeps a user's token: `$XDG_CONFIG_HOME/trunkline/login.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trunkline import credentials
from trunkline.errors import UsageError


@dataclass(frozen=True, slots=True)
class Login:
    """`control` is the only address to which the token is sent."""

    control: str = ""
    token: str = field(default="", repr=False)
    email: str = ""
    token_id: str = ""


def path(environment: Mapping[str, str] = os.environ) -> Path:
    """Returns the path of the file, which may not exist."""
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".config")
    return Path(base) / "trunkline" / "login.json"


def load(environment: Mapping[str, str] = os.environ) -> Login:
    """Loads the file; returns empty values if nobody is signed in. Raises UsageError for an invalid file."""
    where = path(environment)
    try:
        stored = json.loads(where.read_text())
        return Login(**{name: str(stored.get(name, "")) for name in Login.__dataclass_fields__})
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return Login()
    except (ValueError, AttributeError, OSError) as error:
        raise UsageError(f"{where} cannot be read: remove it, and sign in again with `trunkline login`") from error


def store(login: Login, environment: Mapping[str, str] = os.environ) -> Path:
    """Replaces the file atomically. Returns its path. Raises UsageError."""
    where = path(environment)
    try:
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        credentials.write_secret(where, json.dumps(asdict(login), indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {where}: {error.strerror}") from error
    return where


def remove(environment: Mapping[str, str] = os.environ) -> None:
    """Removes the stored sign-in, if there is one."""
    path(environment).unlink(missing_ok=True)
