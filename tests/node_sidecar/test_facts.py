from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from node_sidecar import facts
from node_sidecar.facts import GpuFacts

MIB = 1024 * 1024


@pytest.fixture
def no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def _smi(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = directory / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))


@pytest.mark.usefixtures("no_nvml")
async def test_a_machine_without_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await facts.machine()
    assert found.gpus == ()
    assert found.cpus > 0
    assert found.memory_bytes > 64 * MIB
    assert found.operating_system


@pytest.mark.usefixtures("no_nvml")
async def test_gpus_by_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "NVIDIA A100-SXM4-40GB, 40960, 12\\nNVIDIA GB10, 1, 2, 81920, [N/A]\\nnonsense\\n"
    _smi(tmp_path, monkeypatch, f"printf '{lines}'")
    assert await facts.gpus() == (
        GpuFacts("NVIDIA A100-SXM4-40GB", 40960 * MIB, 12.0),
        GpuFacts("NVIDIA GB10, 1, 2", 81920 * MIB, None),
    )


@pytest.mark.usefixtures("no_nvml")
async def test_a_broken_driver_means_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _smi(tmp_path, monkeypatch, "echo 'NVIDIA-SMI has failed'; exit 9")
    assert await facts.gpus() == ()


async def test_gpus_by_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = ModuleType("pynvml")
    calls = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda _: b"RTX",
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=24 * 1024 * MIB),
        "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=33),
    }
    for name, call in calls.items():
        setattr(nvml, name, call)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert await facts.gpus() == (GpuFacts("RTX", 24 * 1024 * MIB, 33.0),)
