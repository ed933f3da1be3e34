"""What the node registry needs from others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from xds_server.ledger.connection import LedgerTransaction
from xds_server.model import State
from xds_server.pool import Pool
from xds_server.store import Committed

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

T = TypeVar("T")


class Issuer(Protocol):
    """The gateway's CA."""

    @property
    def ca_pem(self) -> bytes: ...

    def key_hash(self, csr_pem: bytes) -> bytes:
        """The SHA-256 of the public key that the request is for, as DER. Raises CsrError."""
        ...

    def issue(self, node_id: str, csr_pem: bytes) -> bytes:
        """A node's certificate, PEM, leaf first. Raises CsrError."""
        ...


class NodeStore(Protocol):
    """The desired state: where nodes are entered and removed."""

    async def load(self) -> State:
        """The state now. Raises DatabaseUnavailableError."""
        ...

    async def write(self, actor: str, work: Callable[[Transaction], T]) -> Committed[T]:
        """Raises what `work` raises, and DatabaseUnavailableError."""
        ...


class Publisher(Protocol):
    """Brings changes to the clients."""

    async def state_changed(self, revision: int) -> None:
        """The store is at `revision`, or past it."""
        ...

    def pools_changed(self, pools: Mapping[str, Pool]) -> None:
        """The pools that differ now, by name."""
        ...


class LiveTables(Protocol):
    """Short transactions on the tables of live state, beside those of the desired state."""

    async def write(self, work: Callable[[LedgerTransaction], T]) -> T:
        """Raises DatabaseUnavailableError."""
        ...
