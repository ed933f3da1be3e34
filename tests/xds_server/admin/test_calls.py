"""Steps after a change: it is published even if the caller disconnects, and failures do not reveal their text."""

from __future__ import annotations

import asyncio
import threading

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.xds_server.admin.conftest import Admin, Clients
from xds_server.admin.calls import Changes
from xds_server.errors import DatabaseUnavailableError, SecretKeyError
from xds_server.rpc.status_codes import status_of
from xds_server.store import AsyncStore, Store, writing
from xds_server.store.records import Actor
from xds_server.store.writing.transaction import Transaction


async def test_a_caller_that_goes_away_stops_nothing(store: Store) -> None:
    clients, started, go_on = Clients(), threading.Event(), threading.Event()
    published = asyncio.Event()

    class Publisher:
        async def state_changed(self, revision: int) -> None:
            clients.published.append(revision)
            published.set()

    def work(transaction: Transaction) -> None:
        started.set()
        go_on.wait(240)
        writing.organisations.put(transaction, "acme", limits=(), expected=0)

    call = asyncio.create_task(Changes(AsyncStore(store), Publisher(), clients).write(Actor("admin"), work))
    assert await asyncio.to_thread(started.wait, 120)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    async with asyncio.timeout(60):
        await published.wait()
    assert clients.published == [1]
    assert len(store.load().organisations) == 1


async def test_a_put_that_changes_nothing_is_not_published(admin: Admin) -> None:
    request = pb.PutOrganisationRequest(organisation=pb.Organisation(name="acme"))
    request.organisation.version = (await admin.stub.PutOrganisation(request)).organisation.version
    again = await admin.stub.PutOrganisation(request)
    assert again.organisation.version == request.organisation.version
    assert admin.clients.published == [1]


def test_an_unforeseen_error_keeps_its_text_inside(capsys: pytest.CaptureFixture[str]) -> None:
    code, message = status_of(RuntimeError("hidden"))
    assert code is grpc.StatusCode.INTERNAL
    assert "hidden" not in message
    assert "RuntimeError" in message
    assert "admin.unexpected_error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DatabaseUnavailableError("gone"), grpc.StatusCode.UNAVAILABLE),
        (SecretKeyError("wrong"), grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
def test_store_errors_have_their_status(error: Exception, code: grpc.StatusCode) -> None:
    assert status_of(error) == (code, str(error))
