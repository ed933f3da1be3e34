from __future__ import annotations

import json
from typing import Any, TypedDict

import pytest
from hypothesis import given, strategies as st

from tests.translator.ledger.writing import request_line, reservation
from translator.ledger.lines import RequestLine, parse
from translator.ledger.usage import NOTHING, Tokens, used


def tokens_of(stream: bool = False, reserved: int = 100, **fields: object) -> Tokens:
    if isinstance(fields.get("usage"), dict):
        fields["usage"] = json.dumps(fields["usage"])
    line = parse(request_line("r", **fields).rstrip())
    assert type(line) is RequestLine
    return used(line, reservation("r", stream=stream, tokens=reserved))


def test_a_report_counts_whatever_became_of_the_request() -> None:
    assert tokens_of(status=500).total == 15
    assert tokens_of(status=0, flags="DC").total == 15


@pytest.mark.parametrize(
    "fields", [{"status": 503}, {"status": 400}, {"target": None}, {"target": "-", "status": 0}]
)
def test_what_failed_costs_nothing(fields: dict[str, Any]) -> None:
    assert tokens_of(usage=None, **fields) is NOTHING


def test_a_stream_of_nothing_but_an_error_costs_nothing() -> None:
    """Keep-alive comments had passed before it, so its status is 200."""
    assert tokens_of(usage={"usage": None, "failed": True}, stream=True, events=1) is NOTHING
    partly = tokens_of(usage={"usage": None, "failed": True, "text": 9, "deltas": 2}, stream=True, events=3)
    assert (partly.prompt, partly.completion) == (12, 2)


@pytest.mark.parametrize(
    ("fields", "completion"),
    [
        ({"events": 13}, 10),  # to its end: without the role, the finish reason and [DONE]
        ({"events": 13, "flags": "DC"}, 12),
        ({"events": 13, "flags": "UC"}, 12),
        ({"events": 1, "flags": "DC"}, 0),
        ({"events": 0, "flags": "DC", "status": 0}, 0),
        ({"events": "13:1300", "bytes_out": 2000}, 10),  # all were counted; the rest are frames and the like
        ({"events": "13:1300", "bytes_out": 1300, "flags": "DC"}, 12),
        ({"events": "13:1300", "bytes_out": 1650, "flags": "DC"}, 15),  # three more, and a piece of one
        ({"events": "13:1300", "bytes_out": 900, "flags": "DC"}, 12),
        ({"events": "0:0", "bytes_out": 50, "flags": "DC"}, 0),
        ({"stream": True, "bytes_out": 2000}, 10),
        ({"bytes_out": 800}, 100),
        ({"bytes_out": 100}, 0),
        ({"bytes_out": 90_000, "reserved": 12}, 0),  # embeddings
        # Estimated by the generated text if that has more tokens than events, or an unusual envelope.
        ({"events": 12, "usage": {"usage": None, "text": 22, "deltas": 4}}, 4),  # others carry none
        ({"events": 4, "usage": {"usage": None, "text": 4000, "deltas": 1}}, 1000),
        ({"events": 13, "usage": {"usage": None, "text": 80, "deltas": 10}}, 10),
        ({"events": 13, "usage": {"usage": None, "text": 81, "deltas": 10}}, 20),
        ({"events": "4:5000", "flags": "DC", "usage": {"usage": None, "text": 4000, "deltas": 2}}, 1000),
        (
            {"events": "13:1300", "bytes_out": 1650, "flags": "DC"}
            | {"usage": {"usage": None, "text": 50, "deltas": 12}},
            15,
        ),
        ({"bytes_out": 90_000, "usage": {"usage": None, "text": 400}}, 100),
        ({"bytes_out": 300, "usage": {"usage": None, "text": 3}}, 1),
        ({"bytes_out": 90_000, "reserved": 12, "usage": {"usage": None, "text": 400}}, 0),
    ],
)
def test_what_was_delivered_is_estimated(fields: dict[str, Any], completion: int) -> None:
    assert tokens_of(**({"usage": None} | fields)) == Tokens(12, 0, completion, 0, estimated=True)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        # Missing counts are estimated: the prompt as reserved, the completion as delivered.
        ({"completion_tokens": 4}, Tokens(12, 0, 4, 0, estimated=True)),
        ({"prompt_tokens": 9}, Tokens(9, 0, 10, 0, estimated=True)),
        ({"prompt_tokens": None, "completion_tokens": 4}, Tokens(12, 0, 4, 0, estimated=True)),
        ({"total_tokens": 24}, Tokens(14, 0, 10, 0, estimated=True)),
        ({"total_tokens": 4}, Tokens(0, 0, 4, 0, estimated=True)),
        ({"total_tokens": 24, "prompt_tokens": 9}, Tokens(9, 0, 15, 0)),
        ({"total_tokens": 24, "completion_tokens": 9}, Tokens(15, 0, 9, 0)),
    ],
)
def test_what_is_reported_in_part_is_estimated_for_the_rest(usage: dict[str, object], tokens: Tokens) -> None:
    assert tokens_of(usage=usage, events=13) == tokens
    assert tokens_of(usage={"usage": usage, "text": 8}, events=13) == tokens


def test_the_service_tier_comes_from_the_answer() -> None:
    facts = {"usage": {"prompt_tokens": 9, "completion_tokens": 4}, "tier": "flex", "seconds": "8.4701"}
    assert tokens_of(usage=facts) == Tokens(9, 0, 4, 0, tier="flex")


@pytest.mark.parametrize(
    ("facts", "tier"),
    [
        ({"usage": {"input_tokens": 9, "output_tokens": 4, "service_tier": "priority"}}, "priority"),
        ({"usage": {"input_tokens": 9, "output_tokens": 4, "service_tier": "batch"}, "text": 9}, "batch"),
        ({"usage": {"output_tokens": 4}, "start": {"input_tokens": 9, "service_tier": "priority"}}, "priority"),
        ({"usage": {"input_tokens": 9, "output_tokens": 4, "service_tier": "standard"}}, ""),
        ({"usage": {"input_tokens": 9, "output_tokens": 4, "service_tier": "batch"}, "tier": "flex"}, "flex"),
        ({"usage": {"input_tokens": 9, "output_tokens": 4, "service_tier": ["x"]}}, ""),
    ],
)
def test_anthropic_states_the_service_tier_in_its_report(facts: dict[str, Any], tier: str) -> None:
    assert tokens_of(usage=facts) == Tokens(9, 0, 4, 0, tier=tier)


class _Bytes(TypedDict):
    bytes_in: int
    bytes_out: int


_COUNTS = st.integers(0, 40)
_SOME = st.none() | _COUNTS
_INPUTS = st.fixed_dictionaries({"cached_tokens": _SOME, "audio_tokens": _SOME, "cache_write_tokens": _SOME})
_OUTPUTS = st.fixed_dictionaries({"reasoning_tokens": _SOME, "audio_tokens": _SOME})
_NAMES = (
    ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"),
    ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"),
)


@given(
    names=st.sampled_from(_NAMES),
    values=st.tuples(_COUNTS, _SOME, st.none() | _INPUTS, st.none() | _OUTPUTS),
    unlisted=st.integers(-3, 3),
    beside=st.fixed_dictionaries({}, optional={"tier": st.just("flex"), "text": _COUNTS, "deltas": _COUNTS}),
    line=st.fixed_dictionaries({"bytes_in": _COUNTS, "bytes_out": _COUNTS}),
)
def test_a_report_in_the_usual_form_is_billed_as_any_other(
    names: tuple[str, ...],
    values: tuple[Any, ...],
    unlisted: int,
    beside: dict[str, Any],
    line: _Bytes,
) -> None:
    counts = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    usage = {**counts, "total_tokens": max(0, values[0] + (values[1] or 0) + unlisted)}
    # An unknown member has the facts read in the other way.
    unusual = {"usage": {**usage, "unknown": "x"}, **beside}
    assert tokens_of(usage={"usage": usage, **beside}, **line) == tokens_of(usage=unusual, **line)
