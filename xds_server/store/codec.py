"""The columns of each kind of object."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from xds_server.model import Gateway, Key, Node, NodesTarget, Organisation, Provider, ProviderTarget, Route, Target
from xds_server.prices import TargetPrice
from xds_server.store.columns import Coding, Columns
from xds_server.store.crypto import Cipher
from xds_server.store.records import AuditEvent, JoinTokenRecord

#: The context to which the sealed password of the cache's store is bound.
_CACHE = b"cache"
#: An id that may be missing: NULL, so that the database checks the others, and "" in the model.
_NULLABLE_ID = Coding(lambda id_: id_ or None, lambda id_: id_ or "")

ORGANISATION = Columns(Organisation)
KEY = Columns(Key)
NODE = Columns(Node)
JOIN_TOKEN = Columns(JoinTokenRecord)
AUDIT_EVENT = Columns(AuditEvent)
#: `cache_password` is sealed: see `seal_cache_password`.
GATEWAY = Columns(Gateway, apart=["cache_password"])
#: `credentials` are sealed: see `seal_credentials`.
PROVIDER = Columns(Provider, apart=["credentials"])
#: `targets` are rows of their own.
ROUTE = Columns(Route, apart=["targets"], codings={"organisation_id": _NULLABLE_ID})
#: `prices` are rows of their own. Both kinds of targets share a table; a NodesTarget has no provider.
TARGET = Columns(ProviderTarget, apart=["prices"])
NODES_TARGET = Columns(NodesTarget, apart=["prices"])
PRICE = Columns(TargetPrice)


_WEBHOOK = b"gateway alerts"


def seal_credentials(cipher: Cipher, provider: str, credentials: tuple[str, ...]) -> bytes:
    """Seals credentials; returns nothing for none. They are bound to the provider: in another provider's row they
    do not open.
    """
    if not credentials:
        return b""
    return cipher.seal(json.dumps(credentials, separators=(",", ":")).encode(), _associated(provider))


def open_credentials(cipher: Cipher, provider: str, sealed: bytes) -> tuple[str, ...]:
    """Opens sealed credentials. Raises SecretKeyError."""
    return tuple(json.loads(cipher.open(sealed, _associated(provider)))) if sealed else ()


def seal_client_secret(cipher: Cipher, provider: str, secret: str) -> str:
    """Seals a client secret in base64, bound to the identity provider's name. Returns nothing for none."""
    return base64.b64encode(cipher.seal(secret.encode(), _client(provider))).decode() if secret else ""


def open_client_secret(cipher: Cipher, provider: str, sealed: str) -> str:
    """Opens a sealed client secret. Raises SecretKeyError."""
    return cipher.open(base64.b64decode(sealed), _client(provider)).decode() if sealed else ""


def _client(provider: str) -> bytes:
    return f"identity provider {provider}".encode()


def seal_webhook(cipher: Cipher, secret: bytes) -> bytes:
    """Seals the secret that signs a webhook's calls."""
    return cipher.seal(secret, _WEBHOOK)


def open_webhook(cipher: Cipher, sealed: bytes) -> bytes:
    """Opens the sealed secret of a webhook. Raises SecretKeyError."""
    return cipher.open(sealed, _WEBHOOK)


def seal_cache_password(cipher: Cipher, password: str) -> bytes:
    """Returns the sealed password, or nothing for none."""
    return cipher.seal(password.encode(), _CACHE) if password else b""


def open_cache_password(cipher: Cipher, sealed: bytes) -> str:
    """Opens the sealed password of the cache's store. Raises SecretKeyError."""
    return cipher.open(sealed, _CACHE).decode() if sealed else ""


def _associated(provider: str) -> bytes:
    return f"provider {provider}".encode()


def encode_target(target: Target) -> dict[str, Any]:
    """Returns the columns of a target of either kind."""
    match target:
        case ProviderTarget():
            return TARGET.encode(target)
        case NodesTarget():
            return {"provider": None, **NODES_TARGET.encode(target)}


def decode_target(row: Sequence[Any], histories: Mapping[str, tuple[TargetPrice, ...]]) -> Target:
    """Returns the target of a row with the columns of TARGET. `histories` are the prices of its route's targets by
    target id, oldest first.
    """
    columns = dict(zip(TARGET.names, row, strict=True))
    target: Target = (
        TARGET.decode(row, prices=())
        if columns["provider"]
        else NODES_TARGET.decode([columns[name] for name in NODES_TARGET.names], prices=())
    )
    return replace(target, prices=histories.get(target.id, ()))
