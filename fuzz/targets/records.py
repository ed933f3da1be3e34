"""The record of a request: the control plane can store it for any line."""

from __future__ import annotations

import orjson
from msgspec.structs import replace
from trunkline_proto.ledger.v1 import ledger_pb2
from trunkline_proto.policy.v1 import policy_pb2

from tests.translator.ledger.writing import request_line, reservation
from translator.ledger import lines, records, rows
from translator.ledger.prices import PriceBook
from xds_server.ledger.checking import check_request, sort_out

UNDER_TEST = (
    "translator.ledger.lines",
    "translator.ledger.records",
    "translator.ledger.rows",
    "translator.ledger.usage",
    "translator.log_context",
)
_RESERVATION = reservation("whole")
_TARGET = orjson.loads(request_line("whole"))["target"]


def _dear() -> PriceBook:
    """Returns the highest possible prices."""
    prices = PriceBook()
    most = (1 << 63) - 1
    price = policy_pb2.Price(input=most, output=most, cached_input=most, request=most, version=1)
    target = policy_pb2.Target(id=_TARGET, prices=[price])
    prices.put(policy_pb2.Route(id=_RESERVATION.route, targets=[target]))
    return prices


_PRICES = _dear()


def check(data: bytes) -> bool:
    """Checks the record of the line, and that of a request with a valid reservation at the highest price."""
    found = lines.parse(data.replace(b"\n", b""))
    if found is None:
        return False
    for reserved, target in ((found.reservation, found.target), (_RESERVATION, _TARGET)):
        if reserved is None or not (reserved.id and reserved.organisation):
            continue  # nobody to bill
        line = replace(found, reservation=reserved, target=target)
        record = records.record(line, reserved, records.bill(line, reserved, _PRICES))
        request = ledger_pb2.AppendRequest(source="fuzz", records=[rows.as_message(record)])
        check_request(request)
        refused = sort_out(request).refused
        assert not refused, (refused[0].field, refused[0].reason)
    return True
