"""The stream of reports: opened again for ever, until the gateway says that the node is removed."""

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
from node_sidecar.holder import Holder
from node_sidecar.identity import utc_now
from node_sidecar.state import NodeState, Reports

Stream = grpc.aio.StreamStreamCall[wire.NodeReport, wire.NodeInstruction]
_CODE = grpc.StatusCode
#: What trying again at once will not change, and what the node's owner can do.
_LASTING = {
    _CODE.ABORTED: "another copy of this node's identity reports too: stop one of them, or let it join by itself",
    _CODE.UNAUTHENTICATED: "the gateway does not accept this node's certificate",
    _CODE.PERMISSION_DENIED: "the gateway does not accept this node's certificate",
    _CODE.INVALID_ARGUMENT: "the gateway refuses the report",
    _CODE.FAILED_PRECONDITION: "the gateway does not speak this sidecar's protocol",
    _CODE.UNIMPLEMENTED: "what answers there is no gateway, or one that is not ready",
}
#: Characters of a refusal that the node's status shows.
_MAX_DETAILS = 500
_EXPIRED = "this node's certificate has expired: join again with `trunkline-node join … --replace`"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. Delays grow from `first_delay` to `max_delay`; `slow_delay` is for what will not mend by itself.

    With `connect` they are short enough for a node to be back within five seconds of its link.
    """

    connect: float = 4.0
    first_delay: float = 0.2
    max_delay: float = 3.0
    slow_delay: float = 20.0
    #: An iteration that took this much longer than it should: the machine slept, and the connection is doubtful.
    jump: float = 10.0


class Reporter:
    """Calls `state` before each report, and `on_instruction` with each instruction. Neither may fail."""

    def __init__(
        self,
        holder: Holder,
        state: Callable[[], NodeState],
        on_instruction: Callable[[wire.NodeInstruction], None],
        log: FilteringBoundLogger,
        timing: Timing | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._holder = holder
        self._state = state
        self._on_instruction = on_instruction
        self._log = log
        self._timing = timing or Timing()
        self._now = now
        self._changed = asyncio.Event()
        self._heartbeat = 2.0
        #: Why there is no stream; empty while there is one.
        self.problem = "not connected yet"

    def changed(self) -> None:
        """Something besides the load is new: it is reported at once."""
        self._changed.set()

    async def run(self) -> NoReturn:
        """Raises:
        RemovedError: the gateway does not know this node any more.
        """
        delay = self._timing.first_delay
        while True:
            answered, code, details = await self._session()
            if code is _CODE.NOT_FOUND:
                raise RemovedError(f"the gateway has removed this node: {details}")
            if answered and code not in _LASTING:
                delay = self._timing.first_delay
            expired = self._holder.current.expired(self._now())
            # Two copies that answered each other at once would keep the gateway busy for ever. The other reasons
            # may pass with a restart of the gateway, so the first tries come soon.
            wait = self._timing.slow_delay if expired or code is _CODE.ABORTED else delay
            self._log_problem(_EXPIRED if expired else _problem(code, details), code, details)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            longest = self._timing.slow_delay if code in _LASTING else self._timing.max_delay
            delay = min(delay * 2, longest)

    def _log_problem(self, problem: str, code: grpc.StatusCode, details: str) -> None:
        """Once for each kind of problem, not with each try."""
        if problem != self.problem:
            self._log.warning("reports interrupted", reason=problem, code=code.name, details=details)
        self.problem = problem

    async def _session(self) -> tuple[bool, grpc.StatusCode, str]:
        """One stream until its end: whether the gateway said anything, and how it ended."""
        async with channel.identified(self._holder.current) as opened:
            stream: Stream = registry_pb2_grpc.NodeRegistryStub(opened).Report()  # type: ignore[call-arg]
            reading = asyncio.create_task(self._read(stream))
            reading.add_done_callback(lambda _: self._changed.set())
            try:
                return await self._write(stream, reading)
            except grpc.aio.AioRpcError as error:
                return _answered(reading), error.code(), error.details() or ""
            except asyncio.InvalidStateError:  # it ended between two writes
                return _answered(reading), await stream.code(), await stream.details() or ""
            except TimeoutError:
                return _answered(reading), _CODE.DEADLINE_EXCEEDED, "no answer in time"
            finally:
                reading.cancel()
                stream.cancel()

    async def _write(self, stream: Stream, reading: asyncio.Task[bool]) -> tuple[bool, grpc.StatusCode, str]:
        """Reports until the gateway ends the stream. Raises AioRpcError; TimeoutError for a dead path."""
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
        """Until the next heartbeat, a change, or the stream's end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat):
                await self._changed.wait()

    async def _read(self, stream: Stream) -> bool:
        """Instructions until the stream's end; whether there were any. Does not raise."""
        answered = False
        try:
            async for instruction in stream:
                if not answered:
                    answered, self.problem = True, ""
                    self._log.info("reports open", gateway=self._holder.current.record.gateway)
                before, self._heartbeat = self._heartbeat, _seconds(instruction)
                if self._heartbeat < before:
                    self._changed.set()
                self._on_instruction(instruction)
        except grpc.aio.AioRpcError:
            pass  # its code is asked from the stream
        return answered


def _problem(code: grpc.StatusCode, details: str) -> str:
    """In words for the node's owner; a refused report also with what the gateway refuses in it."""
    problem = _LASTING.get(code, "the gateway cannot be reached")
    if code is _CODE.INVALID_ARGUMENT and details:
        return f"{problem}: {'; '.join(details[:_MAX_DETAILS].splitlines())}"
    return problem


def _seconds(instruction: wire.NodeInstruction) -> float:
    """Between two heartbeats, within reason."""
    return min(60.0, max(0.1, instruction.heartbeat_ms / 1000 or 2.0))


def _answered(reading: asyncio.Task[bool]) -> bool:
    return reading.done() and not reading.cancelled() and reading.result()
