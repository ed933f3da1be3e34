"""Columns ↔ values of the model. Lists lie in one column each, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from xds_server.model import (
    Calendar,
    Key,
    Limit,
    Metric,
    Node,
    NodesTarget,
    Organisation,
    Price,
    Provider,
    ProviderTarget,
    Target,
    Visibility,
)
from xds_server.store.crypto import Cipher


@lru_cache(maxsize=1024)  # thousands of keys share a few lists
def decode_strings(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def encode_strings(values: tuple[str, ...]) -> str:
    return json.dumps(values, separators=(",", ":"))


@lru_cache(maxsize=1024)
def decode_limits(text: str) -> tuple[Limit, ...]:
    return tuple(_limit(*row) for row in json.loads(text))


def encode_limits(limits: tuple[Limit, ...]) -> str:
    rows = [
        [limit.metric, limit.per_seconds, limit.amount, limit.calendar or "", limit.time_zone, limit.model]
        for limit in limits
    ]
    return json.dumps(rows, separators=(",", ":"))


def _limit(  # noqa: PLR0917  # takes a row; the first schema's had three columns
    metric: str, per_seconds: int, amount: int, calendar: str = "", time_zone: str = "", model: str = ""
) -> Limit:
    return Limit(Metric(metric), per_seconds, amount, Calendar(calendar) if calendar else None, time_zone, model)


def seal_credentials(cipher: Cipher, provider: str, credentials: tuple[str, ...]) -> bytes:
    """Empty for none. Tied to the provider: the same bytes in another provider's row do not open."""
    return cipher.seal(encode_strings(credentials).encode(), _associated(provider)) if credentials else b""


def open_credentials(cipher: Cipher, provider: str, sealed: bytes) -> tuple[str, ...]:
    """Raises SecretKeyError."""
    return tuple(json.loads(cipher.open(sealed, _associated(provider)))) if sealed else ()


def _associated(provider: str) -> bytes:
    return f"provider {provider}".encode()


def decode_organisation(id_: str, name: str, limits: str, version: int) -> Organisation:
    return Organisation(id=id_, name=name, limits=decode_limits(limits), version=version)


def decode_key(  # noqa: PLR0917  # takes a row
    id_: str,
    organisation_id: str,
    name: str,
    hash_: bytes,
    models: str,
    limits: str,
    expires_at: int,
    created_at: int,
    version: int,
) -> Key:
    return Key(
        id=id_,
        organisation_id=organisation_id,
        name=name,
        hash=bytes(hash_),
        models=decode_strings(models),
        limits=decode_limits(limits),
        expires_at=expires_at,
        created_at=created_at,
        version=version,
    )


def decode_provider(  # noqa: PLR0917  # takes a row
    cipher: Cipher,
    name: str,
    dialect: str,
    base_url: str,
    credentials: bytes,
    ca_file: str,
    stream_usage: bool,
    version: int,
) -> Provider:
    """Raises SecretKeyError."""
    return Provider(
        name=name,
        base_url=base_url,
        dialect=dialect,
        credentials=open_credentials(cipher, name, bytes(credentials)),
        ca_file=ca_file,
        stream_usage=bool(stream_usage),
        version=version,
    )


def decode_node(  # noqa: PLR0917  # takes a row
    id_: str,
    organisation_id: str,
    owner_key_id: str,
    name: str,
    visibility: str,
    approved: bool,
    drained: bool,
    boost: int,
    created_at: int,
    version: int,
) -> Node:
    return Node(
        id=id_,
        name=name,
        organisation_id=organisation_id,
        owner_key_id=owner_key_id,
        visibility=Visibility(visibility),
        approved=bool(approved),
        drained=bool(drained),
        boost=boost,
        created_at=created_at,
        version=version,
    )


def decode_target(
    histories: Mapping[str, tuple[Price, ...]], provider: str | None, model: str, weight: int, tier: int
) -> Target:
    """`histories` are the prices of its route's targets, by target id, oldest first."""
    target: Target = NodesTarget(model, weight, tier)
    if provider is not None:
        target = ProviderTarget(provider, model, weight, tier)
    return replace(target, prices=histories.get(target.id, ()))
