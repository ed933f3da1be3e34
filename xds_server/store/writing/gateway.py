"""Replacing what concerns the clients' listener as a whole."""

from __future__ import annotations

from dataclasses import replace

from xds_server.model import Gateway
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
    if not before.version and gateway == before:
        return before  # it says what holds anyway: nobody has to manage that
    gateway = settled(transaction, ObjectType.GATEWAY, _NAME, before if before.version else None, gateway)
    if replace(gateway, version=before.version) == before:
        return before
    stored = replace(gateway, version=transaction.revision)
    transaction.session.merge(GatewayRow(id=_ID, **codec.GATEWAY.encode(stored)))
    transaction.record(Action.UPDATE, ObjectType.GATEWAY, _NAME, views.gateway(before), views.gateway(stored))
    return stored
