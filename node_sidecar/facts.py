"""The machine's hardware and operating system."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What the machine is, as its first report describes it."""

    operating_system: str
    memory_bytes: int
    cpus: int


def machine() -> MachineFacts:
    """Reads the facts of this machine; a container may have less memory and fewer CPUs than they say."""
    return MachineFacts(
        operating_system=f"{platform.system()} {platform.release()} {platform.machine()}",
        memory_bytes=psutil.virtual_memory().total,
        cpus=os.cpu_count() or 1,
    )
