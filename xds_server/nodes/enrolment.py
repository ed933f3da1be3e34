"""Joining and leaving: the calls of nodes that change the desired state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog

from xds_server.errors import JoinTokenError, TooManyAttemptsError
from xds_server.model import Node
from xds_server.nodes.clock import system_clock
from xds_server.nodes.moment import Clock
from xds_server.nodes.ports import Issuer, NodeStore, Publisher
from xds_server.nodes.rate_limit import RateLimit
from xds_server.store import Committed

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

T = TypeVar("T")

#: Refused or repeated tokens per second, and at once, after which nobody joins for a moment. The secret in a token
#: cannot be guessed; this keeps callers that try from taking the store's write lock.
_REFUSALS_PER_SECOND, _BURST = 2.0, 50
#: The most enrolments that wait for the store; further ones are asked to retry.
_MAX_WAITING = 64
_TOKEN_PREFIX, _MAX_TOKEN = "tlj_", 512

_log = structlog.get_logger(__name__)


class EnrolmentChanges(Protocol):
    """The part of `store.writing.nodes` that is needed here."""

    def enrol(self, transaction: Transaction, token: str, proposed_name: str, key_hash: bytes) -> Node:
        """Enrols a node. Raises JoinTokenError."""
        ...

    def leave(self, transaction: Transaction, node_id: str) -> Any:
        """Removes a node. Raises NotFoundError."""
        ...


@dataclass(frozen=True, slots=True)
class EnrolledNode:
    """A node that has joined. `certificate` is PEM."""

    node: Node
    certificate: bytes


class Enrolment:
    """Enrols nodes. `changes` returns the module when it is first needed, because it takes long to import."""

    def __init__(
        self,
        store: NodeStore,
        issuer: Issuer,
        publisher: Publisher,
        changes: Callable[[], EnrolmentChanges],
        clock: Clock = system_clock,
    ) -> None:
        self._store = store
        self._issuer = issuer
        self._publisher = publisher
        self._changes = changes
        self._clock = clock
        self._refused = RateLimit(per_second=_REFUSALS_PER_SECOND, burst=_BURST)
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0
        self._running: set[asyncio.Task[Any]] = set()

    async def enrol(self, token: str, proposed_name: str, csr_pem: bytes) -> EnrolledNode:
        """Enrols a node. The same token with the same key is answered again for a while: the first answer may have
        been lost.

        Raises JoinTokenError, CsrError (the token is then still valid), TooManyAttemptsError.
        """
        if not token.startswith(_TOKEN_PREFIX) or len(token) > _MAX_TOKEN:
            raise JoinTokenError("this is not a join token; make one with `trunkline nodes invite`")
        wait = self._refused.wait(self._clock().monotonic)
        if wait or self._waiting >= _MAX_WAITING:
            raise TooManyAttemptsError(f"too many nodes try to join; try again in {int(wait) + 2} seconds")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._enrol(token, proposed_name, csr_pem)
        except JoinTokenError as error:
            self._refused.take(self._clock().monotonic)
            _log.warning("join token refused", reason=str(error))
            raise
        finally:
            self._waiting -= 1

    async def leave(self, node_id: str) -> None:
        """Removes the node from the desired state. Raises NotFoundError."""
        await self._write(node_id, lambda transaction: self._changes().leave(transaction, node_id))
        _log.info("node left", node=node_id)

    async def _enrol(self, token: str, proposed_name: str, csr_pem: bytes) -> EnrolledNode:
        # Before the transaction: a request that cannot be granted takes no lock and uses up no token.
        key_hash = await asyncio.to_thread(self._issuer.key_hash, csr_pem)

        def work(transaction: Transaction) -> EnrolledNode:
            node = self._changes().enrol(transaction, token, proposed_name, key_hash)
            return EnrolledNode(node, self._issuer.issue(node.id, csr_pem))

        committed = await self._write("node", work)
        enrolled = committed.value
        if committed.events:
            _log.info("node joined", node=enrolled.node.id, approved=enrolled.node.approved)
        else:
            self._refused.take(self._clock().monotonic)
            _log.info("node asked to join again, with the same key", node=enrolled.node.id)
        return enrolled

    async def _write(self, actor: str, work: Callable[[Transaction], T]) -> Committed[T]:
        """Stores and publishes a change; a caller that disconnects in between stops neither."""
        task = asyncio.create_task(self._store_and_publish(actor, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _store_and_publish(self, actor: str, work: Callable[[Transaction], T]) -> Committed[T]:
        committed = await self._store.write(actor, work)
        await self._publisher.state_changed(committed.revision)
        return committed
