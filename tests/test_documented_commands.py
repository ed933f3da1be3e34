"""Every command and flag that the documentation names exists."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from functools import partial
from pathlib import Path

import click
import pytest

from node_sidecar.cli import main as node
from translator import settings as translator_settings
from trunkline.__main__ import main as trunkline
from xds_server import settings as xds_server_settings

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
PROGRAMS: dict[str, click.Command] = {"trunkline": trunkline, "trunkline-node": node}
#: Flags of other programs that the documentation mentions.
FOREIGN = {
    "--hypothesis-profile",  # pytest
    "--parallel",  # llama.cpp
    "--max-num-seqs",  # vLLM
    "--max-running-requests",  # SGLang
    "--core",  # prlimit
    "--log-format-escaped",  # Envoy
    "--retry", "--tool",  # curl, valgrind
    "--uninstall", "--purge", "--package",  # deploy/node/install.sh
}  # fmt: skip
_FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_COMMAND = re.compile(r"(?:^|[\s(=$`/])(trunkline(?:-node)?) +([^\n]*)")
_END = re.compile(r"\s(?:\||;|&&|>|2>)\s|\)|  #")


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yields the program and the rest of each command line in a page."""
    fenced = [line for block in _FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    spans = [span.replace("\n", " ") for span in _SPAN.findall(_FENCE.sub("", text))]
    for line in fenced:
        if not line.startswith("#"):
            yield from ((found[1], _END.split(found[2])[0]) for found in _COMMAND.finditer(line))
    for span in spans:
        if found := re.match(r"(?:[A-Z_]+=\S+ )*(trunkline(?:-node)?) (.*)", span):
            yield found[1], _END.split(found[2])[0]
        elif span.partition(" ")[0] in trunkline.list_commands(click.Context(trunkline)) and " " in span:
            yield "trunkline", span


def problems(program: str, arguments: str) -> Iterator[str]:
    """Yields the parts of a command line that do not exist; `up|down` stands for either."""
    found: list[click.Command] = [PROGRAMS[program]]
    for word in _words(arguments):
        if word.startswith("-"):
            flag = word.partition("=")[0]
            if any(flag not in _flags(each) for each in found):
                yield f"{program} {arguments}: no flag {flag}"
        elif isinstance(found[0], click.Group) and re.fullmatch(r"[a-z|-]+", word):
            group = found[0]
            below = [group.get_command(click.Context(group), name) for name in word.split("|")]
            if None in below:
                yield f"{program} {arguments}: no command {word}"
                return
            found = [each for each in below if each is not None]


def _words(text: str) -> list[str]:
    text = re.sub(r"[\[\]]", " ", text)
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _flags(command: click.Command) -> set[str]:
    own = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return own | {"--help", "-h", "--version"}


def _every_flag(command: click.Command) -> Iterator[str]:
    yield from _flags(command)
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            below = command.get_command(click.Context(command), name)
            assert below is not None
            yield from _every_flag(below)


def _of_services() -> Iterator[str]:
    for helping in (
        partial(xds_server_settings.parse, environment={}),
        partial(translator_settings.parse, inherited=False),
    ):
        shown = io.StringIO()
        with redirect_stdout(shown), suppress(SystemExit):
            helping(["--help"])
        yield from re.findall(r"--[a-z][a-z-]+", shown.getvalue())


def _of_bench() -> Iterator[str]:
    for file in (ROOT / "bench").rglob("*.py"):
        yield from re.findall(r'"(--[a-z][a-z-]+)"', file.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Path) -> None:
    wrong = [said for found in commands(page.read_text()) for said in problems(*found)]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_flag_belongs_to_a_program(page: Path) -> None:
    known = {*FOREIGN, *_of_services(), *_of_bench()}
    for program in PROGRAMS.values():
        known |= set(_every_flag(program))
    spans = _SPAN.findall(page.read_text())
    named = {flag for span in spans for flag in re.findall(r"(?<!\S)--[a-z][a-z-]+", span)}
    assert named - known == set()


def test_the_operators_flags_are_those_of_up() -> None:
    """Flags without a program, on the pages about running a gateway, are flags of `trunkline up`."""
    up = trunkline.get_command(click.Context(trunkline), "up")
    assert up is not None
    for flag in ("--tunnel-url", "--usage-retention", "--rollup-retention", "--tunnel-listen", "--control-listen"):
        assert flag in _flags(up)


def test_the_readme_has_commands_to_check() -> None:
    found = list(commands((ROOT / "README.md").read_text()))
    assert len(found) > 10
    assert list(problems("trunkline", "keys revok ID")) == ["trunkline keys revok ID: no command revok"]
    assert list(problems("trunkline", "up --lissten x")) == ["trunkline up --lissten x: no flag --lissten"]
