"""What is measured: something that listens, and the processes whose cost it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Subject:
    """`roles` maps envoy, translator, xds_server and supervisor to their pids; `api_key` is what clients send."""

    name: str
    port: int
    roles: Mapping[str, tuple[int, ...]]
    api_key: str = field(default="none", repr=False)
