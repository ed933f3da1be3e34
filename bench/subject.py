"""What is measured: something that listens, and the processes whose cost it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Subject:
    """`roles` maps envoy, translator, xds_server, supervisor and sidecar to their pids.

    `api_key` is what clients send, and `prefix` stands before the scenario's model. `finish` returns when all that
    follows from the requests so far is done.
    """

    name: str
    port: int
    roles: Mapping[str, tuple[int, ...]]
    api_key: str = field(default="none", repr=False)
    prefix: str = ""
    finish: Callable[[], None] = lambda: None
