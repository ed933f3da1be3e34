"""A line of Envoy's access log: it is found after any other text."""

from __future__ import annotations

import orjson

from tests.translator.ledger.writing import request_line, reservation
from translator.ledger import lines

UNDER_TEST = ("translator.ledger.lines", "translator.log_context")
_RESERVATION = reservation("whole")
#: A line as Envoy writes it.
_WHOLE = orjson.dumps(orjson.loads(request_line("whole")))


def check(data: bytes) -> bool:
    """Checks the line alone, and torn in front of a whole one."""
    line = data.replace(b"\n", b"")
    found = lines.parse(line)
    glued = lines.parse(line + _WHOLE)
    assert glued is not None
    assert glued.reservation == _RESERVATION
    return found is not None and found.reservation is not None
