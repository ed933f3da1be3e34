"""Shared by all calls of the Admin service: the actor in the audit log, and the steps that follow a change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import structlog
from trunkline_proto.admin.v1 import admin_pb2 as pb

from xds_server.accounts.caller import current
from xds_server.admin import status
from xds_server.admin.ports import Clients, Publisher
from xds_server.errors import InvalidFieldError
from xds_server.store import AsyncStore, Committed
from xds_server.store.records import Actor

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

T = TypeVar("T")

#: Seconds that a change waits for the clients' answers unless the request gives another time.
SETTLE_SECONDS = 5.0

_ACTOR_HEADER = "x-trunkline-actor"
_TAKE_OVER_HEADER = "x-trunkline-take-over"
_log = structlog.get_logger(__name__)


def actor_of(context: grpc.aio.ServicerContext[Any, Any]) -> Actor:
    """Returns the actor for the audit log, and whether the call takes over what files manage.

    The actor is the user, or, with the admin token, `admin` or the name for which its holder says that it acts.

    Raises InvalidFieldError.
    """
    caller = current()
    actor, take_over = caller.actor, False
    for name, value in context.invocation_metadata() or ():
        if name == _ACTOR_HEADER:
            if not isinstance(value, str) or not 1 <= len(value) <= 100 or not value.isprintable():
                raise InvalidFieldError([f"metadata {_ACTOR_HEADER}: accepted: 1 to 100 printable characters"])
            if caller.user is None:  # only the admin token acts for others
                actor = value
        elif name == _TAKE_OVER_HEADER:
            if value not in {"true", "false"}:
                raise InvalidFieldError([f"metadata {_TAKE_OVER_HEADER}: accepted: true, false"])
            take_over = value == "true"
    return Actor(actor, take_over)


class Changes:
    """Writes a change, publishes it, and waits for the clients."""

    def __init__(self, store: AsyncStore, publisher: Publisher, clients: Clients) -> None:
        self._store = store
        self._publisher = publisher
        self._clients = clients
        self._running: set[asyncio.Task[Any]] = set()

    async def write(self, actor: Actor, work: Callable[[Transaction], T]) -> Committed[T]:
        """Stores and publishes a change; a caller that disconnects in between stops neither."""
        task = asyncio.create_task(self._store_and_publish(actor, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def settled(self, revision: int, timeout: float = SETTLE_SECONDS) -> pb.Propagation:
        """Returns how far `revision` has got, after at most `timeout` seconds."""
        return status.propagation(await self._clients.wait_settled(revision, timeout))

    async def _store_and_publish(self, actor: Actor, work: Callable[[Transaction], T]) -> Committed[T]:
        committed = await self._store.write(actor, work)
        if committed.events:
            _log.info(
                "admin.changed", actor=actor.name, revision=committed.revision, changes=len(committed.events)
            )
            await self._publisher.state_changed(committed.revision)
        return committed
