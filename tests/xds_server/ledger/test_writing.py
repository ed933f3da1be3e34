"""Every record counts once, however often it arrives; roll-ups are the sums of the records."""

from __future__ import annotations

import asyncio
import itertools
from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from tests.xds_server.store.databases import OpenStore
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Dimension, Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.rollup import MAX_TAGS, OTHER, SUMS
from xds_server.store import Store

_organisations = itertools.count()


async def totals(reader: LedgerReader, wanted: Filter | None = None) -> dict[str, int]:
    (group,) = await reader.report(wanted or Filter(), ())
    return dict(zip(SUMS, group.sums, strict=True))


async def exported(reader: LedgerReader, wanted: Filter | None = None) -> list[str]:
    return [row.id async for page in reader.export(wanted or Filter()) for row in page]


async def test_a_batch_that_comes_again_counts_once(ledger: Ledger, reader: LedgerReader) -> None:
    request = batch(*(usage(tag="a") for _ in range(5)))
    ids = [record.id for record in request.records]
    assert (await ledger.append(request)).acknowledged == ids
    assert (await ledger.append(request)).acknowledged == ids
    found = await totals(reader)
    assert (found["requests"], found["cost_nano_usd"]) == (5, 3_000_000)
    assert (ledger.stored, ledger.repeated) == (5, 5)


async def test_overlapping_batches_and_repetitions_within_one(ledger: Ledger, reader: LedgerReader) -> None:
    one, two, three = usage(), usage(), usage()
    await ledger.append(batch(one, two, two))
    assert (await ledger.append(batch(two, three, one))).acknowledged == [two.id, three.id, one.id]
    assert await exported(reader) == [one.id, two.id, three.id]
    assert (await totals(reader))["requests"] == 3


async def test_a_record_that_another_translator_sent_is_known(ledger: Ledger, reader: LedgerReader) -> None:
    """Repeated records are recognised across hours, and in a batch in which only the middle is new."""
    sent = [usage(at=MONDAY_10 + index * 700) for index in range(12)]
    await ledger.append(pb.AppendRequest(source="one", records=[*sent[:4], *sent[8:]]))
    again = pb.AppendRequest(source="two", records=[*sent, sent[5]])
    assert (await ledger.append(again)).acknowledged == [each.id for each in again.records]
    assert await exported(reader) == [each.id for each in sent]
    assert (await totals(reader))["requests"] == 12
    assert (ledger.stored, ledger.repeated) == (12, 9)


async def test_an_id_with_another_start_is_another_request(ledger: Ledger, reader: LedgerReader) -> None:
    one = usage()
    await ledger.append(batch(one, usage(id=one.id, at=MONDAY_10 + 1)))
    assert await exported(reader) == [one.id, one.id]


async def test_appenders_at_once_count_once(open_store: OpenStore) -> None:
    """Two control planes receive the same records in different orders from translators that retry."""
    stores = [open_store(), open_store()]
    ledgers = [Ledger(store.url, store.write_lock) for store in stores]
    records = [usage(at=MONDAY_10 + index % 3 * HOUR, tag=f"t{index % 7}") for index in range(200)]
    halves = (batch(*records[:150]), batch(*reversed(records[50:])))
    await asyncio.gather(*(each.append(half) for _ in range(3) for half in halves for each in ledgers))
    reader = LedgerReader(stores[0].url)
    assert sorted(await exported(reader)) == sorted(record.id for record in records)
    found = await totals(reader)
    assert (found["requests"], found["cost_nano_usd"]) == (200, 200 * 600_000)
    assert sum(each.stored for each in ledgers) == 200
    reader.close()
    for each in ledgers:
        each.close()


RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.integers(MONDAY_10, MONDAY_10 + 30 * HOUR),
            "key_id": st.sampled_from(["k1", "k2", ""]),
            "model": st.sampled_from(["m1", "m2"]),
            "target_id": st.sampled_from(["p/m1", "q/m2", ""]),
            "tag": st.sampled_from(["", "x", "y"]),
            "attempts": st.integers(0, 4),
            "status": st.sampled_from([0, 200, 400, 503]),
            "response_flags": st.sampled_from(["", "DC", "UC", "DC,UT"]),
            "first_byte_us": st.integers(0, 10**7),
            "duration_us": st.integers(0, 10**8),
            "prompt_tokens": st.integers(0, 10**6),
            "completion_tokens": st.integers(0, 10**6),
            "cost_nano_usd": st.integers(0, 10**9),
            "cache_hit": st.booleans(),
            "estimated": st.booleans(),
            "expired": st.booleans(),
            "stream": st.booleans(),
            "failed_attempts": st.lists(
                st.sampled_from(["p/m1", "q/m2"]).map(lambda target: pb.FailedAttempt(target_id=target)),
                max_size=3,
            ),
        }
    ),
    max_size=25,
)


def straight(records: list[pb.UsageRecord]) -> list[tuple[Any, ...]]:
    """Sums the records by hour, model, target and tag, one by one."""
    sums: dict[tuple[str, ...], list[int]] = {}
    for each in records:
        hour = f"{each.started_at_us // 3_600_000_000}"
        values = sums.setdefault((hour, each.model, each.target_id, each.tag), [0] * 8)
        broken = bool({"UC", "UT"} & set(each.response_flags.split(",")))
        for index, value in enumerate(
            (
                1,
                each.status >= 400 or each.expired or broken,
                max(each.attempts, 1) - 1,
                each.prompt_tokens,
                each.completion_tokens,
                each.cost_nano_usd,
                each.estimated,
                each.cache_hit,
            )
        ):
            values[index] += value
    return sorted((key[0], *key[1:], *values) for key, values in sums.items())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=RECORDS, size=st.integers(1, 9))
def test_rollups_are_the_sums_of_the_records(store: Store, drawn: list[dict[str, Any]], size: int) -> None:
    organisation = f"org_{next(_organisations)}"
    records = [usage(organisation_id=organisation, **fields) for fields in drawn]

    async def run() -> list[tuple[Any, ...]]:
        ledger, reader = Ledger(store.url, store.write_lock), LedgerReader(store.url)
        for start in range(0, len(records), size):
            # Each batch repeats some records of the previous one.
            await ledger.append(batch(*records[max(0, start - 2) : start + size]))
        by = (Dimension.HOUR, Dimension.MODEL, Dimension.TARGET, Dimension.TAG)
        groups = await reader.report(Filter(organisation_id=organisation), by)
        compared = await reader.compare(Filter(organisation_id=organisation))
        ledger.close()
        reader.close()
        failed = [each.target_id for record in records for each in record.failed_attempts]
        assert sum(dict(zip(SUMS, each.sums, strict=True))["failed_attempts"] for each in compared) == len(failed)
        wanted = ("requests", "errors", "retries", "prompt_tokens", "completion_tokens", "cost_nano_usd",
                  "estimated", "cache_hits")  # fmt: skip
        rows = []
        for group in groups:
            sums = dict(zip(SUMS, group.sums, strict=True))
            rows.append((_hour(group.values[0]), *group.values[1:], *(sums[name] for name in wanted)))
        return sorted(rows)

    assert asyncio.run(run()) == straight(records)


def _hour(text: str) -> str:
    return f"{int(datetime.fromisoformat(text).timestamp()) // HOUR}"


async def test_tags_are_bounded_per_hour_and_organisation(ledger: Ledger, reader: LedgerReader) -> None:
    tagged = [usage(tag=f"tag-{index:04}") for index in range(MAX_TAGS + 300)]
    for start in range(0, len(tagged), 500):
        await ledger.append(batch(*tagged[start : start + 500]))
    await ledger.append(batch(usage(tag="tag-0001"), usage(tag="late"), usage()))
    await ledger.append(batch(usage(tag="late", at=MONDAY_10 + HOUR), usage(tag="late", organisation_id="org_b")))
    groups = await reader.report(Filter(), (Dimension.TAG,))
    found = {group.values[0]: group.sums[0] for group in groups}
    assert len(found) == MAX_TAGS + 3
    assert (found[OTHER], found["tag-0001"], found["late"], found[""]) == (301, 2, 2, 1)
    assert sum(found.values()) == MAX_TAGS + 305
    raw = [row.tag async for page in reader.export(Filter(tag="late")) for row in page]
    assert raw == ["late"] * 3
