"""Runs the live state of nodes: the core, with a clock, streams, the database and the publisher around it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog
from google.protobuf.message import DecodeError
from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.debounce import Debounce
from xds_server.errors import (
    DatabaseUnavailableError,
    InvalidFieldError,
    NotFoundError,
    ProtocolVersionError,
    SilentError,
    SupersededError,
)
from xds_server.model import DesiredState, Node
from xds_server.nodes.clock import system_clock
from xds_server.nodes.live import LiveNodes
from xds_server.nodes.moment import Clock, Moment
from xds_server.nodes.ports import LiveTables, Publisher
from xds_server.nodes.stored import StoredReport, StoredReports
from xds_server.nodes.streams import ReportStream, Streams
from xds_server.nodes.uptime_log import UptimeLog
from xds_server.pool import Pool

#: Seconds between two checks of the leases, and how late the end of one may be noticed.
_TICK = 0.1
#: Seconds after which a silent stream is ended. Its lease ended long before.
_SILENCE = 60.0
#: Seconds that pools wait for further changes, so that many nodes' changes cost one snapshot.
_QUIET, _MAX_DELAY = 0.005, 0.020
_SHOWN = 5

_log = structlog.get_logger(__name__)


def removed(node_id: str) -> NotFoundError:
    """Returns the error for a node that is not part of the desired state."""
    return NotFoundError(f'no node "{node_id}": it was removed; join again with a new token')


class NodeRegistry:
    """Tracks the nodes; one per control plane, for one event loop. `tunnels` is how many each node should keep
    open.
    """

    def __init__(
        self,
        live: LiveNodes,
        tables: LiveTables,
        publisher: Publisher,
        *,
        tunnels: int,
        clock: Clock = system_clock,
    ) -> None:
        self.live = live
        self._stored = StoredReports(tables, self._row)
        self._uptime = UptimeLog(live.uptime, tables, clock)
        self._streams = Streams()
        self._publisher = publisher
        self._tunnels = tunnels
        self._clock = clock
        self._debounce = Debounce(self._publish, quiet=_QUIET, longest=_MAX_DELAY)
        self._looked_for_silence = 0.0
        #: Set when there may be a node, while there were none.
        self._needed = asyncio.Event()

    async def restore(self) -> None:
        """Restores what nodes reported before the restart, each with a fresh lease. Raises
        DatabaseUnavailableError.
        """
        now = self._clock()
        rows = await self._stored.load()
        for row in rows:
            try:
                self.live.restore(row.node_id, row.report, row.updated, now, departed=row.departed)
            except DecodeError:
                _log.warning("a node's stored offers cannot be read; it will send them again", node=row.node_id)
        if rows:
            _log.info("nodes restored", nodes=len(rows), leases=self.live.leased)

    def desired(self, state: DesiredState) -> Mapping[str, Pool]:
        """Takes another desired state. Returns the pools that change with it, for the snapshot of that state."""
        self._needed.set()
        for node_id in self.live.desired(state):
            stream = self._streams.get(node_id)
            # A stream may know of a newer state, in which its node has just joined.
            if stream is None or stream.revision <= state.revision:
                self.live.forget(node_id, self._clock())
                self._stored.changed(node_id)
        for stream in self._streams:
            node = state.nodes.get(stream.node_id)
            if node is not None:
                stream.instruct(self._instruction(node))
            elif stream.revision <= state.revision:
                stream.end(removed(stream.node_id))
        return self.live.take_changes(self._clock())

    def open(self, node: Node, revision: int) -> ReportStream:
        """Opens a stream of a node that the desired state has at `revision`; an older one of the node ends."""
        stream = ReportStream(node.id, revision, self._clock().monotonic)
        self._streams.open(stream)
        self._needed.set()
        stream.instruct(self._instruction(self.live.nodes.get(node.id, node)))
        return stream

    def close(self, stream: ReportStream) -> None:
        """Records that the stream ended; the lease goes on until it is over."""
        stream.close()
        self._streams.close(stream)

    async def report(self, stream: ReportStream, report: pb.NodeReport) -> None:
        """Takes a report of the stream. Returns late if the stream sends too fast.

        Raises InvalidFieldError, ProtocolVersionError, SupersededError.
        """
        now = self._clock()
        if self._streams.get(stream.node_id) is not stream:
            raise SupersededError("a newer stream of this node took over")
        back = self.live.departed(stream.node_id)
        try:
            stream.checker.check(report)
            kept = self.live.report(stream.node_id, report, now)
        except (InvalidFieldError, ProtocolVersionError) as error:
            self.live.refuse(stream.node_id, str(error))
            raise
        stream.reported_at = now.monotonic
        if kept or back:
            self._stored.changed(stream.node_id)
        if self.live.has_changes:
            self._debounce.trigger()
        node = self.live.nodes.get(stream.node_id)
        if node is not None:
            stream.instruct(self._instruction(node))
        wait = stream.rate_limit.wait(now.monotonic)
        stream.rate_limit.take(now.monotonic)
        if wait:
            await asyncio.sleep(wait)

    async def run(self) -> None:
        """Ends leases when they are over, and stores what must be kept, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stored.run(), name="stored-reports")
            tasks.create_task(self._uptime.run(), name="nodes-uptime")
            while True:
                if not (self.live.nodes or self.live.leased or self._streams):
                    self._needed.clear()
                    await self._needed.wait()
                await asyncio.sleep(_TICK)
                self.look(self._clock())

    async def flush(self) -> None:
        """Stores at once what must be kept: for the shutdown."""
        for part in (self._stored, self._uptime):
            try:
                await part.flush()
            except DatabaseUnavailableError as error:
                _log.warning("nodes' live state was not stored at the end", reason=str(error))

    def look(self, now: Moment) -> None:
        """Applies what the passing of time changes."""
        expired = self.live.expire(now)
        if expired.lapsed:
            _log.info("leases ended", nodes=len(expired.lapsed), some=expired.lapsed[:_SHOWN])
        for node_id in expired.departed:
            self._stored.changed(node_id)
        if expired.departed:
            _log.info("nodes left their pools", nodes=len(expired.departed), some=expired.departed[:_SHOWN])
        if self.live.has_changes:
            self._debounce.trigger()
        if now.monotonic - self._looked_for_silence > _SILENCE / 10:
            self._looked_for_silence = now.monotonic
            for stream in self._streams:
                if now.monotonic - stream.reported_at > _SILENCE:
                    stream.end(SilentError(f"no report for {_SILENCE:.0f} seconds; connect again"))

    def _publish(self) -> None:
        changes = self.live.take_changes(self._clock())
        if changes:
            self._publisher.pools_changed(changes)

    def _instruction(self, node: Node) -> pb.NodeInstruction:
        times = self.live.times
        return pb.NodeInstruction(
            heartbeat_ms=int(times.heartbeat * 1_000),
            lease_ms=int(times.lease * 1_000),
            drain=node.drained,
            pending_approval=not node.approved,
            tunnels=self._tunnels,
            measure=self.live.may_measure(node.id, self._clock()),
        )

    def _row(self, node_id: str) -> StoredReport | None:
        saved = self.live.saved(node_id)
        if saved is None:
            return None
        return StoredReport(node_id, saved, int(self._clock().unix), self.live.departed(node_id))
