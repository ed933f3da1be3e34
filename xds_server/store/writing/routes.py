"""Creating, replacing and removing routes. A route is known by its model and its organisation."""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import col, select

from xds_server.model import NodesTarget, Privacy, Route, Strategy, Target, Timeouts
from xds_server.store import codec, views
from xds_server.store.api_keys import new_id
from xds_server.store.records import Action, ObjectType
from xds_server.store.tables import RouteRow, TargetRow
from xds_server.store.writing.transaction import Transaction
from xds_server.store.writing.versions import check_current, check_put


def put(transaction: Transaction, route: Route, *, organisation: str, expected: int | None) -> Route:
    """Returns the route as stored; its id, organisation id and times are the store's own.

    `organisation` is a name, empty for a route that everybody sees. `expected` as in versions.check_put;
    raises what that raises, and NotFoundError for an unknown organisation.
    """
    organisation_id = _owner_id(transaction, organisation)
    name = display_name(route.model, organisation)
    row = _find(transaction, route.model, organisation_id)
    check_put(ObjectType.ROUTE, name, current=row.version if row else None, expected=expected)
    before = _decode(transaction, row) if row else None
    route = replace(
        route,
        id=before.id if before else f"rt_{new_id()}",
        created_at=before.created_at if before else transaction.now,
        organisation_id=organisation_id or "",
    )
    if before is not None and replace(route, version=before.version) == before:
        return before
    stored = replace(route, version=transaction.revision)
    _write(transaction, stored)
    transaction.record(
        Action.CREATE if before is None else Action.UPDATE,
        ObjectType.ROUTE,
        name,
        views.route(before) if before else None,
        views.route(stored),
    )
    return stored


def delete(transaction: Transaction, model: str, *, organisation: str, expected: int = 0) -> None:
    """Raises NotFoundError, StaleWriteError."""
    name = display_name(model, organisation)
    row = _find(transaction, model, _owner_id(transaction, organisation))
    check_current(ObjectType.ROUTE, name, current=row.version if row else None, expected=expected)
    if row is None:
        return
    before = _decode(transaction, row)
    _remove_targets(transaction, row.id)
    transaction.session.delete(row)
    transaction.session.flush()
    transaction.record(Action.DELETE, ObjectType.ROUTE, name, views.route(before), None)


def display_name(model: str, organisation: str) -> str:
    """As in audit events and differences."""
    return f"{organisation}/{model}" if organisation else model


def _owner_id(transaction: Transaction, organisation: str) -> str | None:
    return transaction.organisation_id(organisation) if organisation else None


def _find(transaction: Transaction, model: str, organisation_id: str | None) -> RouteRow | None:
    return transaction.session.exec(
        select(RouteRow).where(RouteRow.model == model, col(RouteRow.organisation_id) == organisation_id)
    ).first()


def _write(transaction: Transaction, route: Route) -> None:
    columns = RouteRow(
        id=route.id,
        organisation_id=route.organisation_id or None,
        model=route.model,
        strategy=route.strategy.value,
        first_byte_ms=route.timeouts.first_byte_ms,
        idle_ms=route.timeouts.idle_ms,
        connect_ms=route.timeouts.connect_ms,
        cache_ttl_seconds=route.cache_ttl_seconds,
        privacy=route.privacy.value,
        created_at=route.created_at,
        version=route.version,
    )
    transaction.session.merge(columns)
    transaction.session.flush()
    _remove_targets(transaction, route.id)
    for position, target in enumerate(route.targets):
        transaction.session.add(_target_row(route.id, position, target))


def _remove_targets(transaction: Transaction, route_id: str) -> None:
    for row in transaction.session.exec(select(TargetRow).where(TargetRow.route_id == route_id)).all():
        transaction.session.delete(row)
    transaction.session.flush()


def _target_row(route_id: str, position: int, target: Target) -> TargetRow:
    return TargetRow(
        route_id=route_id,
        position=position,
        provider=None if isinstance(target, NodesTarget) else target.provider,
        model=target.model,
        weight=target.weight,
        tier=target.tier,
        price_input=target.price.input,
        price_output=target.price.output,
    )


def _decode(transaction: Transaction, row: RouteRow) -> Route:
    targets = transaction.session.exec(
        select(TargetRow).where(TargetRow.route_id == row.id).order_by(col(TargetRow.position))
    ).all()
    return Route(
        id=row.id,
        model=row.model,
        targets=tuple(
            codec.decode_target(t.provider, t.model, t.weight, t.tier, t.price_input, t.price_output)
            for t in targets
        ),
        organisation_id=row.organisation_id or "",
        strategy=Strategy(row.strategy),
        timeouts=Timeouts(row.first_byte_ms, row.idle_ms, row.connect_ms),
        cache_ttl_seconds=row.cache_ttl_seconds,
        privacy=Privacy(row.privacy),
        created_at=row.created_at,
        version=row.version,
    )
