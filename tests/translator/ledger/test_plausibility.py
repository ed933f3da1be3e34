"""A target's claim counts only as far as the request could have used that much."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.translator.ledger.writing import request_line, reservation
from translator.ledger import plausibility, records, rows
from translator.ledger.answer_facts import Facts
from translator.ledger.lines import parse
from translator.ledger.prices import PriceBook
from translator.ledger.reported import Reported
from translator.ledger.usage import Tokens, used

CLAIM = 2_000_000_000


def billed(
    prompt: int, completion: int, *, text: int = 0, reserved: dict[str, Any] | None = None, **line: Any
) -> Tokens:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, **line.pop("more", {})}
    facts = {"usage": usage, "text": text} if text else {"usage": usage}
    made = reservation("r", **({"prompt": 20} | (reserved or {})))
    parsed = parse(request_line("r", made, usage=json.dumps(facts), **({"bytes_in": 80} | line)).rstrip())
    assert parsed is not None
    assert parsed.reservation is not None
    return used(parsed, parsed.reservation)


def test_a_claim_beyond_reason_is_capped_and_kept() -> None:
    tokens = billed(CLAIM, CLAIM, bytes_out=82, text=2)
    assert (tokens.claimed_prompt, tokens.claimed_completion) == (CLAIM, CLAIM)
    assert tokens.capped
    assert tokens.prompt <= 5_000
    assert tokens.completion <= 5_000
    assert not tokens.estimated


_COUNTS = st.one_of(st.integers(0, 300), st.integers(0, 1 << 40))


@given(_COUNTS, _COUNTS, _COUNTS, _COUNTS, _COUNTS, _COUNTS)
def test_what_is_billed_without_a_look_is_believed(
    stated: int, text: int, bytes_out: int, bytes_in: int, duration_ms: int, apart: int
) -> None:
    made = reservation("r", stated=stated)
    line = parse(request_line("r", bytes_in=bytes_in, bytes_out=bytes_out, duration_ms=duration_ms).rstrip())
    assert line is not None
    most = plausibility.max_completion(line, made, Facts(text=text), Reported(1, 1, apart=apart))
    assert most >= (stated or text or line.bytes_out)
    assert plausibility.max_prompt(line, made) >= line.bytes_in


def test_a_claim_within_reason_is_billed_as_it_is() -> None:
    tokens = billed(80, 30, text=100)
    assert (tokens.prompt, tokens.completion, tokens.capped) == (80, 30, False)
    assert (tokens.claimed_prompt, tokens.claimed_completion) == (0, 0)


@pytest.mark.parametrize(
    ("prompt", "line", "reserved"),
    [
        (80, {}, {}),  # a token for each byte
        (4_000, {}, {}),  # a system prompt and the descriptions of tools that the target adds
        (45_000, {"bytes_in": 300}, {"prompt": 20 + 765}),  # a large image at an address
        (400_000, {"bytes_in": 900}, {"prompt": 20 + 10 * 765}),
        (1_000_000, {}, {"outside": True}),  # an earlier response, a file, a search
        (700_000, {"bytes_in": 700_000}, {"prompt": 175_000}),
    ],
)
def test_what_an_honest_target_may_count_as_prompt(
    prompt: int, line: dict[str, Any], reserved: dict[str, Any]
) -> None:
    tokens = billed(prompt, 5, reserved=reserved, **line)
    assert (tokens.prompt, tokens.capped) == (prompt, False)
    assert billed(CLAIM, 5, reserved=reserved, **line).claimed_prompt == CLAIM


@pytest.mark.parametrize(
    ("completion", "text", "line", "reserved"),
    [
        (30, 30, {}, {}),  # a token for each byte
        (4_000, 30, {}, {}),  # short reasoning that is not shown
        (100_000, 30, {"duration_ms": 20_000}, {}),  # long reasoning
        (512, 30, {}, {"stated": 512}),  # in a stated maximum
        (250, 1_000, {}, {"stated": 100}),  # a target that ignores it, and sends the text
        (800, 0, {"bytes_out": 900}, {}),  # an answer in which no text is known
    ],
)
def test_what_an_honest_target_may_count_as_completion(
    completion: int, text: int, line: dict[str, Any], reserved: dict[str, Any]
) -> None:
    tokens = billed(5, completion, text=text, reserved=reserved, **line)
    assert (tokens.completion, tokens.capped) == (completion, False)
    assert billed(5, CLAIM, text=text, reserved=reserved, **line).claimed_completion == CLAIM


def test_reasoning_that_a_target_counts_beside_the_stated_maximum_is_believed() -> None:
    """Some targets count reasoning only in the total."""
    tokens = billed(5, 100, text=400, reserved={"stated": 100}, more={"total_tokens": 2_105})
    assert (tokens.completion, tokens.reasoning, tokens.capped) == (2_100, 2_000, False)


def test_a_stated_maximum_bounds_a_claim_exactly() -> None:
    tokens = billed(5, CLAIM, text=400, reserved={"stated": 100})
    assert (tokens.completion, tokens.claimed_completion) == (100, CLAIM)


def test_parts_of_what_is_capped_are_no_more_than_the_whole() -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": CLAIM, "audio_tokens": CLAIM},
        "completion_tokens_details": {"reasoning_tokens": CLAIM, "audio_tokens": CLAIM},
        "cache_creation_input_tokens": CLAIM,
    }
    tokens = billed(CLAIM, CLAIM, more=details)
    assert tokens.cached + tokens.cache_write + tokens.cache_write_1h <= tokens.prompt
    assert max(tokens.reasoning, tokens.audio_output) <= tokens.completion
    assert tokens.audio_input <= tokens.prompt


def test_a_total_alone_is_capped_as_well() -> None:
    made = reservation("r", prompt=20)
    usage = json.dumps({"usage": {"total_tokens": CLAIM}, "text": 400})
    parsed = parse(request_line("r", made, usage=usage, bytes_in=80).rstrip())
    assert parsed is not None
    tokens = used(parsed, made)
    assert (tokens.completion, tokens.claimed_prompt) == (100, CLAIM - 100)
    assert tokens.prompt <= 5_000


def test_a_node_earns_by_what_is_believed() -> None:
    made = reservation("r", prompt=20, stated=100)
    usage = json.dumps({"usage": {"prompt_tokens": CLAIM, "completion_tokens": CLAIM}, "text": 400})
    node = "node-1 1000000 2000000"
    line = parse(request_line("r", made, usage=usage, bytes_in=80, node=node, target="nodes/m").rstrip())
    assert line is not None
    record = rows.as_message(records.record(line, made, records.bill(line, made, PriceBook())))
    assert record.earned_nano_usd == record.prompt_tokens * 1_000 + 100 * 2_000
    assert record.prompt_tokens <= 5_000
    assert (record.capped, record.claimed_prompt_tokens, record.claimed_completion_tokens) == (True, CLAIM, CLAIM)


@pytest.mark.parametrize("units", ["", "r3"])
@pytest.mark.parametrize("completion", [5, CLAIM])
def test_what_generates_nothing_has_no_completion(units: str, completion: int) -> None:
    tokens = billed(10, completion, bytes_out=20_000, reserved={"tokens": 20, "units": units})
    assert (tokens.prompt, tokens.completion, tokens.claimed_completion) == (10, 0, completion)
    assert tokens.capped
