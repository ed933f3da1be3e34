"""What an answer says about its own cost.

Envoy's module finds it (envoy/module/scanner.c lists the places) and logs it as one JSON object, the facts:
`usage` as the target wrote it or null, and where they are there `start` (usage of an Anthropic stream's first
event), `choices` (usage that each choice has of its own), `billed_units`, `timings`, `tier`, `seconds`, `size`,
`quality`, `items` (length of the list `data`), `text` (bytes of generated text), `deltas` (events that have some),
`too_long`, `coding` (the content-encoding of an answer that could not be read).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from translator.ledger.lines import number
from translator.ledger.reported import (
    Reported,
    as_count,
    as_milliseconds,
    of_choices,
    of_timings,
    of_usage,
    with_start,
)


class Facts(msgspec.Struct, gc=False):
    """`reported` is None where no report counts anything; `audio_ms` is the answer's `duration`."""

    reported: Reported | None = None
    tier: str = ""
    audio_ms: int | None = None
    size: str = ""
    quality: str = ""
    items: int = 0
    #: Bytes of generated text; 0 also where the answer's shape shows none.
    text: int = 0
    #: Events of a stream that have some of it.
    deltas: int = 0
    #: The target compressed its answer, though asked not to: nothing in it could be read.
    coded: bool = False


NO_FACTS = Facts()


def read(text: str) -> Facts:
    """From the access log; `NO_FACTS` for what is no JSON object. An older module logged the bare usage object."""
    try:
        facts: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return NO_FACTS
    if type(facts) is not dict:
        return NO_FACTS
    if "usage" not in facts:
        return Facts(of_usage(facts))
    if len(facts) == 1:
        return Facts(of_usage(facts["usage"]))
    return Facts(
        _of_facts(facts),
        _word(facts.get("tier")),
        as_milliseconds(facts.get("seconds")),
        _word(facts.get("size")),
        _word(facts.get("quality")),
        number(facts.get("items")) or 0,
        number(facts.get("text")) or 0,
        number(facts.get("deltas")) or 0,
        bool(facts.get("coding")),
    )


def _of_facts(facts: Mapping[str, Any]) -> Reported | None:
    found = of_usage(facts["usage"])
    if found is None and "choices" in facts:
        found = of_choices(facts["choices"])
    if "start" in facts:
        found = with_start(found, of_usage(facts["start"]))
    if found is None and "timings" in facts:
        found = of_timings(facts["timings"])
    units = facts.get("billed_units")
    if type(units) is dict and (searched := as_count(units.get("search_units"))):
        found = found or Reported()
        found.search_units = searched
    return found


def _word(value: object) -> str:
    return value if type(value) is str else ""
