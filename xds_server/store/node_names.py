"""Makes ids and names of nodes."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Collection

_ALPHABET = string.ascii_lowercase + "234567"
_ID = re.compile(r"nd-[a-z2-7]{16}")
_MAX_LENGTH = 63
_NOT_ACCEPTED = re.compile(r"[^a-z0-9._-]+")


def new_id() -> str:
    """Returns `nd-…`: a DNS label with 80 random bits."""
    return "nd-" + "".join(secrets.choice(_ALPHABET) for _ in range(16))


def is_id(text: str) -> bool:
    """Returns whether a text has the form of a node's id, whether the node exists or not."""
    return _ID.fullmatch(text) is not None


def fitted(proposed: str, taken: Collection[str]) -> str:
    """Returns a free name as close as possible to what a machine proposes: 1 to 63 of a-z, 0-9, `-`, `_`, `.`.

    It never looks like an id: a node can be given by either, so one machine's name could stand for another's id.
    """
    wanted = _NOT_ACCEPTED.sub("-", proposed[:256].lower())[:_MAX_LENGTH].strip("-._")
    wanted = wanted or "node"
    if is_id(wanted):
        wanted = f"node-{wanted}"
    name, number = wanted, 1
    while name in taken:
        number += 1
        suffix = f"-{number}"
        name = wanted[: _MAX_LENGTH - len(suffix)] + suffix
    return name
