"""A node that has joined, with its state directory."""

from __future__ import annotations

from pathlib import Path

from node_sidecar import join_token
from node_sidecar.files import private_directory
from node_sidecar.identity import IdentityStore
from node_sidecar.join import join
from node_sidecar.renewable_identity import RenewableIdentity
from tests.node_sidecar.support.registry import Gateway


async def joined(gateway: Gateway, state_dir: Path) -> RenewableIdentity:
    store = IdentityStore(private_directory(state_dir))
    made = await join(gateway.address, join_token.parse(gateway.issuer.token()), "lab", lambda _: None)
    store.save(made.identity)
    return RenewableIdentity(store)
