"""Whatever a line, a target or a node says, the control plane accepts the resulting record."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings, strategies as st
from trunkline_proto.ledger.v1 import ledger_pb2
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator.ledger.writing import request_line, reservation
from translator import bounds, money
from translator.ledger import records, rows
from translator.ledger.lines import parse
from translator.ledger.prices import PriceBook
from translator.limits import Reservation
from xds_server.ledger import checking
from xds_server.resources import access_log
from xds_server.usage.records import columns, messages

NUMBERS = st.integers(-5, 5) | st.integers(-(2**70), 2**70) | st.sampled_from([2**53 - 1, 10**13, 10**13 + 1])
TEXTS = st.text(max_size=6) | st.sampled_from(["\x00", "-", "😀" * 600, "x" * 200, "x" * 9_000, "%00", "\udc80"])
WORDS = NUMBERS.map(str) | TEXTS.map(lambda text: text.replace(" ", "") or "w")
USAGE = st.dictionaries(
    st.sampled_from(
        [
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "input_tokens",
            "cost",
            "service_tier",
            "billed_units",
        ]
    ),
    NUMBERS | TEXTS | st.dictionaries(st.sampled_from(["search_units"]), NUMBERS),
)


def book() -> PriceBook:
    """Returns a book with everything at the highest possible price."""
    most = 10**15
    price = policy.Price(input=most, output=most, request=most, version=2**32 - 1)
    made = PriceBook()
    made.put(policy.Route(id="rt_gpt", targets=[policy.Target(id="openai/gpt-4.1", prices=[price])]))
    return made


def request(record: rows.Row | ledger_pb2.UsageRecord) -> ledger_pb2.AppendRequest:
    """Returns the call with which a record is shipped."""
    if isinstance(record, tuple):
        return ledger_pb2.AppendRequest(packed=rows.packed([record]))
    return ledger_pb2.AppendRequest(records=[record])


def refused(line: bytes) -> list[str]:
    """Returns the control plane's objections to the record, if the line gives one."""
    found = parse(line)
    if found is None or found.reservation is None:
        return []
    made = records.record(found, found.reservation, records.bill(found, found.reservation, book()))
    sent = request(made)
    assert columns(messages(sent)) == columns([rows.as_message(made)])
    return [f"{each.field}: {each.reason}" for each in checking.sort_out(sent).refused]


@pytest.mark.slow
@given(
    fields=st.dictionaries(st.sampled_from(sorted(set(access_log.FIELDS) - {"v", "note"})), NUMBERS | TEXTS),
    usage=USAGE,
    target=st.sampled_from(["openai/gpt-4.1", "x" * 600, "a\x00/b"]),
    node=st.tuples(WORDS, NUMBERS, NUMBERS).map(lambda words: " ".join(map(str, words))),
    noted=st.none() | st.lists(WORDS, min_size=12, max_size=12),
)
@settings(max_examples=500, deadline=None)
@example(
    {}, {"prompt_tokens": 2**63, "completion_tokens": 2**63}, "openai/gpt-4.1", f"nd-1 {10**12} {10**12}", None
)
@example({"events": 10**13 + 4}, {"prompt_tokens": 0}, "openai/gpt-4.1", "0 0 0", None)
@example({"attempts": 2**40}, {}, "openai/gpt-4.1", "x" * 500, None)
def test_any_line_gives_a_record_that_is_taken(
    fields: dict[str, object], usage: dict[str, object], target: str, node: str, noted: list[str] | None
) -> None:
    given_fields = {"target": target, "node": node, "usage": json.dumps(usage), **fields}
    if noted is not None:
        given_fields["note"] = " ".join(noted)
    assert refused(request_line("r", **given_fields).rstrip()) == []


@given(fields=st.tuples(*[NUMBERS] * 3), at=st.floats(-1e30, 1e30))
def test_any_reservation_gives_a_record_that_is_taken(fields: tuple[int, int, int], at: float) -> None:
    """The reservation has no line, and comes from a journal that may be damaged."""
    tokens, cost, prompt = fields
    made = Reservation("i" * 300, at, "o", "k\x00", "r", "m" * 600, tokens, cost, prompt, False, "%00", "t" * 900)
    assert checking.sort_out(request(records.expired(made))).refused == []


def test_a_node_at_the_highest_price_with_an_absurd_claim_earns_what_is_believed_and_no_more() -> None:
    usage = json.dumps({"prompt_tokens": 2 * 10**9, "completion_tokens": 2 * 10**9})
    line = parse(request_line("r", node=f"nd-1 {10**12} {10**12}", usage=usage).rstrip())
    assert line is not None
    made = rows.as_message(records.record(line, reservation("r"), records.bill(line, reservation("r"), book())))
    assert made.capped
    assert made.earned_nano_usd <= money.MAX
    assert made.prompt_tokens + made.completion_tokens < 10_000
    assert (made.claimed_prompt_tokens, made.claimed_completion_tokens) == (2 * 10**9, 2 * 10**9)


def test_a_targets_text_that_is_not_utf_8_costs_no_line() -> None:
    line = request_line("r", usage='{"prompt_tokens":10,"x":"@"}').rstrip().replace(b"@", b"\xff\xfe")
    found = parse(line)
    assert found is not None
    assert (found.reservation, records.bill(found, reservation("r"), PriceBook()).tokens.prompt) == (
        reservation("r"),
        10,
    )


def test_the_bounds_are_the_control_planes_or_lower() -> None:
    largest = checking._NUMBERS
    assert max(bounds.COUNT, money.MAX) <= min(largest[name] for name in ("prompt_tokens", "cost_nano_usd"))
    assert (largest["attempts"], largest["status"]) == (bounds.ATTEMPTS, bounds.STATUS)


@given(usage=USAGE, units=st.sampled_from(["", "i2:1024x1024:", "t5000", "r3"]))
def test_a_plain_record_has_nothing_that_a_reader_skips(usage: dict[str, object], units: str) -> None:
    reserved = reservation("r", units=units)
    line = parse(request_line("r", reserved, usage=json.dumps(usage)).rstrip())
    assert line is not None
    made = rows.as_message(records.record(line, reserved, records.bill(line, reserved, book())))
    if made.plain:
        assert not [field.name for field, _ in made.ListFields() if 35 <= field.number < 48]
