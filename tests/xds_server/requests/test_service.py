"""Inquiries to translators through their calls, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog
from trunkline_proto.admin.v1 import admin_pb2 as admin, admin_pb2_grpc
from trunkline_proto.requests.v1 import requests_pb2 as pb, requests_pb2_grpc

from tests.waiting import until, until_answered
from tests.xds_server.admin.conftest import TOKEN, Authorised, Clients
from tests.xds_server.store.databases import database, key_file, open_store, store
from translator.control_plane import ControlPlaneAddress
from translator.running.attend import attend
from xds_server.admin import AdminService, TokenInterceptor
from xds_server.ledger.reader import LedgerReader
from xds_server.requests.attending import TranslatorCall, Translators
from xds_server.requests.running import RunningRequests
from xds_server.requests.service import SERVICE, RequestsService
from xds_server.rpc.authorise import bearer_token
from xds_server.store import AsyncStore, Store, writing
from xds_server.store.settings import KeySettings
from xds_server.usage.scope import Within

__all__ = ["database", "key_file", "open_store", "store"]

PATIENCE = 60.0


class Server:
    """The Admin service, with the service that translators call."""

    def __init__(self, address: str, stub: Any, translators: Translators, store: Store) -> None:
        self.address = address
        self.stub = stub
        self.translators = translators
        self.store = store
        self._attending: list[asyncio.Task[None]] = []

    async def join(self, name: str, answer: Any, token: str = TOKEN) -> asyncio.Task[None]:
        """Connects a translator that answers with `answer`, and waits until it is connected."""
        before = len(self.translators._attending)
        task = asyncio.create_task(
            attend(ControlPlaneAddress(self.address, token), name, answer, structlog.get_logger())
        )
        self._attending.append(task)
        await until(lambda: token != TOKEN or len(self.translators._attending) != before, PATIENCE)
        return task

    async def leave(self) -> None:
        for task in self._attending:
            task.cancel()
        await asyncio.gather(*self._attending, return_exceptions=True)


@pytest.fixture
async def server(store: Store) -> AsyncIterator[Server]:
    running = grpc.aio.server(interceptors=[TokenInterceptor(TOKEN, but=[SERVICE])])
    translators, clients, ledger = Translators(patience=PATIENCE), Clients(), LedgerReader(store.url)
    async_store = AsyncStore(store)
    service = AdminService(
        async_store, clients, clients, ledger, running=RunningRequests(async_store, translators)
    )
    admin_pb2_grpc.add_AdminServicer_to_server(service, running)
    requests_pb2_grpc.add_RequestsServicer_to_server(
        RequestsService(translators, authorise=bearer_token(TOKEN)), running
    )
    address = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    await running.start()
    async with grpc.aio.insecure_channel(address) as channel:
        made = Server(address, Authorised(admin_pb2_grpc.AdminStub(channel)), translators, store)
        yield made
        await made.leave()
    await running.stop(None)
    ledger.close()


RUNNING = admin.REQUEST_STATE_RUNNING


def answering(*requests: admin.RunningRequest, running: int = 0, queued: int = 0) -> Any:
    """A translator with these requests. It lists all of them, and cancels the requested one."""
    asked: list[pb.AttendResponse] = []

    async def answer(inquiry: pb.AttendResponse) -> pb.AttendRequest:
        asked.append(inquiry)
        if inquiry.WhichOneof("inquiry") == "cancel":
            found = [each for each in requests if each.id == inquiry.cancel]
            return pb.AttendRequest(number=inquiry.number, requests=found)
        return pb.AttendRequest(number=inquiry.number, requests=requests, running=running, queued=queued)

    answer.asked = asked  # type: ignore[attr-defined]
    return answer


def request(id_: str, at: int, **more: Any) -> admin.RunningRequest:
    return admin.RunningRequest(id=id_, started_at_us=at, state=admin.REQUEST_STATE_RUNNING, **more)


async def test_several_translators_are_one_list(server: Server) -> None:
    await server.join("t-1", answering(request("first", 1), request("third", 3), running=5, queued=1))
    await server.join("t-2", answering(request("second", 2), running=1))
    found = await server.stub.ListRequests(admin.ListRequestsRequest(limit=2))
    assert [each.id for each in found.requests] == ["first", "second"]
    assert (found.running, found.queued, list(found.silent)) == (6, 1, [])


async def test_names_stand_for_ids_and_ids_for_names(server: Server) -> None:
    def work(transaction: Any) -> tuple[str, str]:
        organisation = writing.organisations.put(transaction, "acme", limits=(), expected=0)
        key, _ = writing.keys.create(transaction, "acme", "ci", KeySettings())
        return organisation.id, key.id

    organisation, key = server.store.write("test", work).value
    answer = answering(
        request("one", 1, organisation=organisation, key_id=key), request("two", 2, organisation="org_gone")
    )
    await server.join("t", answer)
    wanted = admin.RequestFilter(organisation="acme", model="m")
    found = await server.stub.ListRequests(
        admin.ListRequestsRequest(filter=wanted, state=admin.REQUEST_STATE_QUEUED)
    )
    assert [(each.organisation, each.key) for each in found.requests] == [("acme", "acme/ci"), ("org_gone", "")]
    asked = answer.asked[-1].list
    assert (asked.filter.organisation, asked.filter.model) == (organisation, "m")
    assert (asked.state, asked.limit) == (admin.REQUEST_STATE_QUEUED, 200)
    with pytest.raises(grpc.aio.AioRpcError, match='no organisation "nobody"; known: acme'):
        await server.stub.ListRequests(
            admin.ListRequestsRequest(filter=admin.RequestFilter(organisation="nobody"))
        )


async def test_translators_list_only_what_a_caller_may_see(store: Store) -> None:
    """A translator of an earlier version does not know callers, so the control plane filters its list."""
    translators = Translators(patience=PATIENCE)
    running = RunningRequests(AsyncStore(store), translators)
    asked: list[pb.Within] = []

    async def answer(attending: TranslatorCall, reply: pb.AttendRequest) -> None:
        inquiry = await attending.inquiries.get()
        asked.append(inquiry.list.within)
        reply.number = inquiry.number
        attending.answered(reply)

    mine, other = (
        request("mine", 2, organisation="org_b", key_id="key1"),
        request("other", 1, organisation="org_a"),
    )
    new, old = translators.joined("new"), translators.joined("old")
    narrowed = pb.AttendRequest(is_within=True, requests=[request("new", 3, organisation="org_c")], running=7)
    answers = [
        asyncio.create_task(answer(new, narrowed)),
        asyncio.create_task(answer(old, pb.AttendRequest(requests=[other, mine], running=2, queued=9))),
    ]
    found = await running.listed(admin.RequestFilter(), RUNNING, 10, Within(("org_c",), ("key1",)))
    await asyncio.gather(*answers)
    assert [each.id for each in found.requests] == ["mine", "new"]
    assert (found.running, found.queued) == (8, 0)
    assert asked == [pb.Within(organisation_ids=["org_c"], key_ids=["key1"])] * 2


async def test_one_that_does_not_answer_is_named(server: Server) -> None:
    async def never(inquiry: pb.AttendResponse) -> pb.AttendRequest:
        await asyncio.Event().wait()
        raise AssertionError

    await server.join("silent", never)
    server.translators._patience = 5.0  # the other one answers in milliseconds, and later on a busy machine
    await server.join("t", answering(request("one", 1), running=1))
    found = await server.stub.ListRequests(admin.ListRequestsRequest())
    assert ([each.id for each in found.requests], list(found.silent)) == (["one"], ["silent"])


async def test_one_that_leaves_is_not_asked(server: Server) -> None:
    leaving = await server.join("leaving", answering(request("one", 1), running=1))
    leaving.cancel()

    async def none_runs() -> bool:
        return not (await server.stub.ListRequests(admin.ListRequestsRequest())).running

    await until_answered(none_runs, PATIENCE)
    assert not server.translators._attending


async def test_a_cancelled_request_is_in_the_audit_log(server: Server) -> None:
    await server.join("t-1", answering())
    await server.join("t-2", answering(request("one-1", 1, model="m", target_id="a/m")))
    cancelled = await server.stub.acting_for("ann").CancelRequest(admin.CancelRequestRequest(id="one-1"))
    assert cancelled.request.id == "one-1"
    (event,) = (await server.stub.ListAuditEvents(admin.ListAuditEventsRequest(object_type="request"))).events
    assert (event.actor, event.action, event.object_name) == ("ann", "cancel", "one-1")
    assert event.before == '{"state":"running","organisation":"","key":"","model":"m","target":"a/m"}'
    with pytest.raises(grpc.aio.AioRpcError, match='no request "other" is running or waiting'):
        await server.stub.CancelRequest(admin.CancelRequestRequest(id="other"))


async def test_a_running_request_is_shown_by_the_beginning_of_its_id(server: Server) -> None:
    answer = answering(request("abcd-1", 1, target_id="a/m", attempt=2))
    await server.join("t", answer)
    found = await server.stub.GetRequest(admin.GetRequestRequest(id="abcd"))
    assert found.running.id == "abcd-1"
    assert [(each.target_id, each.outcome) for each in found.attempts] == [("a/m", "running")]
    assert answer.asked[-1].list.id_prefix == "abcd"
    await server.join("u", answering(request("abcd-2", 2)))
    with pytest.raises(grpc.aio.AioRpcError, match="several requests begin"):
        await server.stub.GetRequest(admin.GetRequestRequest(id="abcd"))


async def test_nobody_attends_without_the_token(server: Server) -> None:
    await server.join("stranger", answering(), token="another-token-of-the-tests")
    async with grpc.aio.insecure_channel(server.address) as channel:
        # Without a message: if one is sent while the refusal arrives, gRPC reports INTERNAL instead.
        call = requests_pb2_grpc.RequestsStub(channel).Attend(None)
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
    assert not server.translators._attending
