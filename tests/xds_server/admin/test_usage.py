"""Reports against cases computed by hand, over real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.ledger.v1 import ledger_pb2

from tests.xds_server.admin.conftest import Admin
from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Dimension
from xds_server.store import writing
from xds_server.store.settings import KeySettings

TUESDAY = MONDAY_10 + 24 * HOUR


def rows(response: pb.ReportUsageResponse) -> list[tuple[Any, ...]]:
    return [(*row.values, row.requests, row.cost_nano_usd) for row in response.rows]


async def report(admin: Admin, *by: int, **wanted: Any) -> pb.ReportUsageResponse:
    request = pb.ReportUsageRequest(by=by, filter=pb.UsageFilter(**wanted))  # type: ignore[arg-type]
    return await admin.stub.ReportUsage(request)  # type: ignore[no-any-return]


async def test_a_report_of_nothing(admin: Admin) -> None:
    assert (await report(admin)).rows == [pb.UsageRow()]
    assert (await report(admin, pb.DIMENSION_MODEL)).rows == []


async def test_totals_by_hand(admin: Admin, ledger: Ledger) -> None:
    failed = [ledger_pb2.FailedAttempt(target_id="azure/gpt", status=429)]
    await ledger.append(
        batch(
            usage(),
            usage(status=503, target_id="", prompt_tokens=0, cached_tokens=0, completion_tokens=0,
                  reasoning_tokens=0, cost_nano_usd=0, attempts=3),
            usage(attempts=2, failed_attempts=failed, estimated=True, cost_nano_usd=500),
            usage(cache_hit=True, cost_nano_usd=0),
        )
    )  # fmt: skip
    assert (await report(admin)).rows == [
        pb.UsageRow(
            requests=4, errors=1, retries=3, prompt_tokens=300, cached_tokens=30, completion_tokens=150,
            reasoning_tokens=15, cost_nano_usd=600_500, cost_micro_usd=601, estimated=1, cache_hits=1,
        )
    ]  # fmt: skip
    # A target that only failed served nothing, and has no line in a report.
    assert rows(await report(admin, pb.DIMENSION_TARGET)) == [("openai/gpt-4.1", 3, 600_500), ("", 1, 0)]


async def test_what_few_requests_have_is_summed_too(admin: Admin, ledger: Ledger) -> None:
    units = {"cache_write_tokens": 1, "cache_write_1h_tokens": 2, "audio_prompt_tokens": 3, "images": 5,
             "audio_completion_tokens": 4, "audio_in_ms": 6, "audio_out_ms": 7, "characters": 8,
             "search_units": 9}  # fmt: skip
    await ledger.append(
        batch(usage(**units, capped=True, model="m1"), usage(model="m2"), usage(images=1, tag="x"))
    )
    await ledger.append(batch(usage(**units, at=MONDAY_10 + HOUR, model="m1")))
    twice = {name: 2 * value for name, value in units.items()}
    (row,) = (await report(admin)).rows
    for name, value in {**twice, "images": 11, "capped": 1, "requests": 4}.items():
        assert getattr(row, name) == value
    by_model = await report(admin, pb.DIMENSION_MODEL, pb.DIMENSION_HOUR)
    assert [(*row.values, row.images, row.capped) for row in by_model.rows] == [
        ("gpt-4.1", "2026-11-02T10:00:00Z", 1, 0),
        ("m1", "2026-11-02T10:00:00Z", 5, 1),
        ("m1", "2026-11-02T11:00:00Z", 5, 0),
        ("m2", "2026-11-02T10:00:00Z", 0, 0),
    ]
    filtered = await admin.stub.ReportUsage(pb.ReportUsageRequest(filter=pb.UsageFilter(tag="x")))
    assert [(row.images, row.characters) for row in filtered.rows] == [(1, 0)]


async def test_dimensions_and_their_order(admin: Admin, ledger: Ledger) -> None:
    await ledger.append(
        batch(
            usage(model="m1", tag="x", cost_nano_usd=1),
            usage(model="m2", tag="x", cost_nano_usd=10, route_id="rt_b", provider="q"),
            usage(model="m1", tag="y", cost_nano_usd=4, at=MONDAY_10 + HOUR),
            usage(model="m1", tag="y", cost_nano_usd=3, at=TUESDAY + 59),
        )
    )
    assert rows(await report(admin, pb.DIMENSION_MODEL)) == [("m2", 1, 10), ("m1", 3, 8)]
    assert rows(await report(admin, pb.DIMENSION_TAG, pb.DIMENSION_MODEL)) == [
        ("x", "m2", 1, 10), ("y", "m1", 2, 7), ("x", "m1", 1, 1),
    ]  # fmt: skip
    assert rows(await report(admin, pb.DIMENSION_ROUTE)) == [("rt_b", 1, 10), ("rt_a", 3, 8)]
    assert rows(await report(admin, pb.DIMENSION_PROVIDER)) == [("q", 1, 10), ("openai", 3, 8)]
    assert rows(await report(admin, pb.DIMENSION_DAY)) == [("2026-11-02", 3, 15), ("2026-11-03", 1, 3)]
    assert rows(await report(admin, pb.DIMENSION_MODEL, pb.DIMENSION_HOUR)) == [
        ("m1", "2026-11-02T10:00:00Z", 1, 1),
        ("m1", "2026-11-02T11:00:00Z", 1, 4),
        ("m1", "2026-11-03T10:00:00Z", 1, 3),
        ("m2", "2026-11-02T10:00:00Z", 1, 10),
    ]


async def test_filters(admin: Admin, ledger: Ledger) -> None:
    await ledger.append(
        batch(
            usage(cost_nano_usd=1),
            usage(cost_nano_usd=2, organisation_id="org_b", key_id="key2"),
            usage(cost_nano_usd=4, model="m2", target_id="t2"),
            usage(cost_nano_usd=8, tag="x", at=MONDAY_10 + HOUR),
            usage(cost_nano_usd=16, at=MONDAY_10 + 2 * HOUR),
        )
    )
    for wanted, cost in (
        ({"organisation": "org_b"}, 2),
        ({"key_id": "key2"}, 2),
        ({"model": "m2"}, 4),
        ({"target_id": "t2"}, 4),
        ({"tag": "x"}, 8),
        ({"since": MONDAY_10 + HOUR}, 24),
        ({"since": MONDAY_10 + HOUR + 1_800}, 24),  # outward to whole hours
        ({"until": MONDAY_10 + HOUR}, 7),
        ({"until": MONDAY_10 + HOUR + 1}, 15),
        ({"since": MONDAY_10 + HOUR, "until": MONDAY_10 + 2 * HOUR, "model": "gpt-4.1"}, 8),
        ({"model": "none"}, 0),
    ):
        assert rows(await report(admin, **wanted)) == [(cost.bit_count(), cost)], wanted


async def test_names_are_resolved_and_deleted_ones_keep_their_ids(admin: Admin, ledger: Ledger) -> None:
    def prepare(tx: writing.transaction.Transaction) -> list[str]:
        ids = [writing.organisations.put(tx, name, limits=(), expected=0).id for name in ("acme", "gone")]
        keys = [writing.keys.create(tx, "acme", name, KeySettings())[0].id for name in ("ci", "old")]
        return ids + keys

    acme, gone, ci, old = admin.store.write("admin", prepare).value
    admin.store.write("admin", lambda tx: writing.organisations.delete(tx, "gone"))
    admin.store.write("admin", lambda tx: writing.keys.revoke(tx, old))
    await ledger.append(
        batch(
            usage(organisation_id=acme, key_id=ci, cost_nano_usd=4),
            usage(organisation_id=acme, key_id=old, cost_nano_usd=2),
            usage(organisation_id=gone, key_id="deleted", cost_nano_usd=1),
        )
    )
    assert rows(await report(admin, pb.DIMENSION_ORGANISATION)) == [("acme", 2, 6), (gone, 1, 1)]
    assert rows(await report(admin, pb.DIMENSION_KEY)) == [
        ("acme/ci", 1, 4), (f"acme/old ({old})", 1, 2), ("deleted", 1, 1),
    ]  # fmt: skip
    assert rows(await report(admin, organisation="acme")) == [(2, 6)]
    assert rows(await report(admin, organisation=gone)) == [(1, 1)]
    assert rows(await report(admin, key_id="acme/ci")) == rows(await report(admin, key_id=ci)) == [(1, 4)]
    assert rows(await report(admin, key_id="acme/other")) == [(0, 0)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await report(admin, organisation="gone")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "known: acme" in str(caught.value.details())


async def test_targets_side_by_side(admin: Admin, ledger: Ledger) -> None:
    failed = [ledger_pb2.FailedAttempt(target_id="b/m", status=500, reason="x")]
    slow = [usage(target_id="b/m", first_byte_us=us * 1_000, cost_nano_usd=2_000) for us in range(1, 100)]
    await ledger.append(
        batch(
            usage(target_id="a/m", stream=True, attempts=2, failed_attempts=failed),
            usage(target_id="a/m", stream=True, status=502, completion_tokens=0, cost_nano_usd=0, first_byte_us=0),
            usage(target_id="c/m", model="other"),
            *slow,
        )
    )
    request = pb.CompareTargetsRequest(filter=pb.UsageFilter(model="gpt-4.1"))
    first, second = (await admin.stub.CompareTargets(request)).targets
    # a: 600 micro-USD for 250 tokens; 50 tokens in 2 s; one of its two requests failed.
    assert (first.target_id, first.requests, first.cost_per_million) == ("a/m", 2, 2_400_000)
    assert (first.millitokens_per_second, first.error_permille, first.retry_permille) == (25_000, 500, 0)
    # b: 99 answers and one attempt that a took over.
    assert (second.target_id, second.requests, second.retry_permille) == ("b/m", 99, 10)
    assert second.first_byte_p50_us == pytest.approx(50_000, rel=0.05)
    assert second.first_byte_p95_us == pytest.approx(95_000, rel=0.05)


async def test_the_heaviest_requests(admin: Admin, ledger: Ledger) -> None:
    dear = usage(cost_nano_usd=900_000, failed_attempts=[ledger_pb2.FailedAttempt(target_id="x/y", reason="UF")])
    slow, wordy = usage(duration_us=10**9), usage(completion_tokens=10**6)
    await ledger.append(batch(dear, slow, wordy))
    order = pb.TopRequestsRequest
    for chosen, first in (
        (order.ORDER_UNSPECIFIED, dear),
        (order.ORDER_COST, dear),
        (order.ORDER_TOKENS, wordy),
        (order.ORDER_DURATION, slow),
    ):
        answer = await admin.stub.TopRequests(pb.TopRequestsRequest(order=chosen, limit=1))
        assert list(answer.records) == [first]


async def test_an_export_streams_what_was_appended(admin: Admin, ledger: Ledger) -> None:
    made = [usage(at=MONDAY_10 + index) for index in range(1_500)]
    await ledger.append(batch(*made[:800]))
    await ledger.append(batch(*made[800:]))
    pages = [list(page.records) async for page in export(admin, pb.UsageFilter(since=MONDAY_10 + 100))]
    assert [len(page) for page in pages] == [1_000, 400]
    assert [record for page in pages for record in page] == made[100:]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(export(admin, pb.UsageFilter(organisation="nobody")))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def export(admin: Admin, wanted: pb.UsageFilter) -> AsyncIterator[pb.ExportUsageResponse]:
    return aiter(admin.stub.ExportUsage(pb.ExportUsageRequest(filter=wanted)))


async def test_what_is_not_accepted(admin: Admin) -> None:
    for request, said in (
        (
            pb.ReportUsageRequest(by=[1, 99, 1]),  # type: ignore[list-item]
            f"by[1]: not a known value; accepted: {', '.join(Dimension)}\nby[2]: model is given twice",
        ),
        (
            pb.ReportUsageRequest(filter=pb.UsageFilter(since=-1)),
            "filter.since: -1 is out of range; accepted: 0 to 253,402,300,799 Unix seconds",
        ),
        (
            pb.ReportUsageRequest(filter=pb.UsageFilter(since=5, until=5, tag="a\x00")),
            """filter.until: not after `since`; accepted: a later time, or 0 = up to now
filter.tag: accepted: at most 512 characters, none of them NUL""",
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await admin.stub.ReportUsage(request)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, said)
    with pytest.raises(grpc.aio.AioRpcError, match="limit: 1001 is out of range"):
        await admin.stub.TopRequests(pb.TopRequestsRequest(limit=1_001))


async def test_the_audit_log_is_verified(admin: Admin) -> None:
    await admin.stub.PutOrganisation(pb.PutOrganisationRequest(organisation=pb.Organisation(name="acme")))
    found = await admin.stub.VerifyAudit(pb.VerifyAuditRequest())
    assert (found.intact, found.events, found.first_broken_id, len(found.head)) == (True, 1, 0, 64)
