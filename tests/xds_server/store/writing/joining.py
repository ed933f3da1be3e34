"""An organisation with an owner's key, and nodes that join it."""

from __future__ import annotations

import secrets

from xds_server.model import Key, Node
from xds_server.store import Store
from xds_server.store.settings import Invitation, KeySettings
from xds_server.store.writing import join_tokens, keys, nodes, organisations
from xds_server.store.writing.transaction import Transaction

FINGERPRINT = "ab" * 32


def make_owner(store: Store, organisation: str = "acme", key: str = "ci") -> Key:
    def work(tx: Transaction) -> Key:
        organisations.put(tx, organisation, limits=(), expected=0)
        return keys.create(tx, organisation, key, KeySettings())[0]

    return store.write("admin", work).value


def invite(store: Store, invitation: Invitation | None = None, organisation: str = "acme") -> str:
    """Returns the token's value."""

    def work(tx: Transaction) -> str:
        return join_tokens.invite(tx, organisation, invitation or Invitation(), fingerprint=FINGERPRINT)[1]

    return store.write("admin", work).value


def enrol(store: Store, token: str, name: str = "gpu", key_hash: bytes = b"") -> Node:
    """Enrols a node, with a key of its own unless one is given."""
    key_hash = key_hash or secrets.token_bytes(32)
    return store.write("registry", lambda tx: nodes.enrol(tx, token, name, key_hash)).value


def join(
    store: Store, invitation: Invitation | None = None, organisation: str = "acme", name: str = "gpu"
) -> Node:
    return enrol(store, invite(store, invitation, organisation), name)
