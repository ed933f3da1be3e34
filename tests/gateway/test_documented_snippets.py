"""Runs what the documentation tells people to type: its blocks, and the README's table of commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clients import environments
from tests.fakes.provider_process import ProviderProcess
from tests.gateway.process import GatewayProcess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Commands that are not typed here: how they begin, and where they run instead.
ELSEWHERE = {
    "trunkline up": "gateway/test_start.py",
    "trunkline restart": "gateway/test_restart.py",
    "trunkline smoke": "gateway/test_smoke.py",
    "trunkline import": "trunkline/importing",
    "trunkline status --control-ca-file": "trunkline/test_channel.py",
    "trunkline requests show": "gateway/test_requests.py",
    "trunkline requests cancel": "gateway/test_requests.py",
    "trunkline keys revoke ID": "docs/keys.md has one with a name",
    "trunkline apply -f trunkline.yaml --dry-run": "the README has one that changes something",
}
#: What a page takes for granted.
GRANTED: Mapping[str, list[str]] = {
    "README.md": ["trunkline keys create --org acme --name ci"],
    "limits.md": ["trunkline keys create --org acme --name ci", "trunkline keys create --org acme --name app"],
}


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    """The README's file, with a test's provider in place of both of its providers."""
    (text,) = (text for kind, text in _FENCE.findall(README) if kind == "yaml")
    file: dict[str, Any] = yaml.safe_load(text)
    for provider in file["providers"]:
        provider["base_url"], provider["credentials"] = provider_a.base_url, ["env:TEST_KEY_A"]
    del file["organisations"]  # each page has its own
    return file


def commands(page: Path) -> list[str]:
    """Returns the command lines of `trunkline` in a page's blocks, and in the README's table, in their order."""
    text = page.read_text()
    blocks = [block.replace("\\\n", " ") for kind, block in _FENCE.findall(text) if kind == "sh"]
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    if page.name == "README.md":
        cells = [row.rpartition(" | ")[2] for row in re.findall(r"^\| .* \|$", text, re.MULTILINE)]
        spans = [span for cell in cells for span in re.findall(r"`((?:trunkline|usage) [^`]+)`", cell)]
        lines += [span if span.startswith("trunkline") else f"trunkline {span}" for span in spans]
    return [line for line in lines if line.startswith("trunkline ")]


PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if commands(page)]


def type_in(gateway: GatewayProcess, line: str) -> None:
    """Runs a command line without the pipe after it."""
    words = shlex.split(re.split(r" [|>] ", line)[0])
    gateway.run(*words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, gateway: GatewayProcess, config: dict[str, Any]) -> None:
    gateway.apply(config)
    gateway.run("orgs", "add", "acme")
    for name in ("trunkline.yaml", "proposed.yaml"):
        (gateway.data_dir.parent / name).write_text(yaml.safe_dump(config))
    for line in GRANTED.get(page.name, []):
        type_in(gateway, line)
    for line in commands(page):
        if not line.startswith(tuple(ELSEWHERE)):
            type_in(gateway, line)
    gateway.run("orgs", "remove", "acme")


def test_what_runs_elsewhere_does() -> None:
    for place in ELSEWHERE.values():
        assert (ROOT / "tests" / place).exists() or (ROOT / place.partition(" ")[0]).exists() or "README" in place


def shown(kind: str, part: str) -> str:
    """Returns the README's block of this kind that contains `part`."""
    (found,) = (text for each, text in _FENCE.findall(README) if each == kind and part in text)
    return str(found)


def shell(gateway: GatewayProcess, script: str) -> str:
    """Runs the README's exports, with this gateway's address, and then a script in the same shell."""
    exports = shown("sh", "export OPENAI_BASE_URL").replace("http://127.0.0.1:8080", gateway.origin)
    done = subprocess.run(
        ["bash", "-ec", f"{exports}\n{script}"],
        cwd=gateway.data_dir.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_request_of_the_readme(gateway: GatewayProcess, config: dict[str, Any]) -> None:
    gateway.apply(config)
    said = shell(gateway, shown("sh", "chat/completions"))
    assert '"object":"list"' in said.replace(" ", "")
    assert '"chat.completion"' in said


def test_the_readmes_python(gateway: GatewayProcess, config: dict[str, Any]) -> None:
    gateway.apply(config)
    (gateway.data_dir.parent / "first.py").write_text(shown("python", "OpenAI()"))
    assert shell(gateway, f"{shlex.quote(sys.executable)} first.py").splitlines()[-1]


def test_the_readmes_javascript(gateway: GatewayProcess, config: dict[str, Any]) -> None:
    gateway.apply(config)
    script = environments.node() / "readme.mjs"
    script.write_text(shown("javascript", "new OpenAI()"))
    assert shell(gateway, f"{environments.node_program()} {shlex.quote(str(script))}").splitlines()[-1]


def test_the_calls_of_the_rest_page(gateway: GatewayProcess) -> None:
    gateway.run("orgs", "add", "acme")
    page = (ROOT / "docs" / "rest.md").read_text()
    (calls,) = (text for kind, text in _FENCE.findall(page) if kind == "sh")
    script = calls.replace("curl ", "curl -sS --fail-with-body ").replace(
        "http://127.0.0.1:8081", gateway.admin_url
    )
    said = shell(gateway, f"TOKEN={gateway.credentials['admin_token']}\n{script}")
    assert said.count("sk-tl-") == 2
    gateway.run("orgs", "remove", "acme")
