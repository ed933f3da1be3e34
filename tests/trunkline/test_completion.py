"""Completion of commands, flags and names of objects, in the shells that this machine has."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin

from tests.trunkline.conftest import Trunkline
from tests.trunkline.fakes.admin import TOKEN, FakeAdmin

pytestmark = pytest.mark.processes

COMMAND = Path(sys.executable).with_name("trunkline")
#: The command, with more patience than a user who types has: a busy machine may need more than a second.
_PATIENT = f"""#!{sys.executable}
from trunkline import completion
completion._SECONDS = 60.0
from trunkline.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    command = tmp_path_factory.mktemp("bin") / "trunkline"
    command.write_text(_PATIENT)
    command.chmod(0o755)
    return command


@pytest.fixture(autouse=True)
def _stored(control: FakeAdmin) -> None:
    keys = [
        admin.Key(id="k1", organisation="acme", name="ci"),
        admin.Key(id="k2", organisation="beta", name="cron"),
    ]
    routes = [admin.Route(model="llama3:70b"), admin.Route(model="llama3:8b"), admin.Route(model="gpt-4.1")]
    control.answers = {
        admin.ListKeysRequest: admin.ListKeysResponse(keys=keys),
        admin.ListRoutesRequest: admin.ListRoutesResponse(routes=routes),
        admin.ListOrganisationsRequest: admin.ListOrganisationsResponse(
            organisations=[admin.Organisation(name="acme")]
        ),
        admin.ListProvidersRequest: admin.ListProvidersResponse(providers=[admin.Provider(name="openai")]),
        admin.ListNodesRequest: admin.ListNodesResponse(nodes=[admin.Node(organisation="acme", name="rig")]),
    }


def _environment(command: Path, address: str) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "TRUNKLINE_CONTROL": address,
        "TRUNKLINE_ADMIN_TOKEN": TOKEN,
    }


def completed(command: Path, address: str, line: str) -> list[str]:
    words = line.split()
    index = len(words) - (not line.endswith(" "))
    asked = {"_TRUNKLINE_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(index)}
    done = subprocess.run(
        [command],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=_environment(command, address) | asked,
    )
    assert done.stderr == ""
    return [each.partition(",")[2] for each in done.stdout.splitlines() if each]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("trunkline prov", ["providers"]),
        ("trunkline keys rev", ["revoke"]),
        ("trunkline keys revoke ", ["acme/ci", "beta/cron"]),
        ("trunkline keys revoke cr", ["beta/cron"]),
        ("trunkline routes show gpt", ["gpt-4.1"]),
        ("trunkline routes show llama3:7", ["llama3:70b"]),
        ("trunkline providers remove o", ["openai"]),
        ("trunkline nodes describe ", ["acme/rig"]),
        ("trunkline keys create --org a", ["acme"]),
        ("trunkline limits set ke", ["key:"]),
        ("trunkline limits set key:a", ["key:acme/ci"]),
        ("trunkline usage report --by model,ta", ["model,target", "model,tag"]),
        ("trunkline usage report --outp", ["--output"]),
    ],
)
def test_what_is_completed(control: FakeAdmin, patient: Path, line: str, found: list[str]) -> None:
    assert completed(patient, control.address, line) == found


def test_without_a_control_plane_nothing_is_completed_and_nothing_said() -> None:
    assert completed(COMMAND, "127.0.0.1:1", "trunkline keys revoke ") == []
    assert completed(COMMAND, "no address", "trunkline keys revoke ") == []


def test_a_control_plane_that_is_silent_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        assert completed(COMMAND, f"127.0.0.1:{silent.getsockname()[1]}", "trunkline keys revoke ") == []
        assert time.monotonic() - begun < 30  # as long as a verb waits


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("trunkline keys revoke acme/", ["acme/ci"]),
        # Bash replaces only the text after the last colon.
        ("trunkline routes show llama3:7", ["70b"]),
        ("trunkline limits set key:acme/", ["acme/ci"]),
    ],
)
def test_bash(control: FakeAdmin, patient: Path, trunkline: Trunkline, line: str, found: list[str]) -> None:
    script = trunkline("completion", "bash").stdout
    asking = f"COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}; _trunkline_completion trunkline"
    done = subprocess.run(
        ["bash", "-c", f'{script}\n{asking}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'],
        capture_output=True, text=True, check=True, timeout=120, env=_environment(patient, control.address),
    )  # fmt: skip
    assert done.stdout.split() == found
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_valid_where_the_shell_is_installed(trunkline: Trunkline, shell: str) -> None:
    script = trunkline("completion", shell).stdout
    assert "_TRUNKLINE_COMPLETE" in script
    if found := shutil.which(shell):
        subprocess.run([found, "-n"], input=script, text=True, check=True, timeout=60)
