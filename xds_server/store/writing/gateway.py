"""Replacing what concerns the clients' listener as a whole."""

from __future__ import annotations

from dataclasses import replace

from xds_server.errors import InvalidFieldError
from xds_server.model import Alerting, Gateway
from xds_server.store import codec, reading, views
from xds_server.store.records import Action, ObjectType
from xds_server.store.tables import GatewayRow
from xds_server.store.writing.management import settled
from xds_server.store.writing.transaction import Transaction
from xds_server.store.writing.versions import check_put

#: There is one.
_ID, _NAME = 1, "gateway"


def put(transaction: Transaction, gateway: Gateway, *, expected: int | None) -> Gateway:
    """Returns it as stored. `expected` as in versions.check_put; raises what that raises, and ManagedError: see
    management.settled.
    """
    before = reading.gateway(transaction.snapshot())
    check_put(ObjectType.GATEWAY, _NAME, current=before.version or None, expected=expected)
    secret, renewed = _secret(transaction, before.alerts, gateway.alerts)
    gateway = replace(gateway, alerts=replace(gateway.alerts, secret=secret))
    if not before.version and gateway == before:
        return before  # it says what holds anyway: nobody has to manage that
    gateway = settled(transaction, ObjectType.GATEWAY, _NAME, before if before.version else None, gateway)
    if replace(gateway, version=before.version) == before:
        return before
    stored = replace(gateway, version=transaction.revision)
    transaction.session.merge(GatewayRow(id=_ID, **codec.GATEWAY.encode(stored)))
    transaction.record(
        Action.UPDATE,
        ObjectType.GATEWAY,
        _NAME,
        views.gateway(before),
        views.gateway(stored),
        secrets_changed=["alerts"] if renewed else [],
    )
    return stored


def _secret(transaction: Transaction, before: Alerting, wanted: Alerting) -> tuple[bytes, bool]:
    """The sealed secret to be stored, and whether it takes the place of another one. None is kept without webhook.

    Raises InvalidFieldError: there is none.
    """
    if not wanted.webhook:
        return b"", False
    if not wanted.secret:
        if not before.secret:
            raise InvalidFieldError(["gateway.alerts.secret: missing; accepted: 16 to 256 characters"])
        return before.secret, False
    if before.secret and codec.open_webhook(transaction.cipher, before.secret) == wanted.secret:
        return before.secret, False
    return codec.seal_webhook(transaction.cipher, wanted.secret), bool(before.secret)
