"""The owner's preferences as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from node_sidecar.preferences.idle import IdleRule
from node_sidecar.preferences.schedule import Schedule


@dataclass(frozen=True, slots=True)
class OfferPrice:
    """Micro-USD per million tokens: what the node earns."""

    input: int = 0
    output: int = 0


@dataclass(frozen=True, slots=True)
class UpstreamPreference:
    """A local server. `url` is as `address.upstream` returns it; `kind` is empty if the node is to find it out."""

    url: str
    api_key: str = field(default="", repr=False)
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Preferences:
    """`models` and the keys of `prices` are patterns with `*`; the first price whose pattern matches applies.

    `concurrency` is how many requests run at once: 0 for no limit, None for as many as the local servers can
    batch. `queue` is how many more wait. `share` is the percentage of `concurrency` that others than the owner may
    use. `direct` is the host:port where the gateway reaches the node, empty for tunnels.
    """

    upstreams: tuple[UpstreamPreference, ...] = ()
    models: tuple[str, ...] = ("*",)
    prices: Mapping[str, OfferPrice] = field(default_factory=dict)
    concurrency: int | None = None
    queue: int = 64
    share: int = 100
    own_first: bool = True
    maintenance: bool = False
    paused: bool = False
    schedule: Schedule | None = None
    idle: IdleRule | None = None
    #: Serves the owner's own requests even outside the schedule and while the machine is busy.
    owner_always: bool = False
    direct: str = ""

    def offers(self, model: str) -> bool:
        """Returns whether one of the owner's patterns matches the model."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)

    def price(self, model: str) -> OfferPrice:
        """Returns the price of the first matching pattern; free without one."""
        return next((price for pattern, price in self.prices.items() if fnmatchcase(model, pattern)), OfferPrice())
