"""Pools of nodes: live state, as the nodes report it, which is never stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Health = Literal["healthy", "unhealthy", "draining"]


@dataclass(frozen=True, slots=True)
class PoolEndpoint:
    """One node's entry in a pool. `weight` is 1 to 1,000,000.

    The node is reached at `direct` (IP address and port) or, if that is None, through the tunnels that it opened.
    `own`: the pool's audience owns the node, so that the node may prefer the request over others. The prices are
    its owner's, in micro-USD per million tokens. `returns` counts how often the node was lost and came back.
    `slots` is how many requests for the model it runs at once; 0: no limit.
    """

    node_id: str
    direct: tuple[str, int] | None = None
    health: Health = "healthy"
    weight: int = 1
    own: bool = False
    input_price: int = 0
    output_price: int = 0
    returns: int = 0
    slots: int = 0


@dataclass(frozen=True, slots=True)
class Pool:
    """The nodes that offer one model to one audience.

    `audience` is an organisation's id, or a key's for the nodes that are private to that key: the pool has the
    nodes that it owns. With an empty `audience`, the pool has the nodes that anybody may use.
    """

    model: str
    endpoints: tuple[PoolEndpoint, ...] = ()
    audience: str = ""

    @property
    def name(self) -> str:
        """Returns the name of the pool's cluster and endpoint assignment."""
        return pool_name(self.model, self.audience)


def pool_name(model: str, audience: str = "") -> str:
    """Returns `nodes/<model>`, or `nodes/<model>@<audience>` for the nodes that the audience owns.

    A slash, an at sign or a percent sign in a model's name is percent-encoded here.
    """
    written = model.replace("%", "%25").replace("@", "%40")
    return f"nodes/{written}" + (f"@{audience}" if audience else "")
