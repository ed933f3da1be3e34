"""The sidecar's settings, built once by the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node_sidecar.probes.detect import DEFAULT_PORTS


@dataclass(frozen=True, slots=True)
class Settings:
    """`options` are the fields of Preferences from the command line; `environment` is for `env:NAME` in
    node.yaml.
    """

    state_dir: Path
    log_level: str = "info"
    log_format: str = "console"
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: The ports on which to look for local servers if no upstream is given.
    ports: tuple[int, ...] = DEFAULT_PORTS
    #: Seconds that running requests have to finish when the process is stopped.
    grace: float = 10.0
    #: The address of the metrics listener for the owner's Prometheus; None for no listener.
    metrics_listen: tuple[str, int] | None = None


def default_state_dir(environment: Mapping[str, str]) -> Path:
    """Returns the service's state directory for root, else the user's own."""
    if sys.platform == "win32":
        base = Path(environment.get("PROGRAMDATA", r"C:\ProgramData"))
        return base / "Trunkline" / "node"
    root = os.geteuid() == 0
    if sys.platform == "darwin":
        base = Path("/Library") if root else Path.home() / "Library"
        return base / "Application Support" / "trunkline-node"
    if root:
        return Path("/var/lib/trunkline-node")
    state = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "trunkline-node"
