"""Creates, replaces and removes routes. A route is identified by its model and its organisation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TypeAlias

from sqlmodel import col, delete as delete_rows, select

from xds_server.errors import InvalidFieldError, PastPriceError
from xds_server.model import Route, Target
from xds_server.prices import TargetPrice
from xds_server.store import codec, reading, views
from xds_server.store.api_keys import new_id
from xds_server.store.records import Action, ObjectType
from xds_server.store.tables import PriceRow, RouteRow, TargetRow
from xds_server.store.writing import prices
from xds_server.store.writing.management import removing, settled
from xds_server.store.writing.transaction import Transaction
from xds_server.store.writing.versions import check_current, check_put

#: The prices of a route's targets by target id, oldest first.
_Histories: TypeAlias = Mapping[str, tuple[TargetPrice, ...]]


def put(
    transaction: Transaction, route: Route, *, organisation: str, expected: int | None, path: str = "route"
) -> Route:
    """Stores a route and returns it.

    Its id, organisation id and times are the store's own. So is the price history of its targets: the newest given
    price continues the stored history, see prices.continued. `organisation` is a name, empty for a route that
    everybody sees. `expected` is as in versions.check_put. Raises what that raises, NotFoundError for an unknown
    organisation, and InvalidFieldError, beginning with `path`, for a price that would change the past.
    """
    organisation_id = _owner_id(transaction, organisation)
    name = display_name(route.model, organisation)
    row = _find(transaction, route.model, organisation_id)
    check_put(ObjectType.ROUTE, name, current=row.version if row else None, expected=expected)
    stored_prices = _histories(transaction, row.id) if row else {}
    before = _stored(transaction, row.id) if row else None
    route = replace(
        route,
        id=before.id if before else f"rt_{new_id()}",
        created_at=before.created_at if before else transaction.now,
        organisation_id=organisation_id or "",
    )
    known = {target.id for target in before.targets} if before else set()
    try:
        targets = _priced(route.targets, stored_prices, known, transaction.now, path)
    except InvalidFieldError:
        # Another manager has changed the price since: that is the conflict, and not the date.
        if before is None or transaction.management.claim(before.managed_by, same=False) is not None:
            raise
        targets = route.targets
    route = settled(transaction, ObjectType.ROUTE, name, before, replace(route, targets=targets))
    if before is not None and replace(route, version=before.version) == before:
        return before
    stored = replace(route, version=transaction.revision)
    _write(transaction, stored)
    _write_prices(transaction, stored, stored_prices)
    transaction.record(
        Action.CREATE if before is None else Action.UPDATE,
        ObjectType.ROUTE,
        name,
        views.route(before) if before else None,
        views.route(stored),
        organisation_id=stored.organisation_id,
    )
    return stored


def delete(transaction: Transaction, model: str, *, organisation: str, expected: int = 0) -> None:
    """Removes a route. Raises NotFoundError, StaleWriteError, ManagedError."""
    name = display_name(model, organisation)
    row = _find(transaction, model, _owner_id(transaction, organisation))
    check_current(ObjectType.ROUTE, name, current=row.version if row else None, expected=expected)
    if row is None:
        return
    removing(transaction, ObjectType.ROUTE, name, row.managed_by)
    before = _stored(transaction, row.id)
    _remove_targets(transaction, row.id)
    transaction.session.exec(delete_rows(PriceRow).where(col(PriceRow.route_id) == row.id))
    transaction.session.delete(row)
    transaction.session.flush()
    transaction.record(
        Action.DELETE, ObjectType.ROUTE, name, views.route(before), None, organisation_id=before.organisation_id
    )


def display_name(model: str, organisation: str) -> str:
    """Returns the name in audit events and differences."""
    return f"{organisation}/{model}" if organisation else model


def _owner_id(transaction: Transaction, organisation: str) -> str | None:
    return transaction.organisation_id(organisation) if organisation else None


def _find(transaction: Transaction, model: str, organisation_id: str | None) -> RouteRow | None:
    return transaction.session.exec(
        select(RouteRow).where(RouteRow.model == model, col(RouteRow.organisation_id) == organisation_id)
    ).first()


def _write(transaction: Transaction, route: Route) -> None:
    transaction.session.merge(RouteRow(**codec.ROUTE.encode(route)))
    transaction.session.flush()
    _remove_targets(transaction, route.id)
    for position, target in enumerate(route.targets):
        columns = codec.encode_target(target)
        transaction.session.add(TargetRow(route_id=route.id, position=position, **columns))


def _remove_targets(transaction: Transaction, route_id: str) -> None:
    for row in transaction.session.exec(select(TargetRow).where(TargetRow.route_id == route_id)).all():
        transaction.session.delete(row)
    transaction.session.flush()


def _priced(
    targets: tuple[Target, ...],
    stored: _Histories,
    known: Collection[str],
    now: int,
    path: str,
) -> tuple[Target, ...]:
    """Returns the targets with their whole histories; `known` are the ids of those that the route has already."""
    priced = []
    for index, target in enumerate(targets):
        wanted = target.prices[-1] if target.prices else TargetPrice()
        try:
            history = prices.continued(stored.get(target.id, ()), wanted, now=now, is_new=target.id not in known)
        except PastPriceError as error:
            raise InvalidFieldError([f"{path}.targets[{index}].price.valid_from: {error}"]) from error
        priced.append(replace(target, prices=history))
    return tuple(priced)


def _write_prices(transaction: Transaction, route: Route, stored: _Histories) -> None:
    for target in route.targets:
        before = set(stored.get(target.id, ()))
        for replaced in before.difference(target.prices):
            key = (route.id, target.id, replaced.version)
            transaction.session.delete(transaction.session.get_one(PriceRow, key))
        transaction.session.add_all(
            PriceRow(route_id=route.id, target_id=target.id, **codec.PRICE.encode(price))
            for price in target.prices
            if price not in before
        )
    transaction.session.flush()


def _histories(transaction: Transaction, route_id: str) -> _Histories:
    return reading.price_histories(transaction.snapshot(), route_id).get(route_id, {})


def _stored(transaction: Transaction, route_id: str) -> Route:
    return reading.route(transaction.snapshot(), route_id)
