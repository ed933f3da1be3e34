"""The installer, the image and the sidecar understand the commands that `nodes invite` prints."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.join_commands import IMAGE_STATE, JoinCommands

DEPLOY = Path(__file__).parents[2] / "deploy" / "node"
COMMANDS = JoinCommands("tlj_token", "https://gateway.example.org:8443", "2027-01-01T00:00:00Z").commands()


def options(command: str) -> set[str]:
    return {word for word in shlex.split(command) if word.startswith("--")}


def test_the_installer_takes_what_is_printed(tmp_path: Path) -> None:
    known = subprocess.run(
        ["sh", str(DEPLOY / "install.sh"), "--help"], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert options(COMMANDS["installer"]) <= set(re.findall(r"--[a-z-]+", known))
    # The command has no arguments except options and their values.
    assert shlex.split(COMMANDS["installer"])[2::2] == ["--package", "--url", "--token"]


@pytest.mark.parametrize("name", ["linux_macos", "windows", "docker"])
def test_the_sidecar_takes_what_is_printed(name: str) -> None:
    _, _, arguments = COMMANDS[name].partition("trunkline-node join ")
    known = subprocess.run(
        [sys.executable, "-m", "node_sidecar", "join", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert options(arguments.rstrip(" }")) <= set(re.findall(r"--[a-z-]+", known))


def test_the_image_is_what_the_docker_command_expects() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["trunkline-node"]' in dockerfile
    assert f"VOLUME {IMAGE_STATE}\n" in dockerfile
    assert f"-v trunkline-node:{IMAGE_STATE} " in COMMANDS["docker"]
