"""The usage computed from the facts of an answer; tests/envoy/test_usage_shapes.py has the reports of known
providers.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from translator.ledger import answer_facts, reported
from translator.ledger.answer_facts import NO_FACTS, Facts, read
from translator.ledger.reported import MAX_TOKENS, Reported


def of(usage: object) -> Reported | None:
    return read(json.dumps({"usage": usage})).reported


@pytest.mark.parametrize(
    "usage",
    [
        *({}, [], None, 3, {"prompt_tokens": -1}, {"prompt_tokens": "x"}, {"prompt_tokens": 1.5}),
        *({"prompt_tokens": True}, {"type": "duration"}, {"seconds": -1}, {"seconds": "nan"}),
    ],
)
def test_what_is_no_report(usage: object) -> None:
    assert of(usage) is None


@pytest.mark.parametrize("text", ["", "x", "[]", "3", "{", "null", '{"usage":{"a":}}'])
def test_what_is_no_object_has_no_facts(text: str) -> None:
    assert read(text) == NO_FACTS


def test_the_bare_usage_of_an_older_module() -> None:
    assert read('{"prompt_tokens":9,"completion_tokens":4}') == Facts(Reported(9, 4))
    assert read('{"type":"duration","seconds":3}') == Facts(Reported(audio_ms=3000))


@pytest.mark.parametrize(
    "unit",
    [
        '{"prompt_tokens_details":',
        '{"billed_units":',
        '{"tokens":',
        '{"promptTokensDetails":',
        "[",
        '{"cache_creation":',
    ],
)
@pytest.mark.parametrize(
    "before", ["", '{"x":NaN,"y":', '{"inputTokens":9,"outputTokens":4,"inputTokensDetails":']
)
def test_a_report_nested_as_deep_as_the_module_allows_is_read(before: str, unit: str) -> None:
    """No report may cause the loss of its log line: the request would then never be billed."""
    levels = (16_000 - len(before)) // len(unit)
    text = f"{before}{unit * levels}1{('}' if unit[0] == '{' else ']') * levels}"
    found = read(f'{{"usage":{text}{"}" if before else ""},"tier":"flex"}}')
    assert found.reported is None or found.reported.total is None


@pytest.mark.parametrize("claim", [MAX_TOKENS + 1, 1 << 62, 1 << 80, 1e30])
def test_a_claim_beyond_every_count_is_the_largest_count(claim: float) -> None:
    found = of({"prompt_tokens": claim, "completion_tokens": 4})
    assert found == Reported(MAX_TOKENS, 4)


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(9, 9000), (8.4701, 8471), ("8.470000095367432", 8471), (0, 0), ("12", 12_000)]
)
def test_a_length_of_time_is_rounded_up_to_a_millisecond(seconds: object, milliseconds: int) -> None:
    assert read(json.dumps({"usage": None, "seconds": seconds})).audio_ms == milliseconds


def test_facts_beside_the_usage() -> None:
    facts = {"usage": None, "tier": "flex", "size": "1024x1024", "quality": "high", "items": 2, "text": 9}
    assert read(json.dumps(facts)) == Facts(tier="flex", size="1024x1024", quality="high", items=2, text=9)


_NAMES = [
    *reported._INPUTS,
    *reported._OUTPUTS,
    *reported._TOTALS,
    *reported._INPUT_DETAILS,
    *reported._OUTPUT_DETAILS,
    *reported._CACHED,
    *("cached_tokens", "reasoning_tokens", "audio_tokens", "cache_creation", "ephemeral_1h_input_tokens"),
    *(
        "usage",
        "start",
        "choices",
        "billed_units",
        "search_units",
        "timings",
        "prompt_n",
        "predicted_n",
        "cache_n",
    ),
    *("tier", "seconds", "items", "text", "promptTokensDetails", "modality", "tokenCount"),
]
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "3", "AUDIO", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=6), st.booleans())
def test_whatever_a_target_says_counts_are_counts(facts: dict[str, object], wrapped: bool) -> None:
    found = read(json.dumps({"usage": facts} if wrapped else facts))
    if found.reported is not None:
        counts = [getattr(found.reported, name) for name in Reported.__struct_fields__]
        assert all(count is None or (type(count) is int and count >= 0) for count in counts)
    assert found.items >= 0
    assert found.text >= 0


_COUNTS: st.SearchStrategy[object] = st.integers(0, 20) | st.sampled_from(
    [None, -1, 1.5, MAX_TOKENS, MAX_TOKENS + 1, "3", True, {}]
)
_DETAILS = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "audio_tokens", "reasoning_tokens", "cache_write_tokens", "more"]), _COUNTS
)


@given(
    usage=st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(
                ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens"), _COUNTS
            ),
            **dict.fromkeys(
                (f"{side}_tokens_details" for side in ("prompt", "completion", "input", "output")), _DETAILS
            ),
        },
    ),
    facts=st.fixed_dictionaries(
        {},
        optional={
            "tier": st.sampled_from(["flex", 3, None]),
            "items": _COUNTS,
            "text": _COUNTS,
            "deltas": _COUNTS,
        },
    ),
)
def test_the_quick_way_reads_what_the_lenient_one_reads(
    usage: dict[str, object], facts: dict[str, object]
) -> None:
    for text in (json.dumps({"usage": usage, **facts}), json.dumps({"usage": usage}, separators=(",", ":"))):
        assert read(text) == answer_facts._read_any(text)
    bare = json.dumps(usage)
    assert read(bare) == answer_facts._read_any(bare)


@pytest.mark.parametrize("sides", [("prompt", "completion"), ("input", "output")])
def test_what_most_answers_report_is_read_quickly(sides: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_facts, "_read_any", None)
    usage: dict[str, int | dict[str, int]] = {f"{side}_tokens": 9 for side in sides}
    usage |= {"total_tokens": 20}
    usage |= {f"{sides[0]}_tokens_details": {"cached_tokens": 3, "audio_tokens": 1, "text_tokens": 5}}
    usage |= {f"{sides[1]}_tokens_details": {"reasoning_tokens": 2, "accepted_prediction_tokens": 0}}
    found = read(json.dumps({"usage": usage, "tier": "default", "text": 30, "deltas": 9}))
    assert found.reported == Reported(9, 11, 20, 3, reasoning=2, apart=2, audio_input=1)


def test_what_an_older_module_logged_is_read_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_facts, "_read_any", None)
    assert read('{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}').reported == Reported(9, 5, 14)
