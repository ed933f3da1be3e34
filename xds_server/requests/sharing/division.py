"""Divides a quota among gateways by demand. No I/O, no clock.

Every gateway keeps its use of a window within its share. As long as the shares add up to no more than the quota,
so does what all gateways use in any window. A share therefore moves in two steps: it is lowered, and only after
its gateway has confirmed that, another gateway's share is raised, by no more than the first one has not used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

#: While no gateway needs more, a share changes only by at least this part of the quota.
_SLACK = 16


@dataclass(frozen=True, slots=True)
class GatewayUse:
    """A gateway's part of a quota. It sends no request that would take a window above `share`, and has used `used`
    in the current window, perhaps under a larger share.

    `wanted` is the amount refused lately. A gateway that is `gone` uses nothing any more.
    """

    share: int
    used: int = 0
    wanted: int = 0
    gone: bool = False

    @property
    def held(self) -> int:
        """Returns what no other gateway may use."""
        return self.used if self.gone else max(self.share, self.used)


@dataclass(frozen=True, slots=True)
class ShareGrant:
    """The share to send to one gateway. Until the gateway has confirmed it, `held` counts as its share."""

    share: int
    held: int


def divide(amount: int, uses: Mapping[str, GatewayUse]) -> dict[str, int]:
    """Returns each gateway's intended share. The shares add up to `amount`, minus what gone gateways used.

    Gateways that need little get it; the others share the rest equally. The part that no gateway needs is divided
    equally too, so that a gateway whose use grows finds room: among those that had to refuse requests, if there
    are any.
    """
    # The remainder of the division goes to the gateways that have used less.
    here = sorted(
        (name for name, use in uses.items() if not use.gone),
        key=lambda name: (uses[name].used, -uses[name].share, name),
    )
    if not here:
        return {}
    left = max(0, amount - sum(use.used for use in uses.values() if use.gone))
    needs = {name: min(left, uses[name].used + uses[name].wanted) for name in here}
    shares = dict.fromkeys(here, 0)
    # The neediest come last: each takes at most an equal part of what is left.
    for place, name in enumerate(sorted(here, key=lambda name: (needs[name], here.index(name)))):
        shares[name] = min(needs[name], -(-left // (len(here) - place)))
        left -= shares[name]
    growing = [name for name in here if uses[name].wanted] or here
    for place, name in enumerate(growing):
        more = -(-left // (len(growing) - place))
        shares[name] += more
        left -= more
    return shares


def grants(amount: int, uses: Mapping[str, GatewayUse], own: Collection[str]) -> dict[str, ShareGrant]:
    """Returns the next shares of the gateways `own`, which this control plane can reach. The sum of held shares
    stays within `amount`, if it was within it before.
    """
    wanted = divide(amount, uses)
    free = amount - sum(use.held for use in uses.values())
    lacks = any(
        uses[name].share < min(share, uses[name].used + uses[name].wanted) for name, share in wanted.items()
    )
    found = {}
    for name in sorted(own, key=lambda name: (uses[name].share - wanted[name], name)):
        use, share = uses[name], wanted[name]
        if not lacks and abs(share - use.share) * _SLACK < amount:
            share = use.share
        if share <= use.share:
            found[name] = ShareGrant(share, use.held)
        else:
            more = max(0, min(share - use.share, free))
            free -= more
            found[name] = ShareGrant(use.share + more, max(use.share + more, use.used))
    return found
