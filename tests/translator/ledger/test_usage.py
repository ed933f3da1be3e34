from __future__ import annotations

import json
from typing import Any

import pytest

from tests.translator.ledger.writing import held, request_line
from translator.ledger.lines import RequestLine, parse
from translator.ledger.usage import NOTHING, Tokens, reported, used


def tokens_of(stream: bool = False, reserved: int = 100, **fields: object) -> Tokens:
    line = parse(request_line("r", **fields).rstrip())
    assert type(line) is RequestLine
    return used(line, held("r", stream=stream, tokens=reserved))


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}, (9, 0, 4, 0)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            (9, 8, 4, 3),
        ),
        (
            {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 8},
                "output_tokens": 4,
                "output_tokens_details": {"reasoning_tokens": 3},
                "total_tokens": 13,
            },
            (9, 8, 4, 3),
        ),
        ({"prompt_tokens": 9, "total_tokens": 9}, (9, 0, 0, 0)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 20}, (9, 0, 11, 7)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None}, (9, 0, 4, 0)),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 99}},
            (9, 9, 4, 0),
        ),
        ({"prompt_tokens": 9, "completion_tokens": "4"}, (9, 0, 4, 0)),
    ],
)
def test_reported(usage: dict[str, object], tokens: tuple[int, ...]) -> None:
    assert reported(json.dumps(usage)) == Tokens(*tokens)
    assert reported(json.dumps(usage)) == Tokens(*tokens)


@pytest.mark.parametrize(
    "usage",
    ["", "x", "[]", "{}", '{"type":"duration","seconds":3}', '{"prompt_tokens":-1}', '{"prompt_tokens":1e30}'],
)
def test_what_is_no_report(usage: str) -> None:
    assert reported(usage) is None


def test_a_report_counts_whatever_became_of_the_request() -> None:
    assert tokens_of(status=500).total == 15
    assert tokens_of(status=0, flags="DC").total == 15


@pytest.mark.parametrize(
    "fields", [{"status": 503}, {"status": 400}, {"target": None}, {"target": "-", "status": 0}]
)
def test_what_failed_costs_nothing(fields: dict[str, Any]) -> None:
    assert tokens_of(usage=None, **fields) is NOTHING


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
    ],
)
def test_what_was_delivered_is_estimated(fields: dict[str, Any], completion: int) -> None:
    assert tokens_of(**({"usage": None} | fields)) == Tokens(12, 0, completion, 0, estimated=True)
