"""Every way in which well-known providers report usage, from the bytes of their answers to the bill.

It runs the module's own code and the translator's; `tests/gateway` sends some of the answers through a whole
gateway.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

from tests.envoy.native import Driver
from tests.fakes.usage_shapes import SHAPES, Shape
from tests.translator.ledger.writing import request_line, reservation
from translator.ledger.lines import parse
from translator.ledger.usage import used

#: Separators between the fields of an event and its data, and line ends.
FRAMES = [("data: ", "\n"), ("data:", "\n"), ("data: ", "\r\n"), ("data:", "\r\n"), ("data: ", "\r")]
PLAIN = [shape for shape in SHAPES if not shape.streamed]
STREAMS = [shape for shape in SHAPES if shape.streamed]


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("answers") as running:
        yield running


def named(shape: Shape) -> str:
    return shape.name.replace(" ", "-")


def billed(shape: Shape, facts: bytes) -> dict[str, Any]:
    """Returns the billed fields that are not 0, for a request so large that every claim is plausible."""
    parsed = parse(request_line("r", usage=facts.decode(), bytes_in=2_000_000).rstrip())
    assert parsed is not None
    tokens = used(parsed, reservation("r", tokens=100 if shape.generates else 12, prompt=12, units=shape.units))
    counts: dict[str, Any] = {"prompt": 0, "completion": 0}
    counts |= {name: value for name, value in msgspec.structs.asdict(tokens).items() if value}
    return counts


def cuts(text: bytes, most: int = 400) -> Iterator[Sequence[bytes]]:
    """Yields the whole text, its single bytes, and up to `most` cuts in two."""
    yield [text]
    yield [text[at : at + 1] for at in range(len(text))]
    yield from ([text[:at], text[at:]] for at in range(1, len(text), max(1, len(text) // most)))


@pytest.mark.parametrize("shape", PLAIN, ids=named)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_whole_answer(driver: Driver, shape: Shape, indent: int | None) -> None:
    text = json.dumps(shape.body, indent=indent).encode()
    for pieces in cuts(text):
        facts = driver.ask("plain", *pieces)[2]
        assert billed(shape, facts) == shape.used


@pytest.mark.parametrize("shape", STREAMS, ids=named)
@pytest.mark.parametrize(("prefix", "line_end"), FRAMES)
def test_a_stream(driver: Driver, shape: Shape, prefix: str, line_end: str) -> None:
    text = b"".join(shape.events(prefix=prefix, line_end=line_end))
    for pieces in cuts(text, 400 if (prefix, line_end) == FRAMES[0] else 100):
        _, _, facts, client, _ = driver.ask("events", 1, 1, *pieces)
        assert billed(shape, facts) == shape.used
        assert client == b"".join(shape.events(prefix=prefix, line_end=line_end, hidden=False))
    assert driver.ask("events", 0, 1, text)[3] == text


@pytest.mark.parametrize("shape", [shape for shape in STREAMS if shape.hidden], ids=named)
def test_a_stream_in_which_an_events_data_has_several_lines(driver: Driver, shape: Shape) -> None:
    def spread(event: bytes) -> bytes:
        return event if b"[DONE]" in event else event.replace(b',"', b',\ndata: "')

    text = b"".join(map(spread, shape.events()))
    _, _, facts, client, _ = driver.ask("events", 1, 1, text)
    assert billed(shape, facts) == shape.used
    assert client == b"".join(map(spread, shape.events(hidden=False)))
