from __future__ import annotations

import json
from typing import Any

import pytest

from tests.translator.limits.building import NOW, TOKENS, limit, reservation
from translator.limits import Reservation

CREATED_BODY = reservation("a", [limit(TOKENS, "60", 10)], tokens=3, at=NOW + 0.25)


def test_a_reservation_comes_back_from_its_fields() -> None:
    assert Reservation.of(json.loads(json.dumps(CREATED_BODY.fields))) == CREATED_BODY
    assert Reservation.of(CREATED_BODY.fields) == CREATED_BODY


@pytest.mark.parametrize(
    "fields",
    [
        [],
        "a",
        None,
        CREATED_BODY.fields[:11],
        [*CREATED_BODY.fields, "more"],
        [*CREATED_BODY.fields[:12], "a limit"],
        ["a", "now", *CREATED_BODY.fields[2:]],
    ],
)
def test_other_fields_are_none(fields: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        Reservation.of(fields)
