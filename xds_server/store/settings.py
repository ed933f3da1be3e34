"""The values that an operator sets for a key or a node; separate from the write side, so that reading a request
needs no ORM.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum

from xds_server.model import Key, Limit, Node, Priority, Visibility


@dataclass(frozen=True, slots=True)
class KeySettings:
    """`models` are shell-style patterns; `expires_at` is Unix seconds, 0 = never; `max_price` is as in Key."""

    models: tuple[str, ...] = ("*",)
    limits: tuple[Limit, ...] = ()
    expires_at: int = 0
    max_price: int = 0
    priority: Priority = Priority.NORMAL
    pins_targets: bool = False

    @classmethod
    def in_force(cls, key: Key) -> KeySettings:
        """Returns the settings of `key`."""
        return cls(**{each.name: getattr(key, each.name) for each in fields(cls)})

    def of(self, key: Key) -> Key:
        """Returns `key` with these settings."""
        return replace(key, **{each.name: getattr(self, each.name) for each in fields(self)})


@dataclass(frozen=True, slots=True)
class KeyChange:
    """An operator's changes to a key; None leaves a value unchanged. `end_grace`: its former secret ends
    now.
    """

    name: str | None = None
    models: tuple[str, ...] | None = None
    limits: tuple[Limit, ...] | None = None
    expires_at: int | None = None
    max_price: int | None = None
    priority: Priority | None = None
    end_grace: bool = False

    def of(self, key: Key, now: int) -> Key:
        """Returns `key` with these changes."""
        given = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != "end_grace" and getattr(self, each.name) is not None
        }
        if self.end_grace:
            given["former_until"] = min(key.former_until, now)
        return replace(key, **given)


class EndingSecret(StrEnum):
    """The one of a key's two valid secrets that ends at once: the one in its grace period, or the newest."""

    FORMER = "former"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Rotation:
    """The options for replacing a key's secret. `grace` is seconds, None for the default."""

    grace: int | None = None
    ends: EndingSecret | None = None
    #: Empty: a new value is generated.
    value: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Invitation:
    """The properties that a joining node gets. `owner_key` is a key's name; with an empty `name`, the node's own
    proposal is used.
    """

    owner_key: str = ""
    name: str = ""
    visibility: Visibility = Visibility.ORGANISATION
    require_approval: bool = False
    ttl_seconds: int = 3_600


@dataclass(frozen=True, slots=True)
class NodeChange:
    """An operator's changes to a node; None leaves a value unchanged. `boost` is as in model.Node."""

    name: str | None = None
    visibility: Visibility | None = None
    approved: bool | None = None
    drained: bool | None = None
    boost: int | None = None

    def of(self, node: Node) -> Node:
        """Returns `node` with these changes."""
        return replace(node, **{name: value for name, value in asdict(self).items() if value is not None})
