"""The store for asyncio: every call runs in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from xds_server.accounts.settings import IdentityProvider
from xds_server.model import Alerting, DesiredState
from xds_server.store.audit_chain import ChainVerdict
from xds_server.store.connection import DatabaseSnapshot
from xds_server.store.records import Actor, AuditEvent, AuditQuery, KeyRecord
from xds_server.store.store import Committed, Store

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

T = TypeVar("T")


class AsyncStore:
    """The store for asyncio. A cancelled `write` still finishes in its thread: shield what must follow it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, work: Callable[[DatabaseSnapshot], T]) -> T:
        """Runs `work` on one consistent view of the database."""
        return await asyncio.to_thread(self._store.read, work)

    async def client_secret(self, provider: IdentityProvider) -> str:
        """Returns the opened client secret of an identity provider. Raises SecretKeyError."""
        return await asyncio.to_thread(self._store.client_secret, provider)

    async def secret(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Returns a secret of the installation, which `make` provides if there is none yet."""
        return await asyncio.to_thread(self._store.secret, name, make)

    async def load(self) -> DesiredState:
        """Reads the desired state."""
        return await asyncio.to_thread(self._store.load)

    async def webhook_secret(self, alerts: Alerting) -> bytes:
        """Returns the opened secret of the webhook. Raises SecretKeyError."""
        return await asyncio.to_thread(self._store.webhook_secret, alerts)

    async def keys(self, *, organisation: str = "", include_revoked: bool = False) -> list[KeyRecord]:
        """Returns the keys, of all organisations if `organisation` is empty."""
        return await asyncio.to_thread(
            self._store.keys, organisation=organisation, include_revoked=include_revoked
        )

    async def audit_events(self, query: AuditQuery) -> list[AuditEvent]:
        """Returns the events of a query, newest first."""
        return await asyncio.to_thread(self._store.audit_events, query)

    async def verify_audit(self) -> ChainVerdict:
        """Verifies the audit log's hash chain."""
        return await asyncio.to_thread(self._store.verify_audit)

    async def write(
        self, actor: str | Actor, work: Callable[[Transaction], T], *, dry_run: bool = False
    ) -> Committed[T]:
        """Runs `work` in a transaction with its audit events. A dry run is rolled back."""
        return await asyncio.to_thread(self._store.write, actor, work, dry_run=dry_run)
