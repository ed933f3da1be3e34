from __future__ import annotations

import json
from itertools import product

import pytest
from hypothesis import example, given, strategies as st

from tests.translator.ledger.writing import request_line, reservation
from translator.ledger import lines
from translator.ledger.lines import RequestLine, decoded, parse
from xds_server.resources import access_log

VALUES = st.one_of(
    st.sampled_from([None, "-", "", "3", "7:900", "12:x", 0, 1, 999, 1_000, -1, (1 << 53) - 1, 1 << 53, 1 << 70]),
    st.sampled_from([True, 2.0, 2.5, 1e300, [], {}, ["a"]]),
    st.sampled_from(["x", "é", "a b", "\x00", '"', "\ud800"]),
)
FIELDS = ("v", *access_log.FIELDS)


def request(**fields: object) -> RequestLine:
    line = parse(request_line("r1", **fields).rstrip())
    assert type(line) is RequestLine
    return line


def test_a_line_in_numbers_and_the_same_in_text() -> None:
    plain = request(flags="DC,UT", events="7:900")
    line = request(flags="DC,UT", events="7:900", status="200", bytes_out="800", attempts="1", v="2")
    assert plain == line
    assert (line.reservation, line.flags, line.events, line.event_bytes) == (reservation("r1"), "DC,UT", 7, 900)
    assert (line.status, line.bytes_in, line.bytes_out, line.attempts) == (200, 300, 800, 1)
    assert (line.first_byte_us, line.duration_ms) == (1000, 2)


@pytest.mark.parametrize("absent", [None, "-", "", "x", -1, [], {}, 1 << 60])
def test_what_is_absent_or_nonsense_is_nothing(absent: object) -> None:
    line = request(note=absent, events=absent, status=absent, duration_ms=absent)
    assert (line.reservation, line.events, line.status, line.duration_ms) == (None, None, 0, 0)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"v":1,"note":"r"}',
        b'{"note":"r"}',
    ],
)
def test_what_is_no_line(line: bytes) -> None:
    assert parse(line) is None


@given(st.dictionaries(st.sampled_from([*FIELDS, "more"]), VALUES, max_size=5), st.booleans())
@example(changed={"upstream_id": "a\0"}, in_ascii=True)
def test_the_quick_way_reads_what_the_lenient_one_reads(changed: dict[str, object], in_ascii: bool) -> None:
    line = json.dumps(json.loads(request_line("r1")) | changed, ensure_ascii=in_ascii)
    raw = line.encode("utf-8", "surrogatepass")
    assert parse(raw) == lines._parse_any(raw)


def test_envoy_writes_what_is_read_quickly() -> None:
    assert set(lines._Usual.__struct_fields__) == set(FIELDS)
    assert access_log.FORMAT_VERSION == lines.FORMAT_VERSION


@given(st.binary(max_size=40))
def test_rubbish_is_no_line(rubbish: bytes) -> None:
    assert parse(rubbish) is None
    assert parse(b'{"v":2,"more":' + rubbish) is None


def test_nesting_without_end_is_no_line() -> None:
    assert parse(b'{"v":2,"more":' + b"[" * 100_000) is None


def test_a_torn_line_does_not_take_the_next_one_with_it() -> None:
    second = json.dumps(json.loads(request_line("second")), separators=(",", ":")).encode()
    # Envoy writes the fields in an order of its own.
    reordered = json.dumps(dict(reversed(json.loads(second).items()))).encode()
    for cut, whole in product((1, 5, 60, len(second) - 1), (second, reordered)):
        line = parse(second[:cut].replace(b"second", b"first") + whole)
        assert line is not None
        assert line.reservation is not None
        assert line.reservation.id == "second"


def test_percent_encoded() -> None:
    assert decoded("a%20%C3%A9%") == "a é%"
    assert decoded(None) == ""
