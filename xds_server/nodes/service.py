"""Serves trunkline.node.v1.NodeRegistry over grpc.aio, for nodes that come through Envoy's tunnel listener."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from trunkline_proto.node.v1 import registry_pb2 as pb, registry_pb2_grpc

from xds_server.errors import InvalidFieldError, JoinTokenError, UnauthenticatedError, XdsServerError
from xds_server.model import Node
from xds_server.nodes import identity
from xds_server.nodes.clock import system_clock
from xds_server.nodes.enrolment import Enrolment
from xds_server.nodes.moment import Clock
from xds_server.nodes.ports import Issuer, NodeStore, Publisher
from xds_server.nodes.refusals import Refusals
from xds_server.nodes.registry import NodeRegistry, removed
from xds_server.nodes.report import check_protocol, check_size, text_problems
from xds_server.nodes.streams import ReportStream
from xds_server.rpc.reporting import reporting

#: For TokenInterceptor: nodes have certificates, or a join token, and no admin token.
SERVICE = pb.DESCRIPTOR.services_by_name["NodeRegistry"].full_name

#: Bytes, as registry.proto says.
_MAX_CSR_BYTES = 16 * 1024

#: Seconds to finish the message that is being sent when a stream should end. Envoy takes it, whatever the node
#: does.
_LAST_WRITE = 5.0

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
T = TypeVar("T")
Method = Callable[[Any, Any, "grpc.aio.ServicerContext[Any, Any]"], Awaitable[T]]


def _logs_refusals(method: Method[T]) -> Method[T]:
    """Decorates `method` so that its refusals are logged."""

    @functools.wraps(method)
    async def call(service: NodeService, request: Any, context: Context) -> T:
        try:
            return await method(service, request, context)
        except JoinTokenError:
            raise  # the enrolment has logged it
        except XdsServerError as error:
            service.refusals.log(method.__name__, _name(context), error)
            raise

    return call


class NodeService(registry_pb2_grpc.NodeRegistryServicer):
    """Identifies the caller, and leaves the rest to the registry and the enrolment."""

    def __init__(
        self,
        registry: NodeRegistry,
        enrolment: Enrolment,
        issuer: Issuer,
        store: NodeStore,
        publisher: Publisher,
        *,
        clock: Clock = system_clock,
    ) -> None:
        self.refusals = Refusals(clock)
        self._registry = registry
        self._enrolment = enrolment
        self._issuer = issuer
        self._store = store
        self._publisher = publisher

    @reporting
    @_logs_refusals
    async def Enrol(self, request: pb.EnrolRequest, context: Context) -> pb.EnrolResponse:
        """Exchanges a join token for a certificate. The same token and key get the same node again."""
        identity.require_tunnel(context.peer())
        check_size(request.ByteSize())
        check_protocol(request.protocol)
        _check_csr(request.csr_pem)
        problems = text_problems("proposed_name", request.proposed_name)
        problems += text_problems("sidecar_version", request.sidecar_version)
        if problems:
            raise InvalidFieldError(problems)
        enrolled = await self._enrolment.enrol(request.join_token, request.proposed_name, request.csr_pem)
        return pb.EnrolResponse(
            node_id=enrolled.node.id,
            certificate_chain_pem=enrolled.certificate,
            ca_pem=self._issuer.ca_pem,
            pending_approval=not enrolled.node.approved,
            name=enrolled.node.name,
        )

    @reporting
    @_logs_refusals
    async def Renew(self, request: pb.RenewRequest, context: Context) -> pb.RenewResponse:
        """Signs a new certificate for the calling node."""
        node, _ = await self._caller(context)
        check_size(request.ByteSize())
        _check_csr(request.csr_pem)
        certificate = await asyncio.to_thread(self._issuer.issue, node.id, request.csr_pem)
        return pb.RenewResponse(certificate_chain_pem=certificate)

    @reporting
    @_logs_refusals
    async def Leave(self, request: pb.LeaveRequest, context: Context) -> pb.LeaveResponse:
        """Removes the calling node."""
        node, _ = await self._caller(context)
        await self._enrolment.leave(node.id)
        return pb.LeaveResponse()

    @reporting
    @_logs_refusals
    async def Report(  # type: ignore[override]  # the stubs know generators only; this writes to the context
        self, request_iterator: AsyncIterator[pb.NodeReport], context: Context
    ) -> None:
        """Reads reports and writes instructions, until either side ends or a newer stream takes over."""
        node, revision = await self._caller(context)
        stream = self._registry.open(node, revision)
        reading = asyncio.create_task(self._read(stream, request_iterator), name="node-reader")
        writing = asyncio.create_task(_write(stream, context), name="node-writer")
        try:
            waiting: set[asyncio.Future[Any]] = {reading, writing, stream.ended}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._registry.close(stream)
            reading.cancel()
            # gRPC sends no status while a message is in flight, and cannot take one back.
            await asyncio.wait({reading, writing}, timeout=_LAST_WRITE)
            writing.cancel()
        if stream.ended.done():
            raise stream.ended.result()
        if not reading.cancelled():
            reading.result()

    async def _read(self, stream: ReportStream, reports: AsyncIterator[pb.NodeReport]) -> None:
        try:
            async for report in reports:
                await self._registry.report(stream, report)
        except DecodeError as error:
            raise InvalidFieldError(["message: these bytes are not a NodeReport"]) from error

    async def _caller(self, context: Context) -> tuple[Node, int]:
        """Returns the calling node, and the revision of a state that has it.

        Raises UnauthenticatedError, NotFoundError, DatabaseUnavailableError.
        """
        node_id = identity.node_id(context.invocation_metadata() or (), context.peer())
        live = self._registry.live
        node = live.nodes.get(node_id)
        if node is not None:
            return node, live.revision
        # The node may have joined at this moment, or through another replica.
        state = await self._store.load()
        node = state.nodes.get(node_id)
        if node is None:
            raise removed(node_id)
        await self._publisher.state_changed(state.revision)
        return node, state.revision


async def _write(stream: ReportStream, context: Context) -> None:
    # A write to a call that has ended raises InternalError.
    with suppress(grpc.aio.InternalError):
        while (instruction := await stream.next_instruction()) is not None:
            await context.write(instruction)


def _name(context: Context) -> str:
    """Returns the calling node's id; empty for a caller without a certificate."""
    try:
        return identity.node_id(context.invocation_metadata() or (), context.peer())
    except UnauthenticatedError:
        return ""


def _check_csr(csr_pem: bytes) -> None:
    if not csr_pem:
        raise InvalidFieldError(["csr_pem: missing"])
    if len(csr_pem) > _MAX_CSR_BYTES:
        raise InvalidFieldError([f"csr_pem: {len(csr_pem):,} bytes; accepted: at most {_MAX_CSR_BYTES:,}"])
