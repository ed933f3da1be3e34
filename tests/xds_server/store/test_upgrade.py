"""Databases of earlier versions: nothing is lost, and nothing is claimed by whoever comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.upgrade.copies import NAMES, copy
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
    assert [each.name for each in acme.limits] == ["requests/1m", "cost_usd/month"]
    held = [*state.providers.values(), *state.routes.values(), *state.keys.values(), *state.organisations.values()]
    assert {each.managed_by for each in held} == {""}
    assert len(events) >= len(held)
