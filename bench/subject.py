"""The subject of a measurement: a listener, and the processes whose cost is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Subject:
    """`roles` maps envoy, translator, xds_server, supervisor and sidecar to their pids.

    Clients send `api_key`, and the scenario's model is prefixed by `prefix`. `finish` returns when all work of the
    requests so far is done.
    """

    name: str
    port: int
    roles: Mapping[str, tuple[int, ...]]
    api_key: str = field(default="none", repr=False)
    prefix: str = ""
    finish: Callable[[], None] = lambda: None
