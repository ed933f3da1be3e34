from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from tests.translator.ledger.writing import noted
from translator import log_context
from translator.ledger.records import expired
from translator.limits import Reservation
from translator.metering import label

COUNTS = st.integers(0, 10**12)
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
TEXTS = st.text(max_size=40)


@given(
    id_=WORDS,
    at=st.integers(0, 4 * 10**15),
    model=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1),
    user=TEXTS,
    tag=TEXTS,
    counts=st.tuples(*[COUNTS] * 3),
    stated=COUNTS,
    outside=st.booleans(),
    units=st.sampled_from(["", "i2:1024x1024:high", "s12:mp3", "t1500", "r3"]),
)
def test_what_is_written_is_read(
    id_: str,
    at: int,
    model: str,
    user: str,
    tag: str,
    counts: tuple[int, int, int],
    stated: int,
    units: str,
    *,
    outside: bool,
) -> None:
    reservation = Reservation(
        id_, at / 1e6, "org_1", "key_1", "rt_1", model, *counts, stream=bool(at % 2),
        user=label(user) if user else "", tag=label(tag) if tag else "", stated=stated, outside=outside,
        units=units,
    )  # fmt: skip
    written = noted(reservation, quote(model, safe="/:@+,=~"))
    assert written.isascii()
    assert written.isprintable()
    read = log_context.read(written)
    assert read is not None
    assert abs(read.at - reservation.at) < 1e-5
    assert replace(read, at=0) == replace(reservation, at=0)


@given(at=st.floats(min_value=0, max_value=4e9))
def test_the_start_is_that_of_the_reservation_to_the_microsecond(at: float) -> None:
    """The start identifies the request, in the line's record and in that of the expired reservation."""
    reservation = Reservation("id", at, "org_1", "key_1", "rt_1", "m", 1, 2, 3, stream=False, user="", tag="")
    read = log_context.read(noted(reservation, "m"))
    assert read is not None
    assert expired(read).started_at_us == expired(reservation).started_at_us


def test_the_cost_of_an_earlier_version_is_read_in_its_unit() -> None:
    read = log_context.read("r-1 1800000000000000 org_acme key_ci rt_gpt gpt-4.1 100 7 12 p - -")
    assert read is not None
    assert read.cost == 7_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "a b c",
        "r 1 o k t m 1 2 x p - -",
        "r 1 o k t m 1 2 3 p - - more",
        f"r {9 * 10**400} o k t m 1 2 3 p - -",
    ],
)
def test_what_is_no_note(text: str) -> None:
    assert log_context.read(text) is None
