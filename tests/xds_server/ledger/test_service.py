"""Ledger over real gRPC: who may append, and the answer to a bad record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2, admin_pb2_grpc
from trunkline_proto.ledger.v1 import ledger_pb2_grpc

from tests.xds_server.admin.conftest import TOKEN, Clients
from tests.xds_server.ledger.usage import batch, usage
from xds_server.admin import AdminService, TokenInterceptor
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.service import SERVICE, LedgerService
from xds_server.rpc.authorise import bearer_token
from xds_server.store import AsyncStore, Store, writing

GOOD = (("authorization", f"Bearer {TOKEN}"),)


@pytest.fixture
async def addresses(
    store: Store, ledger: Ledger, reader: LedgerReader, tmp_path: Path
) -> AsyncIterator[tuple[str, str]]:
    """Addresses of one server: on TCP, and on a Unix socket."""
    server = grpc.aio.server(interceptors=[TokenInterceptor(TOKEN, but=[SERVICE])])
    service = LedgerService(ledger, authorise=bearer_token(TOKEN))
    ledger_pb2_grpc.add_LedgerServicer_to_server(service, server)
    clients = Clients()
    admin_pb2_grpc.add_AdminServicer_to_server(AdminService(AsyncStore(store), clients, clients, reader), server)
    unix = f"unix:{tmp_path}/s"
    port = server.add_insecure_port("127.0.0.1:0")
    server.add_insecure_port(unix)
    await server.start()
    yield f"127.0.0.1:{port}", unix
    await server.stop(None)


async def code_of(
    call: grpc.aio.Call,
) -> tuple[grpc.StatusCode, str]:
    return await call.code(), await call.details() or ""


async def test_who_may_append(addresses: tuple[str, str]) -> None:
    tcp, unix = addresses
    for address, metadata, expected in (
        (unix, (), grpc.StatusCode.OK),
        (tcp, GOOD, grpc.StatusCode.OK),
        (tcp, (), grpc.StatusCode.UNAUTHENTICATED),
        (tcp, (("authorization", "Bearer wrong-token-of-the-tests"),), grpc.StatusCode.UNAUTHENTICATED),
    ):
        async with grpc.aio.insecure_channel(address) as channel:
            call = ledger_pb2_grpc.LedgerStub(channel).Append(batch(usage()), metadata=metadata)
            assert (await code_of(call))[0] is expected


async def test_a_large_request_is_not_parsed_before_the_token_is_checked(addresses: tuple[str, str]) -> None:
    broken = b"\xff" * 100_000
    for address, metadata, expected in (
        (addresses[0], (), grpc.StatusCode.UNAUTHENTICATED),
        (addresses[0], GOOD, grpc.StatusCode.INVALID_ARGUMENT),
        (addresses[1], (), grpc.StatusCode.INVALID_ARGUMENT),
    ):
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary(f"/{SERVICE}/Append", bytes, bytes)(broken, metadata=metadata)
            assert (await code_of(call))[0] is expected


async def test_the_admin_api_asks_on_every_socket(addresses: tuple[str, str]) -> None:
    for address in addresses:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = admin_pb2_grpc.AdminStub(channel)
            call = stub.VerifyAudit(admin_pb2.VerifyAuditRequest())
            assert (await code_of(call))[0] is grpc.StatusCode.UNAUTHENTICATED
            export = stub.ExportUsage(admin_pb2.ExportUsageRequest())
            assert await export.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_bad_record_is_named(addresses: tuple[str, str]) -> None:
    good, bad = usage(), usage(id="x", status=1_234)
    async with grpc.aio.insecure_channel(addresses[1]) as channel:
        answer = await ledger_pb2_grpc.LedgerStub(channel).Append(batch(good, bad))
    assert list(answer.acknowledged_ids) == [good.id, "x"]
    (reported,) = answer.refused
    assert (reported.id, reported.field, reported.reason) == (
        "x", "status", "1234 is out of range; accepted: at most 999",
    )  # fmt: skip


async def test_the_admin_api_writes_while_records_pour_in(store: Store, ledger: Ledger) -> None:
    """Writers take turns: while batches queue up, a change waits for only a few of them."""
    admin, stop = AsyncStore(store), asyncio.Event()

    appended = 0

    async def pour() -> None:
        nonlocal appended
        while not stop.is_set():
            await ledger.append(batch(*(usage() for _ in range(200))))
            appended += 1

    await asyncio.to_thread(store.warm)
    pouring = [asyncio.create_task(pour()) for _ in range(4)]
    passed = []
    for number in range(10):
        before = appended
        put = partial(writing.organisations.put, name=f"org-{number}", limits=(), expected=0)
        await admin.write("a", put)
        passed.append(appended - before)
    stop.set()
    await asyncio.gather(*pouring)
    assert appended >= 4
    assert max(passed) <= 20, "batches were appended while one change waited"
