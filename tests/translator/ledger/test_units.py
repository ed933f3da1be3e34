"""Units charged besides tokens, by the request and by the target's report."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import asdict

from tests.translator.ledger.writing import request_line, reservation
from translator.ledger.lines import parse
from translator.ledger.usage import NOTHING, used

IMAGE_BYTES = 2_000_000


def billed(units: str, facts: dict[str, Any] | None, *, stream: bool = False, **line: Any) -> dict[str, Any]:
    """Returns the fields that are not 0."""
    made = reservation("r", units=units, stream=stream)
    usage = None if facts is None else json.dumps(facts)
    parsed = parse(request_line("r", made, usage=usage, **line).rstrip())
    assert parsed is not None
    assert parsed.reservation is not None
    return {name: value for name, value in asdict(used(parsed, parsed.reservation)).items() if value}


def reported(usage: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"usage": usage, **more}


IMAGE_USAGE = {"input_tokens": 50, "output_tokens": 4_160, "total_tokens": 4_210}


@pytest.mark.parametrize(
    ("units", "facts", "expected"),
    [
        # Counted as text, the bytes would be half a million tokens.
        ("i1::", reported(None, items=1), {"images": 1, "completion": 1_056, "estimated": True, "prompt": 12}),
        (
            "i2:1024x1024:high",
            reported(None, items=2),
            {"images": 2, "completion": 8_320, "image_size": "1024x1024", "image_quality": "high"}
            | {"estimated": True, "prompt": 12},
        ),
        (
            "i1:1024x1536:low",
            None,
            {"images": 1, "completion": 408, "image_size": "1024x1536", "image_quality": "low"}
            | {"estimated": True, "prompt": 12},
        ),
        # The number that the target reports counts, not the requested one.
        (
            "i1:auto:auto",
            reported(IMAGE_USAGE, items=1, size="1024x1024", quality="high"),
            {"images": 1, "image_size": "1024x1024", "image_quality": "high", "prompt": 50, "completion": 4_160},
        ),
        ("i4::", reported(IMAGE_USAGE, items=3), {"images": 3, "prompt": 50, "completion": 4_160}),
        ("i4::", reported(None, items=0), {"prompt": 12, "estimated": True}),
        # But not more than was requested.
        (
            "i2::",
            reported(IMAGE_USAGE, items=9_000),
            {"images": 2, "prompt": 50, "completion": 4_160, "capped": True},
        ),
    ],
)
def test_images(units: str, facts: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    assert billed(units, facts, bytes_out=IMAGE_BYTES, duration_ms=9_000) == expected


@pytest.mark.parametrize(
    ("units", "size", "quality", "billed_as"),
    [
        ("i1:1024x1024:low", "1536x1024", "high", ("1024x1024", "low", True)),
        ("i1:1024x1024:low", "1024x1024", "high", ("1024x1024", "low", True)),
        ("i1:1536x1024:high", "1024x1024", "medium", ("1024x1024", "medium", False)),
        ("i1:1024x1024:hd", "1024x1024", "high", ("1024x1024", "high", False)),
        ("i1:1024x1024:low", "huge", "ultra", ("1024x1024", "low", True)),
        ("i1:1024x1024:low", "", "", ("1024x1024", "low", False)),
        ("i1:auto:", "1536x1024", "high", ("1536x1024", "high", False)),
        ("i1::auto", "4096x4096", "hd", ("4096x4096", "hd", False)),
        ("i1:1024x1024:high", "1024X1024", "HIGH", ("1024x1024", "high", False)),
    ],
)
def test_a_target_does_not_bill_a_better_image_than_requested(
    units: str, size: str, quality: str, billed_as: tuple[str, str, bool]
) -> None:
    found = billed(units, reported(IMAGE_USAGE, items=1, size=size, quality=quality), bytes_out=IMAGE_BYTES)
    assert (found["image_size"], found["image_quality"], found.get("capped", False)) == billed_as


def test_a_stream_of_images_that_was_cut_is_charged_whole() -> None:
    cut = billed("i2::", None, stream=True, events="1:400000", bytes_out=500_000, flags="DC")
    assert (cut["images"], cut["completion"]) == (2, 2_112)


@pytest.mark.parametrize(
    ("facts", "line", "expected"),
    [
        ({"usage": {"type": "duration", "seconds": 9}, "text": 40}, {}, {"audio_in_ms": 9_000}),
        ({"usage": {"type": "duration", "seconds": 9}, "seconds": "8.4701"}, {}, {"audio_in_ms": 9_000}),
        # Every response format costs the same if it is charged by the second.
        ({"usage": None, "seconds": "8.4701", "text": 40}, {}, {"audio_in_ms": 8_471, "completion": 10}),
        ({"usage": None, "text": 40}, {}, {"audio_in_ms": 9_000, "completion": 10}),
        (None, {"bytes_out": 40}, {"audio_in_ms": 9_000, "completion": 10}),
        (
            {"usage": {"type": "tokens", "input_tokens": 85, "output_tokens": 9, "total_tokens": 94}},
            {},
            {"audio_in_ms": 9_000, "prompt": 85, "completion": 9},
        ),
        ({"usage": {"seconds": 10**6}}, {}, {"audio_in_ms": 19_350, "capped": True}),
        ({"usage": {"seconds": 1e300}}, {}, {"audio_in_ms": 19_350, "capped": True}),
    ],
)
def test_a_transcription(facts: dict[str, Any] | None, line: dict[str, Any], expected: dict[str, Any]) -> None:
    unreported = facts is None or facts["usage"] is None
    assert billed("t8500", facts, **line) == expected | ({"prompt": 12, "estimated": True} if unreported else {})


def test_speech() -> None:
    expected = {"characters": 700, "audio_out_ms": 2_000, "prompt": 12, "estimated": True}
    assert billed("s700:", None, bytes_out=40_000) == expected
    assert billed("s700:wav", None, bytes_out=96_000) == expected
    # Events have the sound as base64.
    assert billed("s700:wav", None, bytes_out=128_100, events="2:128100") == expected


@pytest.mark.parametrize(
    ("units", "facts", "expected"),
    [
        ("r3", {"usage": None, "billed_units": {"search_units": 1}}, {"search_units": 1}),
        ("r250", {"usage": None, "billed_units": {"search_units": 3}}, {"search_units": 3}),
        ("r250", {"usage": {"total_tokens": 80}}, {"search_units": 3, "prompt": 80}),
        (
            "r3",
            {"usage": None, "billed_units": {"search_units": 9_000}},
            {"search_units": 1, "capped": True},
        ),
    ],
)
def test_a_rerank(units: str, facts: dict[str, Any], expected: dict[str, Any]) -> None:
    made = reservation("r", units=units, tokens=12)
    parsed = parse(request_line("r", made, usage=json.dumps(facts)).rstrip())
    assert parsed is not None
    assert {name: value for name, value in asdict(used(parsed, made)).items() if value} == expected


@pytest.mark.parametrize("units", ["i1::", "s5:", "t5", "r5"])
def test_what_failed_costs_nothing(units: str) -> None:
    parsed = parse(request_line("r", reservation("r", units=units), usage=None, status=502).rstrip())
    assert parsed is not None
    assert parsed.reservation is not None
    assert used(parsed, parsed.reservation) is NOTHING


@pytest.mark.parametrize(("stream", "completion"), [(False, 300), (True, 40)])
def test_a_compressed_answer_is_estimated_by_its_bytes(stream: bool, completion: int) -> None:
    made = reservation("r", stream=stream)
    line = request_line("r", made, usage='{"usage":null,"coding":"gzip"}', bytes_out=650, events="0:0").rstrip()
    parsed = parse(line)
    assert parsed is not None
    tokens = used(parsed, made)
    assert (tokens.completion, tokens.estimated) == (completion, True)


@pytest.mark.parametrize(
    ("units", "facts", "events"), [("s9:", {}, 3), ("i1::", {"items": 1}, 2), ("i1::", {}, 4)]
)
def test_a_stream_that_fails_after_sound_or_images_is_charged(
    units: str, facts: dict[str, Any], events: int
) -> None:
    failed = reported(None, failed=True)
    assert billed(units, failed | facts, stream=True, events=events, bytes_out=5_000)
    assert not billed(units, failed, stream=True, events=1, bytes_out=100)
