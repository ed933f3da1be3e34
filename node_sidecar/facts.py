"""The machine's hardware and operating system."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class MachineFacts:
    operating_system: str
    memory_bytes: int
    cpus: int


def machine() -> MachineFacts:
    return MachineFacts(
        operating_system=f"{platform.system()} {platform.release()} {platform.machine()}",
        memory_bytes=psutil.virtual_memory().total,
        cpus=os.cpu_count() or 1,
    )
