"""Adds the documentation's site and the compiled module for Envoy to wheels.

Hatchling runs this hook for `make wheel`. It cross-compiles with the wheel ziglang for every system of Envoy's own
wheels. Without ziglang, as in `pip install .` from a checkout, the wheel has no site, and of the module only the
sources, which are compiled at the first start.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: ziglang's target → system and machine as in `platform`. glibc 2.17 is that of manylinux2014.
TARGETS = {
    "x86_64-linux-gnu.2.17": ("Linux", "x86_64"),
    "aarch64-linux-gnu.2.17": ("Linux", "aarch64"),
    "aarch64-macos": ("Darwin", "arm64"),
}


class ModuleHook(BuildHookInterface[Any]):
    """Makes `trunkline/_envoy/<system>-<machine>/libtrunkline.so`, and `trunkline/_docs`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or importlib.util.find_spec("ziglang") is None:
            return
        root = Path(self.root)
        sys.path.insert(0, self.root)
        # Imported from the checkout that is built; its own imports are certain to be installed only with ziglang.
        from scripts.build_docs import built_once  # noqa: PLC0415
        from scripts.locked_environment import made_once  # noqa: PLC0415
        from trunkline.envoy_module import (  # noqa: PLC0415
            FLAGS,
            LIBRARY,
            LINKING,
            compile_module,
            platform_name,
        )

        build_data["force_include"][str(built_once())] = "trunkline/_docs"
        sources = sorted((root / "envoy" / "module").glob("*.c"))
        for target, (system, machine) in TARGETS.items():
            name = platform_name(system, machine)
            command = (sys.executable, "-m", "ziglang", "cc", "-target", target)
            flags = (*FLAGS, "-s", *LINKING[system])

            def make(directory: Path, command: Sequence[str] = command, flags: Sequence[str] = flags) -> None:
                directory.mkdir()
                compile_module(command, flags, sources, directory / LIBRARY)

            headers = sorted((root / "envoy" / "module").glob("*.h"))
            made = made_once(f"module-{name}", [Path(__file__), *sources, *headers], make) / LIBRARY
            build_data["force_include"][str(made)] = f"trunkline/_envoy/{name}/{LIBRARY}"
