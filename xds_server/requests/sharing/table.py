"""The gateways' last reports, in the database, where replicas meet and which survives their restart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from trunkline_proto.requests.v1 import requests_pb2 as pb

from xds_server.ledger.connection import LedgerTransaction
from xds_server.store.connection import DatabaseSnapshot

_COLUMNS = {"gateway": "text", "at": "bigint", "data": "bytea"}
_REPLACE = "ON CONFLICT (gateway) DO UPDATE SET at = excluded.at, data = excluded.data"


class GatewayReport(NamedTuple):
    """A gateway's report, and its time in Unix milliseconds. The shares in it are the most that the gateway may
    use: a larger share is stored before the gateway gets it, a smaller one once the gateway has confirmed it.
    """

    at: int
    standing: pb.Standing


GatewayReports = Mapping[str, GatewayReport]


def read(snapshot: DatabaseSnapshot) -> dict[str, GatewayReport]:
    """Returns the rows by the gateways' ids."""
    rows = snapshot.rows("SELECT gateway, at, data FROM gateway_standing")
    return {
        str(gateway): GatewayReport(int(at), pb.Standing.FromString(bytes(data))) for gateway, at, data in rows
    }


def change(
    writing: LedgerTransaction, decide: Callable[[GatewayReports], tuple[GatewayReports, Collection[str]]]
) -> dict[str, GatewayReport]:
    """Stores the rows that `decide` returns for all current rows, and removes those that it names. No other
    replica changes any row meanwhile. Returns all rows.
    """
    rows = read(writing)
    changed, removed = decide(rows)
    for gateway in removed:
        writing.run("DELETE FROM gateway_standing WHERE gateway = ?", gateway)
    stored = [
        (gateway, row.at, row.standing.SerializeToString(deterministic=True)) for gateway, row in changed.items()
    ]
    writing.insert("gateway_standing", _COLUMNS, stored, _REPLACE)
    return {name: row for name, row in {**rows, **changed}.items() if name not in removed}
