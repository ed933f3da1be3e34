from __future__ import annotations

import json
from itertools import product

import pytest

from tests.translator.ledger.writing import START, attempt_line, request_line
from translator.ledger.lines import AttemptLine, Hold, RequestLine, decoded, parse


def request(**fields: object) -> RequestLine:
    line = parse(request_line("r1", **fields).rstrip())
    assert type(line) is RequestLine
    return line


def test_a_line_in_numbers_and_the_same_in_text() -> None:
    plain = request(route="rt_gpt:stream", flags="DC,UT", events=7)
    line = request(
        route="rt_gpt:stream", flags="DC,UT", events="7", status="200", bytes_out="800", attempts="1", v="1"
    )
    for found in (plain, line):
        assert (found.route, found.stream, found.flags, found.events) == ("rt_gpt", True, "DC,UT", 7)
        assert (found.status, found.bytes_out, found.hold) == (200, 800, Hold(100, 500, 12))
        assert found.start_us == START * 1_000_000 + 250


@pytest.mark.parametrize("audience", ["@org_2", "@key_ci"])
def test_an_audiences_requests_are_its_routes(audience: str) -> None:
    for stream in (False, True):
        line = request(route=f"rt_gpt{audience}" + ":stream" * stream)
        assert (line.route, line.stream) == ("rt_gpt", stream)


@pytest.mark.parametrize("absent", [None, "-", "", "x", -1, [], {}, 1 << 60])
def test_what_is_absent_or_nonsense_is_nothing(absent: object) -> None:
    line = request(hold=absent, events=absent, status=absent, start=absent)
    assert (line.hold, line.events, line.status, line.start_us) == (None, None, 0, 0)


@pytest.mark.parametrize(
    ("start", "microseconds"),
    [("12.5", 12_500_000), ("12", 12_000_000), ("12.1234567", 12_123_456), (12, 12_000_000)],
)
def test_start(start: object, microseconds: int) -> None:
    assert request(start=start).start_us == microseconds


@pytest.mark.parametrize("hold", ["1:2", "1:2:3:4", "a:b:c", "-1:2:3", "1:2:"])
def test_a_hold_is_three_counts(hold: str) -> None:
    assert request(hold=hold).hold is None


def test_an_attempt() -> None:
    assert parse(attempt_line("r1", status="0", flags="UF").rstrip()) == AttemptLine("r1", "other/gpt", 0, "UF")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"v":2,"kind":"request","id":"r"}',
        b'{"v":1,"kind":"other"}',
        b'{"kind":"request"}',
    ],
)
def test_what_is_no_line(line: bytes) -> None:
    assert parse(line) is None


def test_a_torn_line_does_not_take_the_next_one_with_it() -> None:
    second = json.dumps(json.loads(request_line("second")), separators=(",", ":")).encode()
    # Envoy writes the fields in an order of its own.
    reordered = json.dumps(dict(reversed(json.loads(second).items()))).encode()
    for cut, whole in product((1, 5, 60, len(second) - 1), (second, reordered)):
        line = parse(second[:cut].replace(b"second", b"first") + whole)
        assert line is not None
        assert line.id == "second"


def test_percent_encoded() -> None:
    assert decoded("a%20%C3%A9%") == "a é%"
    assert decoded(None) == ""
