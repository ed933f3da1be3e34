"""Rows of another version's format: each keeps its last valid value or is left out, and everything
else is served.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import CursorResult, text

from tests.xds_server.store.databases import OpenStore
from xds_server.model import DesiredState, Limit, Metric, Provider, ProviderTarget, Route
from xds_server.store import Store
from xds_server.store.settings import KeySettings
from xds_server.store.writing import keys, organisations, providers, routes
from xds_server.store.writing.transaction import Transaction


def fill(store: Store) -> None:
    def work(tx: Transaction) -> None:
        for name in ("fine", "broken"):
            providers.put(tx, Provider(name, "https://api.example.com/v1"), expected=0)
            organisations.put(tx, name, limits=(Limit(Metric.REQUESTS, 60, 600),), expected=0)
            target = ProviderTarget(provider="fine", model="m")
            routes.put(tx, Route(id="", model=name, targets=(target,)), organisation="", expected=0)
            keys.create(tx, "fine", name, KeySettings())

    store.write("admin", work)


def damage(store: Store, table: str, column: str, name: str, value: str, kind: str) -> None:
    """Writes `value` like another program, bypassing all checks."""
    execute(
        store,
        f"UPDATE {table} SET {column} = '{value}' WHERE {name} = 'broken'",
        f"UPDATE revision SET value = value + 1 WHERE kind IN ('state', '{kind}')",
    )


def execute(store: Store, *statements: str) -> list[Any]:
    """Runs the statements. Returns the rows of the last one."""

    def work(tx: Transaction) -> list[Any]:
        *_, last = (tx.session.execute(text(each)) for each in statements)
        assert isinstance(last, CursorResult)
        return [tuple(row) for row in last] if last.returns_rows else []

    return store.write("somebody", work).value


def names(state: DesiredState, kind: str) -> set[str]:
    return {getattr(each, "model", "") or each.name for each in getattr(state, kind).values()}


KINDS = {
    "organisations": ("organisation", "limits", "name", "{not JSON", 'organisation "broken"'),
    "keys": ("api_key", "limits", "name", '[["litres", 60, 1]]', 'key "broken"'),
    "routes": ("route", "strategy", "model", "dearest", 'route "broken"'),
}


@pytest.mark.parametrize("kind", KINDS)
def test_at_a_start_it_is_left_out_and_named(open_store: OpenStore, kind: str) -> None:
    table, column, name, value, what = KINDS[kind]
    store = open_store()
    fill(store)
    damage(store, table, column, name, value, kind)
    state = open_store().load()
    assert names(state, kind) == {"fine"}
    (said,) = state.unreadable
    assert said.startswith(f"{what} as it is stored cannot be read (")
    assert said.endswith("it is left out")


@pytest.mark.parametrize("kind", KINDS)
def test_while_running_its_last_good_form_stays_until_it_is_mended(open_store: OpenStore, kind: str) -> None:
    table, column, name, value, what = KINDS[kind]
    store = open_store()
    fill(store)
    good = store.load()
    ((stored,),) = execute(store, f"SELECT {column} FROM {table} WHERE {name} = 'broken'")
    damage(store, table, column, name, value, kind)
    state = store.load()
    assert getattr(state, kind) == getattr(good, kind)
    (said,) = state.unreadable
    assert said.startswith(what)
    assert said.endswith("its last good form is served")
    # A change of another kind does not discard it.
    other = "keys" if kind != "keys" else "organisations"
    execute(store, f"UPDATE revision SET value = value + 1 WHERE kind IN ('state', '{other}')")
    assert store.load().unreadable == (said,)
    damage(store, table, column, name, stored, kind)
    assert store.load().unreadable == ()
