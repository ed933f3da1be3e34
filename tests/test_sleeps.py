"""A test waits for events by the helpers of tests/waiting.py; where time itself must pass, the line says why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def unexplained_sleeps(path: Path) -> Iterator[int]:
    """Yields the lines with a sleep and no comment. `sleep(0)` only lets other tasks run."""
    source = path.read_text()
    if "sleep(" not in source:
        return
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] != "sleep":
            continue
        lets_run = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        if not lets_run and "  # " not in lines[node.lineno - 1]:
            yield node.lineno


@pytest.mark.slow
def test_every_sleep_says_why_time_must_pass() -> None:
    allowed = TESTS / "waiting.py"
    found = [
        f"{path.relative_to(TESTS.parent)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        if path != allowed and "node_modules" not in path.parts
        for line in unexplained_sleeps(path)
    ]
    assert not found, f"wait by tests/waiting.py, or say on the line why this time must pass: {found}"


def test_a_sleep_without_a_reason_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("await asyncio.sleep(0)\ntime.sleep(1)\nsleep(1)  # the pace of the load\n")
    assert list(unexplained_sleeps(module)) == [2]
