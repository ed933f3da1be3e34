"""Every flag has a help text; docs/ lists the flags that run a gateway or a node, and the Admin API's errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from node_sidecar.cli import main as node
from trunkline.__main__ import main as trunkline
from xds_server.rest import errors
from xds_server.rest.bindings import Table
from xds_server.rest.server import SERVICES

ROOT = Path(__file__).parent.parent
PAGES = "\n".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
#: Commands that keep running or decide about the machine; the others explain themselves with `--help`.
RUNNING = {
    "trunkline": (trunkline, ["up", "restart"]),
    "trunkline-node": (node, ["join", "run", "drain", "leave"]),
}


def below(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yields a command and every command below it, with their names."""
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from below(found, f"{path} {name}")


def flags(command: click.Command) -> set[str]:
    return {
        flag for each in command.params for flag in (*each.opts, *each.secondary_opts) if flag.startswith("--")
    }


def undocumented(named: set[str], page: str) -> set[str]:
    """Returns the flags of `named` that `page` does not contain as words of their own."""
    return {flag for flag in named if not re.search(rf"(?<![\w-]){flag}(?![\w-])", page)}


@pytest.mark.parametrize("program", [trunkline, node], ids=["trunkline", "trunkline-node"])
def test_every_flag_says_what_it_does(program: click.Command) -> None:
    silent = [
        (path, option.name)
        for path, command in below(program, "")
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


@pytest.mark.parametrize("name", RUNNING)
def test_every_flag_of_what_runs_is_documented(name: str) -> None:
    program, commands = RUNNING[name]
    assert isinstance(program, click.Group)
    for each in commands:
        command = program.get_command(click.Context(program), each)
        assert command is not None
        assert undocumented(flags(command), PAGES) == set(), f"{name} {each}: not in docs/"


def test_a_forgotten_flag_is_found() -> None:
    assert undocumented({"--listen", "--listen-more"}, "`--listen ADDRESS`, `--no-listen-more`") == {
        "--listen-more"
    }


def test_every_rest_path_is_documented() -> None:
    document = json.loads((ROOT / "xds_server" / "rest" / "openapi.json").read_text())
    described = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation.get("description") or operation.get("summary")
    }
    assert len({path for _, path in described}) == len(document["paths"])
    assert len(described) == len(Table(SERVICES).bindings)


def test_every_code_of_the_admin_api_is_documented() -> None:
    page = (ROOT / "docs" / "rest.md").read_text()
    documented = set(re.findall(r"`([a-z_]+)`", "\n".join(re.findall(r"^\| \d{3} \|.*", page, re.MULTILINE))))
    source = Path(errors.__file__).read_text()
    codes = {code for _, code in errors._STATUS.values()} | set(re.findall(r'\(\d{3}, "([a-z_]+)"', source))
    assert codes - documented == set()
