from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from node_sidecar.cli import main
from node_sidecar.errors import SettingsError, SidecarError
from node_sidecar.options import given_preferences

COMMANDS = ("join", "run", "status", "drain", "pause", "resume", "leave")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(name: str) -> None:
    shown = CliRunner().invoke(main, [name, "--help"])
    assert shown.exit_code == 0
    assert f"trunkline-node {name}" in shown.output


def test_there_are_no_other_commands() -> None:
    assert isinstance(main, click.Group)
    assert set(main.commands) == set(COMMANDS)


def test_options_are_reported_in_the_files_words() -> None:
    assert given_preferences(
        upstreams=("http://a:1",), prices=("llama3:70b=0.20/0.60", "*=0/0"), queue=None, own_first=False
    ) == {
        "upstreams": ["http://a:1"],
        "prices": {"llama3:70b": {"input": "0.20", "output": "0.60"}, "*": {"input": "0", "output": "0"}},
        "own_first": False,
    }


@pytest.mark.parametrize("price", ["m", "m=1", "=1/2", "m=1/", "m=/1"])
def test_a_price_needs_both_amounts(price: str) -> None:
    with pytest.raises(SettingsError, match="--price"):
        given_preferences(prices=(price,))


def test_the_command_is_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["trunkline-node"] == "node_sidecar.__main__:main"


def test_the_guide_names_every_command_and_exit_code() -> None:
    guide = (Path(__file__).parents[2] / "docs/node.md").read_text()
    assert all(f"`trunkline-node {name}" in guide or f"`{name}`" in guide for name in COMMANDS)
    codes = {kind.exit_code for kind in SidecarError.__subclasses__()}
    assert all(f"\n| {code} | " in guide for code in codes)


@pytest.mark.processes
def test_a_node_needs_nothing_of_the_gateway() -> None:
    """The command imports no database, no Envoy and no xDS, not even through another module."""
    heavy = ("sqlmodel", "sqlalchemy", "betterproto2", "envoy", "pydantic", "orjson", "alembic", "psycopg")
    code = (
        "import sys, node_sidecar.cli, node_sidecar.app, node_sidecar.front\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
