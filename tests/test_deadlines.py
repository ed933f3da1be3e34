"""A deadline leaves a busy machine a minute; a shorter one says on its line why it is short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: Seconds.
LEAST = 60
#: Calls whose last positional argument is a deadline.
_CALLS = {"asyncio.timeout", "asyncio.wait_for"}
_METHODS = {"settimeout"}
_KEYWORDS = {"timeout", "within", "timeout_seconds", "total"}
#: Without a time limit of the caller's, httpx has one of five seconds.
_HTTPX = {"get", "post", "put", "patch", "delete", "request", "stream", "Client", "AsyncClient"}


def short_deadlines(path: Path) -> Iterator[int]:
    """Yields the lines with a deadline below `LEAST` and no comment."""
    source = path.read_text()
    lines = source.splitlines()
    tree = ast.parse(source)
    constants = dict(_constants(tree))

    def is_short(value: ast.expr) -> bool:
        found = constants.get(value.id) if isinstance(value, ast.Name) else _number(value)
        return found is not None and found < LEAST

    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        deadlines = [each.value for each in node.keywords if each.arg in _KEYWORDS]
        if node.args and (name in _CALLS or name.rpartition(".")[2] in _METHODS):
            deadlines.append(node.args[-1])
        module, _, function = name.rpartition(".")
        keywords = {each.arg for each in node.keywords}
        none = module == "httpx" and function in _HTTPX and not keywords & {"timeout", None}
        if (none or any(map(is_short, deadlines))) and "  # " not in lines[node.lineno - 1]:
            yield node.lineno


def _constants(tree: ast.Module) -> Iterator[tuple[str, float]]:
    for node in tree.body:
        if not isinstance(node, ast.Assign) or (value := _number(node.value)) is None:
            continue
        yield from ((each.id, value) for each in node.targets if isinstance(each, ast.Name))


def _number(value: ast.expr) -> float | None:
    if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
        return float(value.value)
    return None


@pytest.mark.slow
def test_every_deadline_is_one_that_a_busy_machine_keeps() -> None:
    scripts = TESTS / "clients"  # they run in environments of their own, against settings of the clients
    found = [
        f"{path.relative_to(TESTS.parent)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        if "node_modules" not in path.parts and scripts not in path.parents
        for line in short_deadlines(path)
    ]
    assert not found, f"give it {LEAST} seconds, or say on the line why it is short: {found}"


def test_a_short_deadline_without_a_reason_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "PATIENCE = 20\n"
        "asyncio.timeout(PATIENCE)\n"
        "asyncio.wait_for(came.get(), 60)\n"
        "call(timeout=5)\n"
        "call(timeout=5)  # it is silent\n"
        "httpx.get(url)\n"
        "httpx.get(url, timeout=60)\n"
    )
    assert list(short_deadlines(module)) == [2, 4, 6]
