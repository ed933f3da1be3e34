"""Each alert is stored once, in whichever order its reports arrive."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.xds_server.alerts.reached import NOW, alert
from tests.xds_server.store.databases import OpenStore
from xds_server.alerts import table
from xds_server.alerts.table import Delivery
from xds_server.ledger.ledger import Ledger


async def test_an_alert_of_two_translators_is_one(ledger: Ledger) -> None:
    add = partial(table.add, delivery=Delivery.WAITING)
    assert len(await ledger.write(lambda writing: add(writing, [alert(), alert(1000), alert()]))) == 2
    # Another translator reports a little later, with another count.
    assert not await ledger.write(lambda writing: add(writing, [alert(reached_at=NOW + 9, taken=9_000_000)]))
    later = alert(reached_at=NOW + 3_600, until=NOW + 7_200)
    assert await ledger.write(lambda writing: add(writing, [later])) == [later]
    others = [alert(holder_id="org_2"), alert(value="alice"), alert(500)]
    assert await ledger.write(lambda writing: add(writing, others)) == others


async def test_two_replicas_do_not_send_the_same(open_store: OpenStore) -> None:
    stores = [open_store(), open_store()]
    ledgers = [Ledger(each.url, each.write_lock) for each in stores]
    alerts = [alert(value=f"user{number}") for number in range(20)]
    await ledgers[0].write(lambda writing: table.add(writing, alerts, Delivery.WAITING))
    with ThreadPoolExecutor(2) as pool:
        claimed = pool.map(
            lambda each: each._write(lambda writing: table.claim(writing, NOW, 60, 15)),
            ledgers,
        )
        found = [kept.alert.value for part in claimed for kept in part]
    assert sorted(found) == sorted(each.value for each in alerts)
    again = await ledgers[1].write(lambda writing: table.claim(writing, NOW + 61, 60, 100))
    assert len(again) == 20
    for each in ledgers:
        each.close()


async def test_what_became_of_it(ledger: Ledger) -> None:
    await ledger.write(lambda writing: table.add(writing, [alert(), alert(1000)], Delivery.WAITING))
    first, second = await ledger.write(lambda writing: table.claim(writing, NOW, 60, 100))
    await ledger.write(
        lambda writing: table.settle(writing, [first], Delivery.WAITING, next_at=NOW + 4, error="answered 500")
    )
    await ledger.write(lambda writing: table.settle(writing, [second], Delivery.SENT, next_at=0, error=""))
    (waiting,) = await ledger.write(lambda writing: table.claim(writing, NOW + 5, 60, 100))
    assert (waiting.id, waiting.attempts, waiting.error) == (first.id, 1, "answered 500")
    shown = await ledger.write(lambda writing: table.current(writing, NOW, 10))
    assert {each.id: each.delivery for each in shown} == {first.id: Delivery.WAITING, second.id: Delivery.SENT}
    # A note about a past window does not affect the next one.
    await ledger.write(
        lambda writing: table.add(writing, [alert(reached_at=NOW + 3_600, until=NOW + 7_200)], Delivery.WAITING)
    )
    eight = first if first.alert.share_permille == 800 else second
    await ledger.write(lambda writing: table.settle(writing, [eight], Delivery.FAILED, next_at=0, error="late"))
    newest = (await ledger.write(lambda writing: table.current(writing, NOW + 3_600, 10)))[0]
    assert newest.delivery is Delivery.WAITING
    await ledger.write(lambda writing: table.remove(writing, NOW + 30 * 86_400))
    assert not await ledger.write(lambda writing: table.current(writing, 0, 10))


async def test_the_oldest_make_room(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_ALERTS", 10)
    monkeypatch.setattr(table, "ROOM", 3)
    for number in range(14):
        one = alert(value=f"user{number}", reached_at=NOW + number)
        assert await ledger.write(lambda writing, one=one: table.add(writing, [one], Delivery.NONE))  # type: ignore[misc]
    kept = await ledger.write(lambda writing: table.current(writing, NOW, 100))
    assert [each.alert.value for each in kept] == [f"user{number}" for number in range(13, 5, -1)]
