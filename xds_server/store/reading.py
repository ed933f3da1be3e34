"""The desired state, keys and audit trail from a consistent view of the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xds_server.model import (
    Key,
    Node,
    Organisation,
    Price,
    Privacy,
    Provider,
    Route,
    State,
    Strategy,
    Target,
    Timeouts,
)
from xds_server.store import codec
from xds_server.store.connection import Snapshot
from xds_server.store.crypto import Cipher
from xds_server.store.records import Action, AuditEvent, AuditQuery, KeyRecord, ObjectType

_KEY_COLUMNS = "k.id, k.organisation_id, k.name, k.hash, k.models, k.limits, k.expires_at, k.created_at, k.version"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A state, with the revision at which each kind of object last changed."""

    state: State
    revisions: Mapping[str, int]


def load(snapshot: Snapshot, cipher: Cipher, last: Loaded | None = None) -> Loaded:
    """The state now. A kind of object that has not changed since `last` is shared with it, not read again."""
    revisions: dict[str, int] = dict(snapshot.rows("SELECT kind, value FROM revision"))
    if last is not None and revisions == last.revisions:
        return last

    def unchanged(kind: str) -> bool:
        return last is not None and revisions[kind] == last.revisions[kind]

    before = last.state if last is not None else State(0)
    state = State(
        revision=revisions["state"],
        providers=before.providers if unchanged("providers") else providers(snapshot, cipher),
        routes=before.routes if unchanged("routes") else routes(snapshot),
        organisations=before.organisations if unchanged("organisations") else organisations(snapshot),
        keys=before.keys if unchanged("keys") else keys(snapshot),
        nodes=before.nodes if unchanged("nodes") else nodes(snapshot),
    )
    return Loaded(state, revisions)


def providers(snapshot: Snapshot, cipher: Cipher) -> dict[str, Provider]:
    """By name. Raises SecretKeyError."""
    rows = snapshot.rows(
        "SELECT name, dialect, base_url, credentials, ca_file, stream_usage, version FROM provider ORDER BY name"
    )
    return {row[0]: codec.decode_provider(cipher, *row) for row in rows}


def organisations(snapshot: Snapshot) -> dict[str, Organisation]:
    """By id."""
    rows = snapshot.rows("SELECT id, name, limits, version FROM organisation ORDER BY name")
    return {row[0]: codec.decode_organisation(*row) for row in rows}


def keys(snapshot: Snapshot) -> dict[str, Key]:
    """Those not revoked, by id."""
    rows = snapshot.rows(f"SELECT {_KEY_COLUMNS} FROM api_key k WHERE k.revoked_at = 0 ORDER BY k.id")  # noqa: S608
    return {row[0]: codec.decode_key(*row) for row in rows}


def nodes(snapshot: Snapshot) -> dict[str, Node]:
    """Those not removed, by id."""
    rows = snapshot.rows(
        "SELECT id, organisation_id, owner_key_id, name, visibility, approved, drained, boost, created_at, "
        "version FROM node WHERE removed_at = 0 ORDER BY id"
    )
    return {row[0]: codec.decode_node(*row) for row in rows}


def routes(snapshot: Snapshot) -> dict[str, Route]:
    """By id."""
    histories = price_histories(snapshot)
    targets: dict[str, list[Target]] = {}
    for route_id, *columns in snapshot.rows(
        "SELECT route_id, provider, model, weight, tier FROM target ORDER BY route_id, position"
    ):
        target = codec.decode_target(histories.get(route_id, {}), *columns)
        targets.setdefault(route_id, []).append(target)
    rows = snapshot.rows(
        "SELECT id, organisation_id, model, strategy, first_byte_ms, idle_ms, connect_ms, cache_ttl_seconds, "
        "privacy, limits, reserved_output_tokens, created_at, version FROM route ORDER BY id"
    )
    return {row[0]: _route(tuple(targets.get(row[0], ())), *row) for row in rows}


def price_histories(snapshot: Snapshot, route_id: str = "") -> dict[str, dict[str, tuple[Price, ...]]]:
    """By route and target id, oldest first, those of targets that left included; of one route, if it is given."""
    histories: dict[str, dict[str, tuple[Price, ...]]] = {}
    condition, arguments = ("WHERE route_id = ?", [route_id]) if route_id else ("", [])
    for owner, target_id, *columns in snapshot.rows(
        "SELECT route_id, target_id, input, output, cached_input, request, valid_from, version "  # noqa: S608
        f"FROM target_price {condition} ORDER BY route_id, target_id, valid_from, version",
        *arguments,
    ):
        of_route = histories.setdefault(owner, {})
        of_route[target_id] = (*of_route.get(target_id, ()), Price(*columns))
    return histories


def key_records(snapshot: Snapshot, *, organisation: str = "", include_revoked: bool = False) -> list[KeyRecord]:
    """By organisation and name; `organisation` empty: of all."""
    rows = snapshot.rows(
        f"SELECT o.name, k.revoked_at, {_KEY_COLUMNS} FROM api_key k JOIN organisation o "  # noqa: S608
        "ON o.id = k.organisation_id WHERE (? = '' OR o.name = ?) AND (k.revoked_at = 0 OR ? = 1) "
        "ORDER BY o.name, k.name, k.created_at, k.id",
        organisation,
        organisation,
        int(include_revoked),
    )
    return [KeyRecord(codec.decode_key(*columns), owner, revoked_at) for owner, revoked_at, *columns in rows]


def audit_events(snapshot: Snapshot, query: AuditQuery) -> list[AuditEvent]:
    """Newest first."""
    conditions = ["id < ?"]
    arguments: list[Any] = [query.before_id or 1 << 62]
    for column, wanted in (("object_type", query.object_type), ("object_name", query.object_name)):
        if wanted:
            conditions.append(f"{column} = ?")
            arguments.append(wanted)
    rows = snapshot.rows(
        "SELECT id, at_us, actor, action, object_type, object_name, before, after, revision FROM audit_event "  # noqa: S608
        f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?",
        *arguments,
        query.limit,
    )
    return [
        AuditEvent(id_, at_us, actor, Action(action), ObjectType(object_type), *columns)
        for id_, at_us, actor, action, object_type, *columns in rows
    ]


def _route(  # noqa: PLR0917  # takes a row
    targets: tuple[Target, ...],
    id_: str,
    organisation_id: str | None,
    model: str,
    strategy: str,
    first_byte_ms: int,
    idle_ms: int,
    connect_ms: int,
    cache_ttl_seconds: int,
    privacy: str,
    limits: str,
    reserved_output_tokens: int,
    created_at: int,
    version: int,
) -> Route:
    return Route(
        id=id_,
        model=model,
        targets=targets,
        organisation_id=organisation_id or "",
        strategy=Strategy(strategy),
        timeouts=Timeouts(first_byte_ms, idle_ms, connect_ms),
        cache_ttl_seconds=cache_ttl_seconds,
        privacy=Privacy(privacy),
        limits=codec.decode_limits(limits),
        reserved_output_tokens=reserved_output_tokens,
        created_at=created_at,
        version=version,
    )
