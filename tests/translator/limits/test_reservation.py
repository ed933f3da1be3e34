from __future__ import annotations

import json
from typing import Any

import pytest

from tests.translator.limits.building import NOW, TOKENS, limit, reservation
from translator.limits import Reservation

MADE = reservation("a", [limit(TOKENS, "60", 10)], tokens=3, at=NOW + 0.25)


def test_a_reservation_comes_back_from_its_fields() -> None:
    assert Reservation.of(json.loads(json.dumps(MADE.fields))) == MADE
    assert Reservation.of(MADE.fields) == MADE


@pytest.mark.parametrize(
    "fields",
    [
        [],
        "a",
        None,
        MADE.fields[:11],
        [*MADE.fields, "more"],
        [*MADE.fields[:12], "a limit"],
        ["a", "now", *MADE.fields[2:]],
    ],
)
def test_other_fields_are_none(fields: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        Reservation.of(fields)
