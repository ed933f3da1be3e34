"""The admin token guards Trunkline's services and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc

from tests.xds_server.admin.conftest import TOKEN, Admin
from xds_server.admin import TokenInterceptor
from xds_server.store import AuditQuery

GOOD = ("authorization", f"Bearer {TOKEN}")


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer "),),
        (("authorization", TOKEN),),
        (("authorization", f"Basic {TOKEN}"),),
        (("authorization", f"Bearer {TOKEN}x"),),
        (("authorization", f"Bearer {TOKEN[:-1]}"),),
        (GOOD, ("authorization", "Bearer other")),
    ],
)
async def test_without_the_token_nothing_is_done(admin: Admin, metadata: tuple[tuple[str, str], ...]) -> None:
    async with grpc.aio.insecure_channel(admin.address) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.PutOrganisation(
                pb.PutOrganisationRequest(organisation=pb.Organisation(name="acme")), metadata=metadata
            )
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "credentials.json" in str(caught.value.details())
    assert TOKEN not in str(caught.value.details())
    assert admin.store.load().revision == 0


async def test_the_actor_is_who_the_caller_acts_for(admin: Admin) -> None:
    wanted = pb.PutOrganisationRequest(organisation=pb.Organisation(name="acme"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admin.stub.acting_for("a" * 101).PutOrganisation(wanted)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    await admin.stub.acting_for("console:alice").PutOrganisation(wanted)
    (event,) = admin.store.audit_events(AuditQuery())
    assert event.actor == "console:alice"


def test_a_short_token_is_refused() -> None:
    with pytest.raises(ValueError, match="16 characters"):
        TokenInterceptor("short")


async def _echo(request: bytes, context: object) -> bytes:
    return request


async def _stream(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server with one of Trunkline's services and a foreign one."""
    server = grpc.aio.server(interceptors=[TokenInterceptor(TOKEN)])
    methods = {
        "Echo": grpc.unary_unary_rpc_method_handler(_echo),
        "Stream": grpc.stream_stream_rpc_method_handler(_stream),
    }
    for service in ("trunkline.test.v1.Test", "envoy.test.v3.Test"):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    await server.stop(None)


async def test_other_services_pass(channel: grpc.aio.Channel) -> None:
    assert await channel.unary_unary("/envoy.test.v3.Test/Echo", None, None)(b"x") == b"x"
    call = channel.stream_stream("/envoy.test.v3.Test/Stream", None, None)(iter([b"x", b"y"]))
    assert [answer async for answer in call] == [b"x", b"y"]


async def test_our_services_are_guarded_whatever_their_shape(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary("/trunkline.test.v1.Test/Echo", None, None)(b"x")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    call = channel.stream_stream("/trunkline.test.v1.Test/Stream", None, None)(None)
    assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
    call = channel.stream_stream("/trunkline.test.v1.Test/Stream", None, None)(iter([b"x"]), metadata=[GOOD])
    assert [answer async for answer in call] == [b"x"]
