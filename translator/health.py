"""`/healthz`: the process answers. `/readyz`: it has a policy, so it can authorise, and its gateway keeps
running.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import orjson

from translator.message import Response


class Policy(Protocol):
    """The parts of the policy on which readiness depends."""

    @property
    def held(self) -> bool:
        """True if there is any policy, stored or received."""

    @property
    def certain(self) -> bool:
        """True if the connected control plane has sent everything."""

    @property
    def source(self) -> str:
        """The origin of the policy, such as `snapshot`."""

    @property
    def age_seconds(self) -> float:
        """The seconds since its last change."""

    @property
    def counts(self) -> dict[str, int]:
        """The number of objects by type."""


def healthz() -> Response:
    """Returns 200 whenever the process can answer, regardless of its dependencies."""
    return Response.json(200, b'{"status":"ok"}')


def readyz(
    policy: Policy,
    ledger: Mapping[str, str | int | float],
    *,
    draining: bool = False,
    starting: bool = False,
    trouble: str = "",
) -> Response:
    """Returns 200 with the source and age of the policy and the state of the `ledger`, or 503.

    503 is returned before there is a policy, while the gateway is `starting` or `draining`, and while the control
    plane is in `trouble`. A ledger that cannot be written is no reason to refuse requests.
    """
    if draining:
        return Response.json(503, b'{"status":"draining: the gateway takes no new clients"}')
    if trouble:
        return Response.json(503, orjson.dumps({"status": f"the control plane is in trouble: {trouble}"}))
    if starting:
        return Response.json(503, b'{"status":"starting: trunkline.yaml is being applied"}', {"retry-after": "1"})
    if not policy.held:
        waiting = b'{"status":"waiting for a policy from the control plane"}'
        return Response.json(503, waiting, {"retry-after": "1"})
    body: dict[str, object] = {
        "status": "ready",
        "policy": policy.source,
        "up_to_date": policy.certain,
        "unchanged_for_seconds": round(policy.age_seconds, 1),
        **policy.counts,
        "ledger": dict(ledger),
    }
    return Response.json(200, orjson.dumps(body))
