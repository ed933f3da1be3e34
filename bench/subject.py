"""What is measured: something that listens, and the processes whose cost it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Subject:
    """`roles` maps envoy, translator, xds_server and supervisor to their pids; `api_key` is what clients send;
    `finish` returns when all that follows from the requests so far is done.
    """

    name: str
    port: int
    roles: Mapping[str, tuple[int, ...]]
    api_key: str = field(default="none", repr=False)
    finish: Callable[[], None] = lambda: None
