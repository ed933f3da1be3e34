"""What an operator chooses about a key; apart from the write side, so that reading a request needs no ORM."""

from __future__ import annotations

from dataclasses import dataclass

from xds_server.model import Limit, Visibility


@dataclass(frozen=True, slots=True)
class KeySettings:
    """`models` are shell-style patterns; `expires_at` is Unix seconds, 0 = never."""

    models: tuple[str, ...] = ("*",)
    limits: tuple[Limit, ...] = ()
    expires_at: int = 0


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the node that joins becomes. `owner_key` is a key's name; `name` is empty for the one it proposes."""

    owner_key: str = ""
    name: str = ""
    visibility: Visibility = Visibility.ORGANISATION
    require_approval: bool = False
    ttl_seconds: int = 3_600


@dataclass(frozen=True, slots=True)
class NodeChange:
    """What an operator changes about a node; None leaves it as it is. `boost` as in model.Node."""

    name: str | None = None
    visibility: Visibility | None = None
    approved: bool | None = None
    drained: bool | None = None
    boost: int | None = None
