"""The clients people have, unchanged but for the base URL and the key."""

from __future__ import annotations

import pytest

from tests.clients import environments, table
from tests.clients.client import CLIENTS, Client
from tests.clients.running import Results, results

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return results(tmp_path_factory.mktemp("clients"))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_case_gives_what_it_should(client: Client, made: Results) -> None:
    assert made[client.name] == client.expected


def test_the_document_has_the_table_of_this_run(made: Results) -> None:
    assert table.written() == table.rendered(made), "docs/clients.md is stale: make clients"


def test_a_missing_program_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="npm is missing: apt-get install nodejs npm"):
        environments.program("npm")
