"""The open Report streams: one per node, the newest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.errors import SupersededError, XdsServerError
from xds_server.nodes.rate_limit import RateLimit
from xds_server.nodes.report import ReportChecker

#: Reports that a stream may send per second, and at once. A stream that sends more is read more slowly.
_REPORTS_PER_SECOND = 5.0
_BURST = 20


class ReportStream:
    """One node's stream. `revision` is that of a desired state that has the node; `reported_at` is monotonic
    seconds.
    """

    def __init__(self, node_id: str, revision: int, now: float) -> None:
        self.node_id = node_id
        self.revision = revision
        self.reported_at = now
        self.checker = ReportChecker()
        self.rate_limit = RateLimit(per_second=_REPORTS_PER_SECOND, burst=_BURST)
        #: Resolves to the reason for which the stream should end.
        self.ended: asyncio.Future[XdsServerError] = asyncio.get_running_loop().create_future()
        self._wanted: pb.NodeInstruction | None = None
        self._wake = asyncio.Event()
        self._closed = False

    def instruct(self, instruction: pb.NodeInstruction) -> None:
        """Queues an instruction if it differs from the last one. Of several that wait for a slow node, the last is
        sent.
        """
        if instruction != self._wanted and not self._closed:
            self._wanted = instruction
            self._wake.set()

    async def next_instruction(self) -> pb.NodeInstruction | None:
        """Waits for an instruction that was not returned yet; returns None after `close`."""
        await self._wake.wait()
        self._wake.clear()
        return self._wanted

    def close(self) -> None:
        """Sends nothing more."""
        self._wanted = None
        self._closed = True
        self._wake.set()

    def end(self, error: XdsServerError) -> None:
        """Ends the stream; the node gets the reason."""
        if not self.ended.done():
            self.ended.set_result(error)


class Streams:
    """The streams by node."""

    def __init__(self) -> None:
        self._streams: dict[str, ReportStream] = {}

    def __iter__(self) -> Iterator[ReportStream]:
        return iter(tuple(self._streams.values()))

    def __len__(self) -> int:
        return len(self._streams)

    def get(self, node_id: str) -> ReportStream | None:
        """Returns the node's current stream; None if it has none."""
        return self._streams.get(node_id)

    def open(self, stream: ReportStream) -> None:
        """Adds a stream, which takes over from an older one of its node."""
        older = self._streams.get(stream.node_id)
        if older is not None:
            older.end(SupersededError("a newer stream of this node took over"))
        self._streams[stream.node_id] = stream

    def close(self, stream: ReportStream) -> None:
        """Removes a stream that ended."""
        if self._streams.get(stream.node_id) is stream:
            del self._streams[stream.node_id]
