"""Popular clients, unmodified except for the base URL and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import environments, table
from tests.clients.client import CLIENTS, Client
from tests.clients.running import Run, run_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_all(tmp_path_factory.mktemp("clients"))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_case_gives_what_it_should(client: Client, made: Run) -> None:
    assert made.results[client.name] == client.expected


def test_each_client_met_its_limit(made: Run) -> None:
    assert made.refusals >= len(CLIENTS)


def test_the_document_has_the_table_of_this_run(made: Run) -> None:
    assert table.written() == table.rendered(made.results), "docs/clients.md is stale: make clients"


def test_a_missing_program_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="npm is missing: apt-get install nodejs npm"):
        environments.program("npm")


def test_an_old_node_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v18.20.4\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"Node.js v18.20.4 is too old: the clients need 20"):
        environments.node_program()
