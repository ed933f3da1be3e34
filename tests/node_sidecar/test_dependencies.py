"""A node with the oldest and the newest versions of its dependencies, and with those of an inference server."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from scripts.locked_environment import ROOT, python_of
from tests.node_sidecar.llama import MODEL, Llama
from tests.node_sidecar.support.process import NodeProcess, run
from tests.node_sidecar.support.registry import Gateway

LOCKS = Path(__file__).parent / "dependencies"


@pytest.fixture(scope="module", params=["oldest", "machine_learning", "newest"])
def python(request: pytest.FixtureRequest) -> Path:
    return python_of(LOCKS / f"{request.param}.lock", with_project=True)


@pytest.mark.packages
@pytest.mark.timeout(300)
async def test_a_node_joins_reports_serves_and_leaves(
    python: Path, gateway: Gateway, llama: Llama, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    arguments = ("join", gateway.url, "--name", "lab", "--upstream", llama.url)
    # protobuf and grpcio warn first when the generated code does not fit them.
    environment = {"TRUNKLINE_JOIN_TOKEN": gateway.issuer.token(), "PYTHONWARNINGS": "error::UserWarning"}
    async with NodeProcess(state, *arguments, python=python, **environment):
        report = await gateway.serving()
        assert [offer.model for offer in report.offers] == [MODEL]
        assert report.facts.memory_bytes > 0
        peer = await gateway.peer()
        answer = await peer.answer(peer.chat(MODEL, max_tokens=4))
        assert answer.status == 200
        code, output = await run(state, "status", python=python)
        assert code == 0, output
        await peer.close()
    code, output = await run(state, "leave", python=python)
    assert code == 0, output
    assert gateway.left


def test_the_oldest_are_what_the_bounds_say() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["node"]]
    bounds = {
        found[1].lower(): _version(found[2])
        for entry in wanted
        if (found := re.match(r"([\w.-]+)>=([\d.]+)", entry)) is not None
    }
    oldest = _locked(LOCKS / "oldest.lock")
    assert {name: oldest[name][: len(bound)] for name, bound in bounds.items()} == bounds
    assert len(bounds) == len(wanted) - 1  # tzdata's versions are dates


def test_the_generator_makes_code_for_the_oldest() -> None:
    oldest, generator = _locked(LOCKS / "oldest.lock"), _locked(ROOT / "proto/generator.lock")
    assert generator["grpcio-tools"][:2] == oldest["grpcio"][:2]
    (made_for,) = {
        found
        for file in (ROOT / "proto").rglob("*_pb2.py")
        for found in re.findall(r"# Protobuf Python Version: ([\d.]+)", file.read_text())
    }
    assert _version(made_for)[:2] == oldest["protobuf"][:2]


def _locked(lock: Path) -> dict[str, tuple[int, ...]]:
    found = re.findall(r"^([\w.-]+)==([\d.]+)", lock.read_text(), re.MULTILINE)
    return {name.lower(): _version(version) for name, version in found}


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.strip(".").split("."))
