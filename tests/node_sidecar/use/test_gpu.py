from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from node_sidecar.use.gpu import Gpu, GpuReader

MIB = 1024 * 1024


#: Error classes like those of the package.
NotFound = type("NVMLError_NotFound", (Exception,), {})
NotSupported = type("NVMLError_NotSupported", (Exception,), {})


class Nvml(ModuleType):
    """The used part of nvidia-ml-py, with one device; its answers can be replaced by errors to raise."""

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.samples: Any = []
        self.use: Any = SimpleNamespace(gpu=33)
        self.compute: Any = []
        self.graphics: Any = []
        self.asked_since: list[int] = []

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, _: int) -> bytes:
        return b"RTX"

    def nvmlDeviceGetMemoryInfo(self, _: int) -> Any:
        return SimpleNamespace(total=24 * 1024 * MIB, free=1024 * MIB)

    def nvmlDeviceGetUtilizationRates(self, _: int) -> Any:
        return _given(self.use)

    def nvmlDeviceGetProcessUtilization(self, _: int, since_us: int) -> Any:
        self.asked_since.append(since_us)
        return _given(self.samples)

    def nvmlDeviceGetComputeRunningProcesses(self, _: int) -> Any:
        return _given(self.compute)

    def nvmlDeviceGetGraphicsRunningProcesses(self, _: int) -> Any:
        return _given(self.graphics)


def _given(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    module = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


@pytest.fixture
def no_nvml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv("PATH", str(tmp_path))


def _smi(directory: Path, gpus: str, pmon: str = "exit 6") -> None:
    program = directory / "nvidia-smi"
    program.write_text(f'#!/bin/sh\nif [ "$1" = pmon ]; then {pmon}; else {gpus}; fi\n')
    program.chmod(0o755)


def _sample(pid: int, percent: int, at_us: int) -> Any:
    return SimpleNamespace(pid=pid, smUtil=percent, timeStamp=at_us)


@pytest.mark.usefixtures("no_nvml")
def test_a_machine_without_gpus(tmp_path: Path) -> None:
    assert GpuReader(tmp_path).read() == ()


def test_use_by_process_is_the_average_since_the_last_reading(nvml: Nvml, tmp_path: Path) -> None:
    reader = GpuReader(tmp_path)
    nvml.samples = [_sample(7, 90, 1_000), _sample(7, 70, 2_000), _sample(8, 5, 1_500)]
    nvml.compute = [SimpleNamespace(pid=7, usedGpuMemory=2 * MIB)]
    nvml.graphics = [SimpleNamespace(pid=7, usedGpuMemory=2 * MIB), SimpleNamespace(pid=9, usedGpuMemory=MIB)]
    assert reader.read() == (
        Gpu("RTX", 24 * 1024 * MIB, 33.0, 1024 * MIB, {7: 80.0, 8: 5.0}, {7: 2 * MIB, 9: MIB}),
    )
    nvml.samples = NotFound()
    (gpu,) = reader.read()
    assert gpu.use_by_process == {}
    assert nvml.asked_since == [0, 2_000]


def test_a_driver_that_tells_totals_only(nvml: Nvml, tmp_path: Path) -> None:
    nvml.samples = NotSupported()
    nvml.compute = [SimpleNamespace(pid=7, usedGpuMemory=None)]
    (gpu,) = GpuReader(tmp_path).read()
    assert (gpu.use, gpu.use_by_process, gpu.memory_by_process) == (33.0, None, None)


def test_a_driver_that_tells_no_use(nvml: Nvml, tmp_path: Path) -> None:
    nvml.use = nvml.samples = NotSupported()
    (gpu,) = GpuReader(tmp_path).read()
    assert (gpu.name, gpu.use, gpu.use_by_process) == ("RTX", None, None)


@pytest.mark.processes
@pytest.mark.usefixtures("no_nvml")
def test_gpus_by_nvidia_smi(tmp_path: Path) -> None:
    lines = "NVIDIA A100-SXM4-40GB, 40960, 1024, 12\\nNVIDIA GB10, 1, 2, 81920, [N/A], [N/A]\\nnonsense\\n"
    _smi(tmp_path, f"printf '{lines}'")
    assert GpuReader(tmp_path).read() == (
        Gpu("NVIDIA A100-SXM4-40GB", 40960 * MIB, 12.0, 1024 * MIB),
        Gpu("NVIDIA GB10, 1, 2", 81920 * MIB),
    )


PMON = """\
# gpu         pid   type     sm    mem    enc    dec    jpg    ofa     fb   ccpm    command
# Idx           #    C/G      %      %      %      %      %      %     MB     MB    name
    0       4711     C     95      3      -      -      -      -   7000      0    VLLM::EngineCor
    0       4712     G      -      -      -      -      -      -     90      0    Xorg
    1          -     -      -      -      -      -      -      -      -      -    -
"""


@pytest.mark.processes
@pytest.mark.usefixtures("no_nvml")
def test_processes_by_nvidia_smi(tmp_path: Path) -> None:
    (tmp_path / "pmon").write_text(PMON)
    lines = "NVIDIA L4, 23034, 9000, 95\\nNVIDIA L4, 23034, 23000, 0\\n"
    _smi(tmp_path, f"printf '{lines}'", f'while read -r line; do echo "$line"; done < {tmp_path / "pmon"}')
    first, second = GpuReader(tmp_path).read()
    assert (first.use_by_process, first.memory_by_process) == (
        {4711: 95.0, 4712: 0.0},
        {4711: 7000 * MIB, 4712: 90 * MIB},
    )
    assert (second.use_by_process, second.memory_by_process) == ({}, {})


@pytest.mark.processes
@pytest.mark.usefixtures("no_nvml")
def test_a_broken_driver_means_no_gpus_and_one_that_comes_later_is_found(tmp_path: Path) -> None:
    reader = GpuReader(tmp_path)
    _smi(tmp_path, "echo 'NVIDIA-SMI has failed'; exit 9")
    assert reader.read() == ()
    _smi(tmp_path, "echo 'NVIDIA L4, 23034, 9000, 95'")
    assert len(reader.read()) == 1


@pytest.mark.usefixtures("no_nvml")
def test_amd_gpus_by_the_drivers_files(tmp_path: Path) -> None:
    for card, vendor in (("card0", "0x1002"), ("card1", "0x8086")):
        device = tmp_path / card / "device"
        device.mkdir(parents=True)
        files = {
            "vendor": vendor,
            "device": "0x744c",
            "mem_info_vram_total": str(16 << 30),
            "mem_info_vram_used": str(4 << 30),
            "gpu_busy_percent": "41",
        }
        for name, text in files.items():
            (device / name).write_text(text + "\n")
    assert GpuReader(tmp_path).read() == (Gpu("AMD GPU 0x744c", 16 << 30, 41.0, 12 << 30),)
