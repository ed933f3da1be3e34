"""What the machine is: GPUs, memory, CPUs, operating system; and how busy it is. None of it is required.

GPUs are NVIDIA's, by the package nvidia-ml-py if it is installed, else by the program nvidia-smi.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

import psutil

_MIB = 1024 * 1024
_TIMEOUT = 5.0
_ANY_ERROR = Exception  # NVML's own class exists only where its package does


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """`use` in percent, None if it is not told."""

    name: str
    memory_bytes: int
    use: float | None = None


@dataclass(frozen=True, slots=True)
class MachineFacts:
    operating_system: str
    memory_bytes: int
    cpus: int
    gpus: tuple[GpuFacts, ...] = ()


async def machine() -> MachineFacts:
    return MachineFacts(
        operating_system=f"{platform.system()} {platform.release()} {platform.machine()}",
        memory_bytes=psutil.virtual_memory().total,
        cpus=os.cpu_count() or 1,
        gpus=await gpus(),
    )


async def gpus() -> tuple[GpuFacts, ...]:
    """In a thread: a driver that hangs must not stop the reports."""
    return await asyncio.to_thread(_gpus)


def cpu_use() -> float:
    """Percent of all CPUs since the last call; the first call returns 0."""
    return psutil.cpu_percent(interval=None)


def _gpus() -> tuple[GpuFacts, ...]:
    found = _by_nvml()
    return found if found is not None else _by_smi()


def _by_nvml() -> tuple[GpuFacts, ...] | None:
    """None where the package or the driver is missing."""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except _ANY_ERROR:
        return None
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return tuple(
            GpuFacts(
                _text(nvml.nvmlDeviceGetName(handle)),
                int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
                float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            )
            for handle in handles
        )
    except _ANY_ERROR:
        return None
    finally:
        nvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _by_smi() -> tuple[GpuFacts, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=name,memory.total,utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(gpu for line in done.stdout.splitlines() if (gpu := _smi_line(line)) is not None)


def _smi_line(line: str) -> GpuFacts | None:
    """`NVIDIA A100-SXM4-40GB, 40960, 12`; memory in MiB. Use may be `[N/A]`."""
    parts = [part.strip() for part in line.rsplit(",", 2)]
    if len(parts) != 3 or not parts[1].isdigit():
        return None
    return GpuFacts(parts[0], int(parts[1]) * _MIB, float(parts[2]) if parts[2].isdigit() else None)
