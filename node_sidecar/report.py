"""The stream of reports, reopened whenever it ends, until the gateway says that the node is removed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger
from trunkline_proto.node.v1 import registry_pb2 as wire, registry_pb2_grpc

from node_sidecar import channel
from node_sidecar.errors import RemovedError
from node_sidecar.identity import utc_now
from node_sidecar.renewable_identity import RenewableIdentity
from node_sidecar.state import LocalNodeState, Reports

Stream = grpc.aio.StreamStreamCall[wire.NodeReport, wire.NodeInstruction]
_CODE = grpc.StatusCode
#: Errors that an immediate retry will not change, and what the node's owner can do.
_LASTING = {
    _CODE.ABORTED: "another machine uses this node's identity: stop one of them, or let it join with its own",
    _CODE.UNAUTHENTICATED: "the gateway does not accept this node's certificate",
    _CODE.PERMISSION_DENIED: "the gateway does not accept this node's certificate",
    _CODE.INVALID_ARGUMENT: "the gateway refuses the report",
    _CODE.FAILED_PRECONDITION: "the gateway does not speak this sidecar's protocol",
    _CODE.UNIMPLEMENTED: "the server at this address is not a gateway, or is not ready",
}
#: Characters of a refusal that the node's status shows.
_MAX_DETAILS = 500
_EXPIRED = "this node's certificate has expired: join again with `trunkline-node join … --replace`"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. Delays grow from `first_delay` to `max_delay`; `slow_delay` is for errors that do not resolve by
    themselves.

    Together with `connect`, they let a node return within five seconds of its link.
    """

    connect: float = 4.0
    first_delay: float = 0.2
    max_delay: float = 3.0
    slow_delay: float = 20.0
    #: If an iteration took this much longer than planned, the machine slept and the connection is doubtful.
    jump: float = 10.0


class Reporter:
    """Calls `state` before each report and `on_instruction` with each instruction. Neither may raise."""

    def __init__(
        self,
        identity: RenewableIdentity,
        state: Callable[[], LocalNodeState],
        on_instruction: Callable[[wire.NodeInstruction], None],
        log: FilteringBoundLogger,
        timing: Timing | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._identity = identity
        self._state = state
        self._on_instruction = on_instruction
        self._log = log
        self._timing = timing or Timing()
        self._now = now
        self._changed = asyncio.Event()
        self._heartbeat = 2.0
        #: Why there is no stream; empty while one is open.
        self.problem = "not connected yet"

    def changed(self) -> None:
        """Reports at once: something other than the load has changed."""
        self._changed.set()

    async def run(self) -> NoReturn:
        """Keeps a stream of reports open.

        Raises:
            RemovedError: the gateway does not know this node any more.
        """
        delay = self._timing.first_delay
        while True:
            answered, code, details = await self._session()
            if code is _CODE.NOT_FOUND:
                raise RemovedError(f"the gateway has removed this node: {details}")
            if answered and code not in _LASTING:
                delay = self._timing.first_delay
            expired = self._identity.current.expired(self._now())
            # Two copies that retried at once would keep the gateway busy for ever. The other causes may end with a
            # restart of the gateway, so the first retries come soon.
            wait = self._timing.slow_delay if expired or code is _CODE.ABORTED else delay
            self._log_problem(_EXPIRED if expired else _problem(code, details), code, details)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            longest = self._timing.slow_delay if code in _LASTING else self._timing.max_delay
            delay = min(delay * 2, longest)

    def _log_problem(self, problem: str, code: grpc.StatusCode, details: str) -> None:
        """Logs a problem once, not at every retry."""
        if problem != self.problem:
            self._log.warning("reports interrupted", reason=problem, code=code.name, details=details)
        self.problem = problem

    async def _session(self) -> tuple[bool, grpc.StatusCode, str]:
        """Runs one stream to its end. Returns whether the gateway sent anything, and the status and details."""
        async with channel.identified(self._identity.current) as opened:
            stream: Stream = registry_pb2_grpc.NodeRegistryStub(opened).Report()  # type: ignore[call-arg]
            reading = asyncio.create_task(self._read(stream))
            reading.add_done_callback(lambda _: self._changed.set())
            try:
                return await self._write(stream, reading)
            except grpc.aio.AioRpcError as error:
                return _answered(reading), error.code(), error.details() or ""
            except asyncio.InvalidStateError:  # the stream ended between two writes
                return _answered(reading), await stream.code(), await stream.details() or ""
            except TimeoutError:
                return _answered(reading), _CODE.DEADLINE_EXCEEDED, "no answer in time"
            finally:
                reading.cancel()
                stream.cancel()

    async def _write(self, stream: Stream, reading: asyncio.Task[bool]) -> tuple[bool, grpc.StatusCode, str]:
        """Sends reports until the gateway ends the stream. Raises AioRpcError, or TimeoutError for a dead path."""
        loop, reports = asyncio.get_running_loop(), Reports()
        while not reading.done():
            started, wall = loop.time(), self._now()
            self._changed.clear()
            async with asyncio.timeout(self._timing.connect):
                await stream.write(reports.next(self._state()))
            await self._pause()
            passed = max(loop.time() - started, (self._now() - wall).total_seconds())
            if passed > self._heartbeat + self._timing.jump:
                return True, _CODE.CANCELLED, "the machine slept, or its clock was changed"
        answered = reading.result()
        return answered, await stream.code(), await stream.details() or ""

    async def _pause(self) -> None:
        """Waits until the next heartbeat, a change, or the stream's end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat):
                await self._changed.wait()

    async def _read(self, stream: Stream) -> bool:
        """Reads instructions until the stream's end. Returns whether there were any. Does not raise."""
        answered = False
        try:
            async for instruction in stream:
                if not answered:
                    answered, self.problem = True, ""
                    self._log.info("reports open", gateway=self._identity.current.record.gateway)
                before, self._heartbeat = self._heartbeat, _seconds(instruction)
                if self._heartbeat < before:
                    self._changed.set()
                self._on_instruction(instruction)
        except grpc.aio.AioRpcError:
            pass  # the caller reads the code from the stream
        return answered


def _problem(code: grpc.StatusCode, details: str) -> str:
    """Describes a problem for the node's owner; for a refused report, includes what the gateway refuses in it."""
    problem = _LASTING.get(code, "the gateway cannot be reached")
    if code is _CODE.INVALID_ARGUMENT and details:
        return f"{problem}: {'; '.join(details[:_MAX_DETAILS].splitlines())}"
    return problem


def _seconds(instruction: wire.NodeInstruction) -> float:
    """Returns the seconds between two heartbeats, within reasonable bounds."""
    return min(60.0, max(0.1, instruction.heartbeat_ms / 1000 or 2.0))


def _answered(reading: asyncio.Task[bool]) -> bool:
    return reading.done() and not reading.cancelled() and reading.result()
