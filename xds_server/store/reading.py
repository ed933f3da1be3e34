"""Reads the desired state, keys and the audit trail from a consistent view of the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from xds_server.errors import SecretKeyError
from xds_server.model import DesiredState, Gateway, Key, Node, Organisation, Provider, Route
from xds_server.prices import TargetPrice
from xds_server.reasons import Reason
from xds_server.store import codec
from xds_server.store.connection import DatabaseSnapshot
from xds_server.store.crypto import Cipher
from xds_server.store.records import AuditEvent, AuditQuery, KeyRecord

T = TypeVar("T")
#: Id, name, and the function that decodes the row.
_Rows = Iterable[tuple[str, str, Callable[[], T]]]


@dataclass(frozen=True, slots=True)
class LoadedState:
    """A state. `revisions` has the revision at which each kind of object last changed, and `unreadable` what could
    not be read of each kind.
    """

    state: DesiredState
    revisions: Mapping[str, int]
    unreadable: Mapping[str, tuple[Reason, ...]]


def load(snapshot: DatabaseSnapshot, cipher: Cipher, last: LoadedState | None = None) -> LoadedState:
    """Returns the current state. A kind of object that has not changed since `last` is shared with it and not read
    again.

    A row that cannot be decoded, because another version wrote it, keeps its form in `last`, or is left out if it
    has none. `DesiredState.unreadable` names it. Raises SecretKeyError.
    """
    revisions: dict[str, int] = dict(snapshot.rows("SELECT kind, value FROM revision"))
    if last is not None and revisions == last.revisions:
        return last
    before = last.state if last is not None else DesiredState(0)
    unreadable = dict(last.unreadable) if last is not None else {}

    def read(kind: str, known: Mapping[str, T], rows: Callable[[], _Rows[T]]) -> Mapping[str, T]:
        if last is not None and revisions[kind] == last.revisions[kind]:
            return known
        decoded, unreadable[kind] = _salvaged(kind, rows(), known)
        return decoded

    state = DesiredState(
        revision=revisions["state"],
        providers=read("providers", before.providers, lambda: _providers(snapshot, cipher)),
        routes=read("routes", before.routes, lambda: _routes(snapshot)),
        organisations=read("organisations", before.organisations, lambda: _organisations(snapshot)),
        keys=read("keys", before.keys, lambda: _keys(snapshot)),
        nodes=read("nodes", before.nodes, lambda: _nodes(snapshot)),
        gateway=read("gateway", {"": before.gateway}, lambda: _gateway(snapshot, cipher)).get("", Gateway()),
        unreadable=tuple(text for texts in unreadable.values() for text in texts),
    )
    return LoadedState(state, revisions, unreadable)


def _salvaged(kind: str, rows: _Rows[T], known: Mapping[str, T]) -> tuple[dict[str, T], tuple[Reason, ...]]:
    """Returns the objects of `rows` by id, and the reason of each row that cannot be decoded."""
    objects: dict[str, T] = {}
    unreadable: list[Reason] = []
    for id_, name, decode in rows:
        try:
            objects[id_] = decode()
        except SecretKeyError:  # one key for all of them: the database is another's, or its key is
            raise
        except Exception as error:  # noqa: BLE001  # a column of another version may hold anything
            meanwhile = "unreadable" if id_ in known else "left_out"
            said = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
            unreadable.append(Reason.of_object(kind.removesuffix("s"), name, meanwhile, said))
            if id_ in known:
                objects[id_] = known[id_]
    return objects, tuple(unreadable)


def _providers(snapshot: DatabaseSnapshot, cipher: Cipher) -> _Rows[Provider]:
    def decode(name: str, sealed: bytes, row: Sequence[Any]) -> Provider:
        return codec.PROVIDER.decode(row, credentials=codec.open_credentials(cipher, name, bytes(sealed)))

    rows = snapshot.rows(f"SELECT name, credentials, {codec.PROVIDER.select()} FROM provider ORDER BY name")  # noqa: S608
    return ((name, name, partial(decode, name, sealed, row)) for name, sealed, *row in rows)


def _organisations(snapshot: DatabaseSnapshot) -> _Rows[Organisation]:
    rows = snapshot.rows(f"SELECT id, name, {codec.ORGANISATION.select()} FROM organisation ORDER BY name")  # noqa: S608
    return ((id_, name, partial(codec.ORGANISATION.decode, row)) for id_, name, *row in rows)


def _keys(snapshot: DatabaseSnapshot) -> _Rows[Key]:
    """Reads the keys that are not revoked."""
    rows = snapshot.rows(f"SELECT id, name, {codec.KEY.select()} FROM api_key WHERE revoked_at = 0 ORDER BY id")  # noqa: S608
    return ((id_, name, partial(codec.KEY.decode, row)) for id_, name, *row in rows)


def _nodes(snapshot: DatabaseSnapshot) -> _Rows[Node]:
    """Reads the nodes that are not removed."""
    rows = snapshot.rows(f"SELECT id, name, {codec.NODE.select()} FROM node WHERE removed_at = 0 ORDER BY id")  # noqa: S608
    return ((id_, name, partial(codec.NODE.decode, row)) for id_, name, *row in rows)


def _gateway(snapshot: DatabaseSnapshot, cipher: Cipher) -> _Rows[Gateway]:
    def decode(sealed: bytes, row: Sequence[Any]) -> Gateway:
        return codec.GATEWAY.decode(row, cache_password=codec.open_cache_password(cipher, bytes(sealed)))

    rows = snapshot.rows(f"SELECT cache_password, {codec.GATEWAY.select()} FROM gateway")  # noqa: S608
    return (("", "", partial(decode, sealed, row)) for sealed, *row in rows)


def gateway(snapshot: DatabaseSnapshot, cipher: Cipher) -> Gateway:
    """Returns the gateway's settings; the defaults if they were never written."""
    return next((decode() for _, _, decode in _gateway(snapshot, cipher)), Gateway())


def _routes(snapshot: DatabaseSnapshot, route_id: str = "") -> _Rows[Route]:
    """Reads all routes, or only the one with the given id."""
    condition, arguments = ("WHERE {} = ?", [route_id]) if route_id else ("", [])
    histories = price_histories(snapshot, route_id)
    targets: dict[str, list[Sequence[Any]]] = {}
    for owner, *row in snapshot.rows(
        f"SELECT route_id, {codec.TARGET.select()} FROM target {condition.format('route_id')} "  # noqa: S608
        "ORDER BY route_id, position",
        *arguments,
    ):
        targets.setdefault(owner, []).append(row)

    def decode(id_: str, row: Sequence[Any]) -> Route:
        decoded = (codec.decode_target(each, histories.get(id_, {})) for each in targets.get(id_, ()))
        return codec.ROUTE.decode(row, targets=tuple(decoded))

    rows = snapshot.rows(
        f"SELECT id, model, {codec.ROUTE.select()} FROM route {condition.format('id')} ORDER BY id",  # noqa: S608
        *arguments,
    )
    return ((id_, model, partial(decode, id_, row)) for id_, model, *row in rows)


def route(snapshot: DatabaseSnapshot, route_id: str) -> Route:
    """Returns a route. Raises LookupError."""
    for _, _, decode in _routes(snapshot, route_id):
        return decode()
    raise LookupError(route_id)


def price_histories(
    snapshot: DatabaseSnapshot, route_id: str = ""
) -> dict[str, dict[str, tuple[TargetPrice, ...]]]:
    """Returns price histories by route and target id, oldest first, including those of former targets; of one
    route, if it is given.
    """
    histories: dict[str, dict[str, tuple[TargetPrice, ...]]] = {}
    condition, arguments = ("WHERE route_id = ?", [route_id]) if route_id else ("", [])
    for owner, target_id, *row in snapshot.rows(
        f"SELECT route_id, target_id, {codec.PRICE.select()} "  # noqa: S608
        f"FROM target_price {condition} ORDER BY route_id, target_id, valid_from, version",
        *arguments,
    ):
        of_route = histories.setdefault(owner, {})
        of_route[target_id] = (*of_route.get(target_id, ()), codec.PRICE.decode(row))
    return histories


def key_records(
    snapshot: DatabaseSnapshot, *, organisation: str = "", include_revoked: bool = False
) -> list[KeyRecord]:
    """Returns keys by organisation and name; an empty `organisation` means all."""
    rows = snapshot.rows(
        f"SELECT o.name, k.revoked_at, {codec.KEY.select('k.')} FROM api_key k JOIN organisation o "  # noqa: S608
        "ON o.id = k.organisation_id WHERE (? = '' OR o.name = ?) AND (k.revoked_at = 0 OR ? = 1) "
        "ORDER BY o.name, k.name, k.created_at, k.id",
        organisation,
        organisation,
        int(include_revoked),
    )
    return [KeyRecord(codec.KEY.decode(row), owner, revoked_at) for owner, revoked_at, *row in rows]


def audit_events(snapshot: DatabaseSnapshot, query: AuditQuery) -> list[AuditEvent]:
    """Returns events, newest first."""
    conditions = ["id < ?"]
    arguments: list[Any] = [query.before_id or 1 << 62]
    for column, wanted in (("object_type", query.object_type), ("object_name", query.object_name)):
        if wanted:
            conditions.append(f"{column} = ?")
            arguments.append(wanted)
    if query.organisation_ids is not None:
        conditions.append(f"organisation_id IN ({', '.join('?' * len(query.organisation_ids)) or 'NULL'})")
        arguments += query.organisation_ids
    rows = snapshot.rows(
        f"SELECT {codec.AUDIT_EVENT.select()} FROM audit_event "  # noqa: S608
        f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?",
        *arguments,
        query.limit,
    )
    return [codec.AUDIT_EVENT.decode(row) for row in rows]
