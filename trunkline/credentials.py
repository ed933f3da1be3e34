"""`<data-dir>/credentials.json`: what people and admin commands need to use the gateway on this machine."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trunkline.errors import UsageError


@dataclass(frozen=True, slots=True)
class Credentials:
    """`control` is host:port, `tunnel` the URL at which nodes join. `api_key` is empty until the first start."""

    admin_token: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    base_url: str = ""
    admin_url: str = ""
    control: str = ""
    tunnel: str = ""


def load(path: Path) -> Credentials:
    """Loads the file; returns empty values if there is none. Raises UsageError for an invalid file."""
    try:
        stored = json.loads(path.read_text())
        return Credentials(**{name: str(stored.get(name, "")) for name in Credentials.__dataclass_fields__})
    except FileNotFoundError:
        return Credentials()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a credentials file: restore it, or remove it for a new admin token"
        ) from error


def store(path: Path, credentials: Credentials) -> None:
    """Replaces the file atomically, with mode 0600."""
    write_secret(path, json.dumps(asdict(credentials), indent=2) + "\n")


def write_secret(path: Path, text: str) -> None:
    """Replaces `path` atomically with a file that only its owner can read."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
