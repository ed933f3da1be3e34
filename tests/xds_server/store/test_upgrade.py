"""Databases of earlier versions: nothing is lost, and no manager claims an object just by coming first."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.fixtures.upgrade.copies import NAMES, copy
from xds_server.ledger import rollup
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.model import Key, Organisation, Provider, Route
from xds_server.store import AuditQuery, DatabaseUrl, Store
from xds_server.store.api_keys import hash_of


@pytest.mark.parametrize("name", NAMES)
def test_an_earlier_database_opens_with_all_that_it_has(tmp_path: Path, name: str) -> None:
    old = copy(name, tmp_path / "data")
    store = Store.open(DatabaseUrl.of_file(old.data_dir / "trunkline.db"), key_file=old.data_dir / "secret.key")
    try:
        state = store.load()
        assert store.verify_audit().first_broken == 0
        events = store.audit_events(AuditQuery())
    finally:
        store.close()
    assert {each.hash for each in state.keys.values()} == {hash_of(value) for value in old.keys.values()}
    assert state.providers["a"].credentials == ("sk-provider-a",)
    (acme,) = [each for each in state.organisations.values() if each.name == "acme"]
    assert {each.name for each in acme.limits} >= {"requests/1m", "cost_usd/month"}
    held: list[Provider | Route | Key | Organisation] = [
        *state.providers.values(),
        *state.routes.values(),
        *state.keys.values(),
        *state.organisations.values(),
    ]
    if name == "schema_0007":
        assert {each.managed_by for each in held} == {""}
    assert len(events) >= len(held)


@pytest.mark.parametrize("name", [each for each in NAMES if each.startswith("release_")])
async def test_a_release_left_an_object_of_every_kind(tmp_path: Path, name: str) -> None:
    old = copy(name, tmp_path / "data")
    url = DatabaseUrl.of_file(old.data_dir / "trunkline.db")
    store = Store.open(url, key_file=old.data_dir / "secret.key")
    with closing(store), closing(LedgerReader(url)) as ledger:
        state = store.load()
        groups = await ledger.report(Filter(), ())
        kinds = {each.object_type.value for each in store.audit_events(AuditQuery())}
    assert {each.name for each in state.nodes.values()} == {"rig"}
    assert {each.managed_by for each in state.routes.values()} == {"file:trunkline"}
    assert state.gateway.alerts.webhook == "http://127.0.0.1:9/alerts"
    assert {each.name for each in state.gateway.oidc} == {"corp"}
    # Each section that is not empty has the gateway's former manager.
    assert state.gateway.manager_of("alerts") == state.gateway.manager_of("oidc") == "file:trunkline"
    assert (state.gateway.jwt, state.gateway.manager_of("jwt")) == ((), "")
    assert kinds >= {"user", "node", "key", "route"}
    assert [each.sums[rollup.SUMS.index("requests")] for each in groups] == [6]
