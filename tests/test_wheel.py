"""The contents of the wheel that is distributed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from trunkline.envoy_module import LIBRARY

ROOT = Path(__file__).parents[1]


@pytest.mark.compiler
@pytest.mark.slow
def test_it_carries_documentation_console_and_envoys_module_for_every_system(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        assert "trunkline/_docs/index.html" in content.namelist()
        console = {name.removeprefix("xds_server/_console/") for name in content.namelist() if "_console/" in name}
        assert console >= {"index.html", "src/main.js", "vendor/preact.js", "vendor/preact.LICENSE.txt"}
        assert "xds_server/rest/openapi.json" in content.namelist()
        starts = {name: content.read(name)[:4] for name in content.namelist() if name.endswith(LIBRARY)}
    elf, mach_o = b"\x7fELF", b"\xcf\xfa\xed\xfe"
    assert starts == {
        f"trunkline/_envoy/linux-x86_64/{LIBRARY}": elf,
        f"trunkline/_envoy/linux-aarch64/{LIBRARY}": elf,
        f"trunkline/_envoy/darwin-arm64/{LIBRARY}": mach_o,
    }
