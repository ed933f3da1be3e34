"""The console uses the types that the .proto files define."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.console.tools import CONSOLE, packages

pytestmark = pytest.mark.packages


def _problems(project: Path) -> list[str]:
    """Returns TypeScript's findings in the console's own modules; vendored libraries are not checked."""
    command: list[str | Path] = [packages() / ".bin/tsc", "--project", project, "--pretty", "false"]
    done = subprocess.run(command, cwd=CONSOLE, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if line and not line.startswith(("vendor/", " "))]


def test_the_modules_keep_to_the_types() -> None:
    assert _problems(CONSOLE / "jsconfig.json") == []


def test_a_call_or_a_field_that_there_is_not_is_found(tmp_path: Path) -> None:
    probe = tmp_path / "probe.js"
    api = json.dumps(str(CONSOLE / "src/api.js"))
    probe.write_text(
        f'import {{ call }} from {api};\ncall("ListKeyz");\ncall("ListKeys", {{ organization: "a" }});\n'
    )
    project = tmp_path / "jsconfig.json"
    project.write_text(json.dumps({"extends": str(CONSOLE / "jsconfig.json"), "include": [str(probe)]}))
    found = "\n".join(_problems(project))
    assert "ListKeyz" in found
    assert "organization" in found
