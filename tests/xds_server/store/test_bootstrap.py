"""The first start creates one organisation and one key, even if it dies in between."""

from __future__ import annotations

import pytest

from tests.xds_server.store.databases import OpenStore
from xds_server.store import DEFAULT_ORGANISATION, writing
from xds_server.store.api_keys import hash_of


def test_the_first_start_makes_a_key_and_later_ones_do_not(open_store: OpenStore) -> None:
    delivered: list[str] = []
    value = open_store().bootstrap(delivered.append)
    assert delivered == [value]
    state = open_store().load()
    assert [each.name for each in state.organisations.values()] == [DEFAULT_ORGANISATION]
    (key,) = state.keys.values()
    assert value is not None
    assert key.hash == hash_of(value)
    assert open_store().bootstrap(delivered.append) is None
    assert delivered == [value]


def test_a_default_that_was_removed_stays_removed(open_store: OpenStore) -> None:
    store = open_store()
    store.bootstrap()
    store.write("admin", lambda tx: writing.organisations.delete(tx, DEFAULT_ORGANISATION))
    assert open_store().bootstrap() is None
    assert not open_store().load().organisations


def test_a_key_that_could_not_be_delivered_is_not_stored(open_store: OpenStore) -> None:
    def fail(value: str) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        open_store().bootstrap(fail)
    assert open_store().load().revision == 0
    assert open_store().bootstrap() is not None


def test_warming_changes_nothing(open_store: OpenStore) -> None:
    store = open_store()
    store.warm()
    assert store.load().revision == 0
