"""A record that cannot be stored is set aside in full, and delays no other."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.test_writing import exported, totals
from tests.xds_server.ledger.usage import batch, usage
from xds_server.ledger import checking, refused
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.store import Store


async def test_a_bad_record_is_set_aside_and_the_others_are_stored(ledger: Ledger, reader: LedgerReader) -> None:
    good, bad = usage(), usage(id="bad\x00", format=9, tag="\x00")
    for _ in range(2):
        appended = await ledger.append(batch(bad, good))
        assert appended.acknowledged == [bad.id, good.id]
        assert [(each.record, each.field) for each in appended.refused] == [(bad, "format")]
    assert await exported(reader) == [good.id]
    (kept,), total = await reader.refused(10)
    assert (kept.record, kept.field, kept.source, total) == (bad, "format", "translator-test", 1)
    assert kept.reason == "9 is not known; accepted: 1"


async def test_what_there_is_no_room_for_stays_with_the_sender(
    ledger: Ledger, reader: LedgerReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused, "MAX_REFUSED", 2)
    large = usage(format=9, failed_attempts=[{"reason": "r" * 70_000}])
    records = [large, *(usage(format=9) for _ in range(3)), usage()]
    request = batch(*records)
    request.keeps_refused = True
    appended = await ledger.append(request)
    assert appended.acknowledged == [records[1].id, records[2].id, records[4].id]
    assert len(appended.refused) == 4
    assert (await reader.refused(10))[1] == 2
    request.keeps_refused = False  # an older translator would send it for ever
    assert len((await ledger.append(request)).acknowledged) == 5


@pytest.mark.parametrize("field", [{"prompt_tokens": 2**64 - 1}, {"duration_us": 2**63}, {"key_id": "a\x00"}])
async def test_what_the_database_does_not_take_delays_nobody(
    store: Store, reader: LedgerReader, monkeypatch: pytest.MonkeyPatch, field: dict[str, object]
) -> None:
    """The database refuses a record that our own checks overlooked."""
    ledger = Ledger(store.url, store.write_lock)
    monkeypatch.setattr(checking, "_are_ordinary", lambda *_: True)
    bad = usage()
    for name, value in field.items():
        setattr(bad, name, value)
    others = [usage() for _ in range(100)]
    appended = await ledger.append(batch(*others[:37], bad, *others[37:]))
    assert len(appended.acknowledged) == 101
    await ledger.append(batch(usage()))
    ledger.close()
    stored = (await totals(reader))["requests"]
    if "key_id" in field and store.url.is_sqlite:
        assert (stored, appended.refused) == (102, [])
        return
    assert [(each.record, each.field) for each in appended.refused] == [(bad, "")]
    assert (stored, (await reader.refused(10))[1]) == (101, 1)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["", "\x00", "\uffff", "😀" * 600])
NUMBERS = st.integers(0, 2**64 - 1) | st.integers(0, 20)


def drawn(data: st.DataObject) -> pb.UsageRecord:
    """Draws a record in which some fields have arbitrary values."""
    made = usage()
    for field in data.draw(st.lists(st.sampled_from(list(pb.UsageRecord.DESCRIPTOR.fields)), max_size=6)):
        if field.name == "failed_attempts":
            status = data.draw(NUMBERS) % 2**32
            made.failed_attempts.add(target_id=data.draw(TEXTS), status=status, reason=data.draw(TEXTS))
        elif field.type == field.TYPE_STRING:
            setattr(made, field.name, data.draw(TEXTS))
        elif field.type == field.TYPE_BOOL:
            setattr(made, field.name, data.draw(st.booleans()))
        elif field.type == field.TYPE_INT64:
            setattr(made, field.name, data.draw(NUMBERS) - 2**63)
        else:
            setattr(made, field.name, data.draw(NUMBERS) % 2 ** (32 if field.type == field.TYPE_UINT32 else 64))
    return made


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_record_at_all_is_stored_or_set_aside(
    data: st.DataObject, ledger: Ledger, reader: LedgerReader
) -> None:
    sent = [drawn(data) for _ in range(5)]

    async def append() -> None:
        appended = await ledger.append(batch(*sent))
        assert appended.acknowledged == [each.id for each in sent]
        stored = {(row.started_at_us, row.id) async for page in reader.export(Filter()) for row in page}
        kept = [each.record for each in (await reader.refused(1_000))[0]]
        assert [each for each in sent if (each.started_at_us, each.id) not in stored and each not in kept] == []

    asyncio.run(append())
