"""Interfaces that the node registry needs from other parts of the control plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from xds_server.ledger.connection import LedgerTransaction
from xds_server.model import DesiredState
from xds_server.pool import Pool
from xds_server.store import Committed

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

T = TypeVar("T")


class Issuer(Protocol):
    """The gateway's CA."""

    @property
    def ca_pem(self) -> bytes:
        """Returns the certificate of the CA that nodes pin."""

    def key_hash(self, csr_pem: bytes) -> bytes:
        """Returns the SHA-256 of the public key in the request, as DER. Raises CsrError."""
        ...

    def issue(self, node_id: str, csr_pem: bytes) -> bytes:
        """Issues a node's certificate as PEM, leaf first. Raises CsrError."""
        ...


class NodeStore(Protocol):
    """The desired state, to which nodes are added and from which they are removed."""

    async def load(self) -> DesiredState:
        """Returns the current state. Raises DatabaseUnavailableError."""
        ...

    async def write(self, actor: str, work: Callable[[Transaction], T]) -> Committed[T]:
        """Runs `work` in a transaction. Raises what `work` raises, and DatabaseUnavailableError."""
        ...


class Publisher(Protocol):
    """Brings changes to the clients."""

    async def state_changed(self, revision: int) -> None:
        """Announces that the store is at `revision` or later."""
        ...

    def pools_changed(self, pools: Mapping[str, Pool]) -> None:
        """Takes the pools that have changed, by name."""
        ...


class LiveTables(Protocol):
    """Runs short transactions on the tables of live state, between those on the desired state."""

    async def write(self, work: Callable[[LedgerTransaction], T]) -> T:
        """Runs `work` in a transaction. Raises DatabaseUnavailableError."""
        ...
