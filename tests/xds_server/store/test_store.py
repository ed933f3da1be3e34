"""Stored values come back, versioned, on both databases."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.xds_server.store.databases import OpenStore
from xds_server.errors import AlreadyExistsError, InUseError, InvalidFieldError, NotFoundError, StaleWriteError
from xds_server.model import (
    Calendar,
    DesiredState,
    Limit,
    Metric,
    NodesTarget,
    Privacy,
    Provider,
    ProviderTarget,
    Route,
    Strategy,
    Timeouts,
)
from xds_server.prices import TargetPrice
from xds_server.store import Store
from xds_server.store.managers import API
from xds_server.store.settings import KeySettings
from xds_server.store.writing import keys, organisations, providers, routes
from xds_server.store.writing.transaction import Transaction

OPENAI = Provider("openai", "https://api.example.com/v1", credentials=("cred-1", "cred-2"), ca_file="/ca.pem")
LIMITS = (
    Limit(Metric.REQUESTS, 60, 600),
    Limit(Metric.CONCURRENCY, 0, 8),
    Limit(Metric.COST_USD, 0, 500_000_000, Calendar.MONTH, "Europe/Berlin", "gpt-4.1"),
)
ROUTE = Route(
    id="",
    model="gpt-4.1",
    targets=(
        ProviderTarget(
            "openai", "gpt-4.1-2025", weight=80, prices=(TargetPrice(2_000_000, 8_000_000, version=1),)
        ),
        NodesTarget("llama3:70b", weight=0, tier=1),
    ),
    strategy=Strategy.OWN_FIRST,
    timeouts=Timeouts(30_000, 60_000, 2_000),
    cache_ttl_seconds=5,
    privacy=Privacy.ANY,
    limits=LIMITS[:2],
    reserved_output_tokens=2_048,
)


def put_route(store: Store, route: Route) -> Route:
    return store.write("admin", lambda tx: routes.put(tx, route, organisation="", expected=None)).value


def put_provider(store: Store, provider: Provider = OPENAI, expected: int | None = None) -> Provider:
    return store.write("admin", lambda tx: providers.put(tx, provider, expected=expected)).value


def test_what_is_written_comes_back(open_store: OpenStore) -> None:
    def work(tx: Transaction) -> str:
        providers.put(tx, OPENAI, expected=0)
        organisations.put(tx, "acme", limits=LIMITS, expected=0)
        routes.put(tx, ROUTE, organisation="acme", expected=0)
        routes.put(tx, replace(ROUTE, strategy=Strategy.WEIGHTED), organisation="", expected=0)
        settings = KeySettings(models=("gpt-*",), limits=LIMITS, expires_at=4_000_000_000)
        return keys.create(tx, "acme", "ci", settings)[1]

    committed = open_store().write("admin", work)
    state = open_store().load()

    assert committed.revision == state.revision == 1
    limits = tuple(replace(limit, managed_by=API) for limit in LIMITS)
    assert state.providers == {"openai": replace(OPENAI, managed_by=API, version=1, credentials_managed_by=API)}
    (acme,) = state.organisations.values()
    assert (acme.name, acme.limits, acme.version) == ("acme", limits, 1)
    own, everybody = sorted(state.routes.values(), key=lambda route: route.organisation_id, reverse=True)
    stored = replace(ROUTE, id=own.id, organisation_id=acme.id, created_at=own.created_at, limits=limits[:2])
    assert own == replace(stored, managed_by=API, version=1)
    assert (everybody.organisation_id, everybody.strategy) == ("", Strategy.WEIGHTED)
    (key,) = state.keys.values()
    assert (key.organisation_id, key.name, key.models, key.limits) == (acme.id, "ci", ("gpt-*",), limits)
    assert key.expires_at == 4_000_000_000
    assert committed.value.startswith(f"sk-tl-{key.id}-")
    assert abs(key.created_at - time.time()) < 60


def test_a_stale_write_is_refused(store: Store) -> None:
    first = put_provider(store, expected=0)
    second = put_provider(store, replace(OPENAI, base_url="https://b.example.com"), expected=first.version)
    assert second.version > first.version
    with pytest.raises(StaleWriteError, match="read it again"):
        put_provider(store, replace(OPENAI, base_url="https://c.example.com"), expected=first.version)
    with pytest.raises(StaleWriteError):
        store.write("admin", lambda tx: providers.delete(tx, "openai", expected=first.version))
    assert store.load().providers["openai"].base_url == "https://b.example.com"


def test_a_version_is_never_used_twice_for_a_name(store: Store) -> None:
    first = put_provider(store, expected=0)
    store.write("admin", lambda tx: providers.delete(tx, "openai"))
    put_provider(store, expected=0)
    with pytest.raises(StaleWriteError):
        put_provider(store, replace(OPENAI, base_url="https://b.example.com"), expected=first.version)


def test_create_refuses_what_exists_and_replace_what_does_not(store: Store) -> None:
    with pytest.raises(NotFoundError):
        put_provider(store, expected=7)
    put_provider(store, expected=0)
    with pytest.raises(AlreadyExistsError, match="version 1"):
        put_provider(store, expected=0)


def test_of_two_concurrent_writers_one_is_refused(open_store: OpenStore) -> None:
    stores = [open_store(), open_store()]
    version = put_provider(stores[0], expected=0).version
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def write(store: Store, number: int) -> None:
        barrier.wait(60)
        try:
            put_provider(store, replace(OPENAI, base_url=f"https://{number}.example.com"), expected=version)
            outcomes.append("written")
        except StaleWriteError:
            outcomes.append("stale")

    threads = [threading.Thread(target=write, args=(store, number)) for number, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert sorted(outcomes) == ["stale", "written"]
    assert stores[0].load().revision == 2


def test_concurrent_writers_that_repeat_lose_nothing(open_store: OpenStore) -> None:
    stores = [open_store(), open_store()]
    put_provider(stores[0], replace(OPENAI, base_url="https://0.example.com"), expected=0)
    rounds = 15

    def count_up(store: Store) -> None:
        done = 0
        while done < rounds:
            current = store.load().providers["openai"]
            number = int(current.base_url.removeprefix("https://").partition(".")[0]) + 1
            try:
                put_provider(
                    store, replace(current, base_url=f"https://{number}.example.com"), expected=current.version
                )
                done += 1
            except StaleWriteError:
                continue

    threads = [threading.Thread(target=count_up, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    state = stores[1].load()
    assert state.providers["openai"].base_url == f"https://{2 * rounds}.example.com"
    assert state.revision == 2 * rounds + 1


def test_a_failing_transaction_leaves_nothing(store: Store) -> None:
    def work(tx: Transaction) -> None:
        providers.put(tx, OPENAI, expected=0)
        routes.put(tx, ROUTE, organisation="nobody", expected=0)

    with pytest.raises(NotFoundError, match='no organisation "nobody"'):
        store.write("admin", work)
    assert store.load() == DesiredState(0)


def test_a_write_that_changes_nothing_makes_no_revision(store: Store) -> None:
    put_provider(store)
    again = store.write("admin", lambda tx: providers.put(tx, OPENAI, expected=None))
    assert (again.revision, again.events, again.value.version) == (1, (), 1)


def test_a_dry_run_changes_nothing(store: Store) -> None:
    committed = store.write("admin", lambda tx: providers.put(tx, OPENAI, expected=0), dry_run=True)
    assert committed.revision == 0
    assert [event.object_name for event in committed.events] == ["openai"]
    assert store.load() == DesiredState(0)


def test_a_provider_in_use_stays(store: Store) -> None:
    def work(tx: Transaction) -> None:
        providers.put(tx, OPENAI, expected=0)
        organisations.put(tx, "acme", limits=(), expected=0)
        routes.put(tx, ROUTE, organisation="acme", expected=0)
        routes.put(tx, ROUTE, organisation="", expected=0)

    store.write("admin", work)
    with pytest.raises(InUseError, match=re.escape("acme/gpt-4.1, gpt-4.1")):
        store.write("admin", lambda tx: providers.delete(tx, "openai"))


def test_an_organisation_leaves_with_its_keys_and_routes(store: Store) -> None:
    def work(tx: Transaction) -> None:
        providers.put(tx, OPENAI, expected=0)
        for name in ("acme", "other"):
            organisations.put(tx, name, limits=(), expected=0)
            routes.put(tx, ROUTE, organisation=name, expected=0)
            keys.create(tx, name, "ci", KeySettings())

    store.write("admin", work)
    committed = store.write("admin", lambda tx: organisations.delete(tx, "acme"))
    assert sorted((e.object_type, e.object_name) for e in committed.events) == [
        ("key", "acme/ci"),
        ("organisation", "acme"),
        ("route", "acme/gpt-4.1"),
    ]
    state = store.load()
    assert [o.name for o in state.organisations.values()] == ["other"]
    assert len(state.routes) == len(state.keys) == 1


def test_prices_follow_their_targets(store: Store) -> None:
    put_provider(store)
    cheap, dear = TargetPrice(1, 1), TargetPrice(9, 9, cached_input=4, request=3)
    first = put_route(store, replace(ROUTE, targets=(provider_target(cheap), nodes_target())))
    assert [target.prices for target in first.targets] == [(replace(cheap, version=1),), ()]
    second = put_route(store, replace(ROUTE, targets=(nodes_target(cheap), provider_target(dear))))
    of_nodes, of_provider = (target.prices for target in second.targets)
    assert [(price.rates, price.version) for price in of_provider] == [(cheap.rates, 1), (dear.rates, 2)]
    assert [price.version for price in of_nodes] == [1]
    assert abs(of_provider[1].valid_from - time.time()) < 60
    assert store.load().routes[second.id].targets == second.targets
    assert put_route(store, second) == second


def test_a_target_that_comes_back_has_its_history(store: Store) -> None:
    put_provider(store)
    put_route(store, replace(ROUTE, targets=(provider_target(TargetPrice(1, 1)), nodes_target())))
    put_route(store, replace(ROUTE, targets=(nodes_target(),)))
    back = put_route(store, replace(ROUTE, targets=(provider_target(TargetPrice(2, 2)),)))
    assert [price.version for price in back.targets[0].prices] == [1, 2]
    store.write("admin", lambda tx: routes.delete(tx, ROUTE.model, organisation=""))
    again = put_route(store, replace(ROUTE, targets=(provider_target(TargetPrice(2, 2)),)))
    assert [(price.version, price.valid_from) for price in again.targets[0].prices] == [(1, 0)]


def test_a_price_to_come_is_replaced_and_the_past_is_not(store: Store) -> None:
    put_provider(store)
    later = int(time.time()) + 86_400
    put_route(store, replace(ROUTE, targets=(provider_target(TargetPrice(1, 1)),)))
    put_route(store, replace(ROUTE, targets=(provider_target(TargetPrice(2, 2, valid_from=later)),)))
    stored = put_route(store, replace(ROUTE, targets=(provider_target(TargetPrice(3, 3, valid_from=later)),)))
    expected = (TargetPrice(1, 1, version=1), TargetPrice(3, 3, valid_from=later, version=3))
    assert stored.targets[0].prices == store.load().routes[stored.id].targets[0].prices == expected
    with pytest.raises(
        InvalidFieldError, match=re.escape("route.targets[0].price.valid_from: 1970-01-01T00:00:05")
    ):
        put_route(store, replace(ROUTE, targets=(provider_target(TargetPrice(4, 4, valid_from=5)),)))
    assert store.load().routes[stored.id] == stored


def provider_target(*prices: TargetPrice) -> ProviderTarget:
    return ProviderTarget("openai", "gpt-4.1-2025", prices=prices)


def nodes_target(*prices: TargetPrice) -> NodesTarget:
    return NodesTarget("llama3:70b", prices=prices)


def test_a_load_shares_what_did_not_change(open_store: OpenStore) -> None:
    reading, writing = open_store(), open_store()
    put_provider(writing)
    first = reading.load()
    assert reading.load() is first
    writing.write("admin", lambda tx: organisations.put(tx, "acme", limits=(), expected=0))
    second = reading.load()
    assert second.providers is first.providers
    assert second.organisations is not first.organisations


def test_ten_thousand_keys_load_fast(
    open_store: OpenStore, record_property: Callable[[str, object], None]
) -> None:
    def work(tx: Transaction) -> None:
        organisations.put(tx, "acme", limits=(), expected=0)
        for number in range(10_000):
            keys.create(tx, "acme", f"key-{number}", KeySettings(models=("gpt-*",), limits=LIMITS))

    started = time.process_time()
    open_store().write("admin", work)
    record_property("write_seconds", time.process_time() - started)
    reader = open_store()
    started = time.process_time()
    state = reader.load()
    seconds = time.process_time() - started
    record_property("load_seconds", seconds)
    print(f"10,000 keys: load {seconds * 1000:.0f} ms of this process's time")  # noqa: T201
    assert len(state.keys) == 10_000
    assert seconds < 30
