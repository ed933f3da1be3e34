"""The desired state, keys and audit trail from a consistent view of the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xds_server.model import Gateway, Key, Node, Organisation, Price, Provider, Route, State, Target
from xds_server.store import codec
from xds_server.store.connection import Snapshot
from xds_server.store.crypto import Cipher
from xds_server.store.records import AuditEvent, AuditQuery, KeyRecord


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
        gateway=before.gateway if unchanged("gateway") else gateway(snapshot),
    )
    return Loaded(state, revisions)


def providers(snapshot: Snapshot, cipher: Cipher) -> dict[str, Provider]:
    """By name. Raises SecretKeyError."""
    rows = snapshot.rows(f"SELECT name, credentials, {codec.PROVIDER.select()} FROM provider ORDER BY name")  # noqa: S608
    return {
        name: codec.PROVIDER.decode(row, credentials=codec.open_credentials(cipher, name, bytes(sealed)))
        for name, sealed, *row in rows
    }


def organisations(snapshot: Snapshot) -> dict[str, Organisation]:
    """By id."""
    rows = snapshot.rows(f"SELECT id, {codec.ORGANISATION.select()} FROM organisation ORDER BY name")  # noqa: S608
    return {id_: codec.ORGANISATION.decode(row) for id_, *row in rows}


def keys(snapshot: Snapshot) -> dict[str, Key]:
    """Those not revoked, by id."""
    rows = snapshot.rows(f"SELECT id, {codec.KEY.select()} FROM api_key WHERE revoked_at = 0 ORDER BY id")  # noqa: S608
    return {id_: codec.KEY.decode(row) for id_, *row in rows}


def nodes(snapshot: Snapshot) -> dict[str, Node]:
    """Those not removed, by id."""
    rows = snapshot.rows(f"SELECT id, {codec.NODE.select()} FROM node WHERE removed_at = 0 ORDER BY id")  # noqa: S608
    return {id_: codec.NODE.decode(row) for id_, *row in rows}


def gateway(snapshot: Snapshot) -> Gateway:
    """The defaults, if it never was written."""
    rows = snapshot.rows(f"SELECT {codec.GATEWAY.select()} FROM gateway")  # noqa: S608
    return codec.GATEWAY.decode(rows[0]) if rows else Gateway()


def routes(snapshot: Snapshot, route_id: str = "") -> dict[str, Route]:
    """By id; one alone, if its id is given."""
    condition, arguments = ("WHERE {} = ?", [route_id]) if route_id else ("", [])
    histories = price_histories(snapshot, route_id)
    targets: dict[str, list[Target]] = {}
    for owner, *row in snapshot.rows(
        f"SELECT route_id, {codec.TARGET.select()} FROM target {condition.format('route_id')} "  # noqa: S608
        "ORDER BY route_id, position",
        *arguments,
    ):
        targets.setdefault(owner, []).append(codec.decode_target(row, histories.get(owner, {})))
    rows = snapshot.rows(
        f"SELECT id, {codec.ROUTE.select()} FROM route {condition.format('id')} ORDER BY id",  # noqa: S608
        *arguments,
    )
    return {id_: codec.ROUTE.decode(row, targets=tuple(targets.get(id_, ()))) for id_, *row in rows}


def price_histories(snapshot: Snapshot, route_id: str = "") -> dict[str, dict[str, tuple[Price, ...]]]:
    """By route and target id, oldest first, those of targets that left included; of one route, if it is given."""
    histories: dict[str, dict[str, tuple[Price, ...]]] = {}
    condition, arguments = ("WHERE route_id = ?", [route_id]) if route_id else ("", [])
    for owner, target_id, *row in snapshot.rows(
        f"SELECT route_id, target_id, {codec.PRICE.select()} "  # noqa: S608
        f"FROM target_price {condition} ORDER BY route_id, target_id, valid_from, version",
        *arguments,
    ):
        of_route = histories.setdefault(owner, {})
        of_route[target_id] = (*of_route.get(target_id, ()), codec.PRICE.decode(row))
    return histories


def key_records(snapshot: Snapshot, *, organisation: str = "", include_revoked: bool = False) -> list[KeyRecord]:
    """By organisation and name; `organisation` empty: of all."""
    rows = snapshot.rows(
        f"SELECT o.name, k.revoked_at, {codec.KEY.select('k.')} FROM api_key k JOIN organisation o "  # noqa: S608
        "ON o.id = k.organisation_id WHERE (? = '' OR o.name = ?) AND (k.revoked_at = 0 OR ? = 1) "
        "ORDER BY o.name, k.name, k.created_at, k.id",
        organisation,
        organisation,
        int(include_revoked),
    )
    return [KeyRecord(codec.KEY.decode(row), owner, revoked_at) for owner, revoked_at, *row in rows]


def audit_events(snapshot: Snapshot, query: AuditQuery) -> list[AuditEvent]:
    """Newest first."""
    conditions = ["id < ?"]
    arguments: list[Any] = [query.before_id or 1 << 62]
    for column, wanted in (("object_type", query.object_type), ("object_name", query.object_name)):
        if wanted:
            conditions.append(f"{column} = ?")
            arguments.append(wanted)
    rows = snapshot.rows(
        f"SELECT {codec.AUDIT_EVENT.select()} FROM audit_event "  # noqa: S608
        f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?",
        *arguments,
        query.limit,
    )
    return [codec.AUDIT_EVENT.decode(row) for row in rows]
