"""Reads the machine's GPUs: names, memory, and use by process if the driver reports it.

NVIDIA GPUs are read by the package nvidia-ml-py if it is installed, else by the program nvidia-smi; AMD GPUs from
the Linux driver's files, which have only totals. Every reading starts from scratch, so a driver that is loaded
later is found.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_MIB = 1024 * 1024
_TIMEOUT = 5.0  # seconds
#: The environment variables that nvidia-smi needs, including on Windows.
_OF_SMI = frozenset(
    {"PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT", "SYSTEMDRIVE", "PROGRAMFILES", "TEMP"}
)
_ANY_ERROR = Exception  # NVML's own class exists only where its package does
_DRM = Path("/sys/class/drm")
_AMD = "0x1002"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device. `use` is the total percentage, `memory_free` is in bytes; None if unreadable.

    `use_by_process` (percent) and `memory_by_process` (bytes) hold the processes seen since the last reading, by
    pid; None where the driver reports totals only.
    """

    name: str
    memory_bytes: int
    use: float | None = None
    memory_free: int | None = None
    use_by_process: Mapping[int, float] | None = None
    memory_by_process: Mapping[int, int] | None = None


class GpuReader:
    """Keeps the time of the last sample of each NVIDIA device, so that a reading covers the time since the last
    one.
    """

    def __init__(self, drm: Path = _DRM) -> None:
        self._drm = drm
        self._seen_us: dict[int, int] = {}

    def read(self) -> tuple[Gpu, ...]:
        """Reads all devices. Blocks for up to a few seconds if a driver hangs, so it must be called in a
        thread.
        """
        nvidia = self._by_nvml()
        return (*(_by_smi() if nvidia is None else nvidia), *_amd(self._drm))

    def _by_nvml(self) -> tuple[Gpu, ...] | None:
        """Reads NVIDIA devices by NVML. Returns None if the package or the driver is missing."""
        try:
            nvml: Any = importlib.import_module("pynvml")
            nvml.nvmlInit()
        except _ANY_ERROR:
            return None
        try:
            return tuple(self._device(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
        except _ANY_ERROR:
            return None
        finally:
            with suppress(_ANY_ERROR):
                nvml.nvmlShutdown()

    def _device(self, nvml: Any, index: int) -> Gpu:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(handle)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        use = None
        with suppress(_ANY_ERROR):
            use = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        return Gpu(
            name.decode(errors="replace") if isinstance(name, bytes) else name,
            int(memory.total),
            use,
            int(memory.free),
            self._use_by_process(nvml, handle, index),
            _memory_by_process(nvml, handle),
        )

    def _use_by_process(self, nvml: Any, handle: Any, index: int) -> dict[int, float] | None:
        """Returns the average use of the multiprocessors in percent since the last reading, by process."""
        try:
            samples = nvml.nvmlDeviceGetProcessUtilization(handle, self._seen_us.get(index, 0))
        except _ANY_ERROR as error:
            # The driver says "not found" if no process has used the device since.
            return {} if type(error).__name__ == "NVMLError_NotFound" else None
        by_process: dict[int, list[float]] = {}
        for sample in samples:
            by_process.setdefault(int(sample.pid), []).append(float(sample.smUtil))
            self._seen_us[index] = max(self._seen_us.get(index, 0), int(sample.timeStamp))
        return {pid: sum(values) / len(values) for pid, values in by_process.items()}


def _memory_by_process(nvml: Any, handle: Any) -> dict[int, int] | None:
    found: dict[int, int] = {}
    try:
        running = [
            *nvml.nvmlDeviceGetComputeRunningProcesses(handle),
            *nvml.nvmlDeviceGetGraphicsRunningProcesses(handle),
        ]
    except _ANY_ERROR:
        return None
    for process in running:
        if process.usedGpuMemory is None:
            return None
        # A process with both kinds of contexts is listed twice, with the same sum.
        found[int(process.pid)] = max(found.get(int(process.pid), 0), int(process.usedGpuMemory))
    return found


def _by_smi() -> tuple[Gpu, ...]:
    lines = _smi("--query-gpu=name,memory.total,memory.free,utilization.gpu", "--format=csv,noheader,nounits")
    # Parses from the end, because a name may have commas. The position of its line is the device's number.
    devices = [_smi_device(line) for line in lines]
    if not any(devices):
        return ()
    use, memory = _smi_processes(_smi("pmon", "-c", "1", "-s", "um"))
    found = []
    for index, device in enumerate(devices):
        if device is not None:
            name, total, free, busy = device
            found.append(Gpu(name, total, busy, free, _of_device(use, index), _of_device(memory, index)))
    return tuple(found)


def _of_device(by_device: Mapping[int, Mapping[int, T]] | None, index: int) -> Mapping[int, T] | None:
    return None if by_device is None else by_device.get(index, {})


def _smi(*arguments: str) -> Sequence[str]:
    """Returns the lines that nvidia-smi prints, or no lines if it is missing or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        # The sidecar's own environment may hold a join token, and the local servers' keys.
        environment = {name: value for name, value in os.environ.items() if name.upper() in _OF_SMI}
        command = [program, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT, check=True, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return done.stdout.splitlines()


def _smi_device(line: str) -> tuple[str, int, int | None, float | None] | None:
    """Reads `NVIDIA A100-SXM4-40GB, 40960, 30000, 12`: MiB and percent, which may be `[N/A]`."""
    parts = [part.strip() for part in line.rsplit(",", 3)]
    if len(parts) != 4 or not parts[1].isdigit():
        return None
    name, total, free, use = parts
    return (
        name,
        int(total) * _MIB,
        int(free) * _MIB if free.isdigit() else None,
        float(use) if use.isdigit() else None,
    )


def _smi_processes(
    lines: Iterable[str],
) -> tuple[dict[int, dict[int, float]] | None, dict[int, dict[int, int]] | None]:
    """Parses `nvidia-smi pmon`: percent and bytes by device and process; None if it printed no table.

    The columns differ between versions, so they are found by their names in the first line:

        # gpu         pid   type     sm    mem    enc    dec    jpg    ofa     fb   ccpm    command
    """
    columns: list[str] | None = None
    use: dict[int, dict[int, float]] = {}
    memory: dict[int, dict[int, int]] = {}
    for line in lines:
        words = line.split()
        if line.startswith("#"):
            if columns is None:
                columns = words[1:]
            continue
        if columns is None:
            break
        row = dict(zip(columns, words, strict=False))
        if row.get("gpu", "").isdigit() and row.get("pid", "").isdigit():
            device, pid = int(row["gpu"]), int(row["pid"])
            busy, held = row.get("sm", "-"), row.get("fb", "-")
            use.setdefault(device, {})[pid] = float(busy) if busy.isdigit() else 0.0
            memory.setdefault(device, {})[pid] = int(held) * _MIB if held.isdigit() else 0
    known = columns or ()
    return (use if "sm" in known else None), (memory if "fb" in known else None)


def _amd(drm: Path) -> tuple[Gpu, ...]:
    """Reads the files of Linux's amdgpu driver for each card (kernel: gpu/amdgpu/driver-misc)."""
    found = []
    for card in sorted(drm.glob("card[0-9]*/device")):
        if _word(card / "vendor") != _AMD:
            continue
        total, used = _number(card / "mem_info_vram_total"), _number(card / "mem_info_vram_used")
        use = _number(card / "gpu_busy_percent")
        if total is None and use is None:
            continue
        free = total - used if total is not None and used is not None else None
        name = _word(card / "product_name") or f"AMD GPU {_word(card / 'device')}"
        found.append(Gpu(name, total or 0, None if use is None else float(use), free))
    return tuple(found)


def _word(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _word(path)
    return int(text) if text.isdigit() else None
