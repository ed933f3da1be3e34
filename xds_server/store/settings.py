"""What an operator chooses about a key; apart from the write side, so that reading a request needs no ORM."""

from __future__ import annotations

from dataclasses import dataclass

from xds_server.model import Limit


@dataclass(frozen=True, slots=True)
class KeySettings:
    """`models` are shell-style patterns; `expires_at` is Unix seconds, 0 = never."""

    models: tuple[str, ...] = ("*",)
    limits: tuple[Limit, ...] = ()
    expires_at: int = 0
