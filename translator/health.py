"""`/healthz`: the process answers. `/readyz`: it holds a policy, and so can authorise."""

from __future__ import annotations

from typing import Protocol

import orjson

from translator.http.message import Response


class Policy(Protocol):
    """What readiness depends on."""

    @property
    def held(self) -> bool: ...
    @property
    def source(self) -> str: ...
    @property
    def age_seconds(self) -> float: ...
    @property
    def counts(self) -> dict[str, int]: ...


def healthz() -> Response:
    return Response.json(200, b'{"status":"ok"}')


def readyz(policy: Policy) -> Response:
    """200 with where the policy comes from and since when it is as it is; 503 before there is one."""
    if not policy.held:
        waiting = b'{"status":"waiting for a policy from the control plane"}'
        return Response.json(503, waiting, {"retry-after": "1"})
    body: dict[str, str | float] = {
        "status": "ready",
        "policy": policy.source,
        "unchanged_for_seconds": round(policy.age_seconds, 1),
        **policy.counts,
    }
    return Response.json(200, orjson.dumps(body))
