"""What an operator chooses about a key; apart from the write side, so that reading a request needs no ORM."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

from xds_server.model import Key, Limit, Node, Visibility


@dataclass(frozen=True, slots=True)
class KeySettings:
    """`models` are shell-style patterns; `expires_at` is Unix seconds, 0 = never."""

    models: tuple[str, ...] = ("*",)
    limits: tuple[Limit, ...] = ()
    expires_at: int = 0

    @classmethod
    def in_force(cls, key: Key) -> KeySettings:
        """Returns what `key` has."""
        return cls(**{field.name: getattr(key, field.name) for field in fields(cls)})

    def of(self, key: Key) -> Key:
        """Returns `key` with these settings."""
        return replace(key, **{field.name: getattr(self, field.name) for field in fields(self)})


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

    def of(self, node: Node) -> Node:
        """Returns `node` with these changes."""
        return replace(node, **{name: value for name, value in asdict(self).items() if value is not None})
