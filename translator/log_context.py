"""The log context of a request: its reservation as words of text, which Envoy's log carries without reading them.

It is one field of filter state instead of ten: each field costs Envoy a header to parse, a value to store and one
to format.
"""

from __future__ import annotations

from urllib.parse import unquote

from translator import bounds, money
from translator.bodies import requested_units
from translator.limits import Reservation

_ABSENT = "-"
_NANO = "n"
_STREAM, _PLAIN = "s", "p"
#: Words without the requested units.
_WORDS = 12
#: Follows the stated maximum if the prompt has parts from outside.
_OUTSIDE = "+"
#: Precedes the original cost of a cached answer.
_SAVED = "c"


def parties(organisation: str, key: str, route: str, model: str) -> str:
    """Returns the words that say who asks for what. All are ids except for the model, which is percent-encoded."""
    return f"{organisation} {key} {route} {model}"


def written(held: Reservation, parties: str) -> str:
    """Returns the log context. `parties` are the words for the reservation's parties; user and tag are
    percent-encoded already.

    The cost is marked as nano-USD; without the mark it is in micro-USD, as an earlier version wrote it, whose
    lines may still be in the log. One word, such as `s`, `p512` or `s512+`, says whether the request streams, its
    stated maximum if there is one, and whether the prompt has parts from outside. For a cached answer, that word
    has the original cost instead, such as `pc600500`. The requested units, if any, are the last word. The start is
    rounded as in the record of an expired reservation: it identifies the request together with the id.
    """
    kind = _STREAM if held.stream else _PLAIN
    if held.saved >= 0:
        kind = f"{kind}{_SAVED}{held.saved}"
    elif held.stated or held.outside:
        kind = f"{kind}{held.stated or ''}{_OUTSIDE if held.outside else ''}"
    text = (
        f"{held.id} {round(held.at * 1e6)} {parties} "
        f"{held.tokens} {held.cost}{_NANO} {held.prompt} {kind} {held.user or _ABSENT} {held.tag or _ABSENT}"
    )
    return f"{text} {held.units}" if held.units else text


def read(text: str) -> Reservation | None:
    """Returns the reservation without its limits; None if `text` is not a log context."""
    try:
        words = text.split(" ")
        units = ""
        if len(words) > _WORDS:
            units = words.pop()
            if units and requested_units.read(units) is None:
                return None
        stated, outside, saved = 0, False, -1
        request_id, at, organisation, key, route, model, tokens, cost, prompt, kind, user, tag = words
        if not request_id:
            return None
        if kind[1:2] == _SAVED:
            saved = min(max(0, int(kind[2:])), money.MAX)
        elif len(kind) > 1:
            outside = kind.endswith(_OUTSIDE)
            stated = int(kind[1:].removesuffix(_OUTSIDE) or 0)
        reserved, estimated = int(tokens), int(prompt)
        nano = int(cost[:-1]) if cost.endswith(_NANO) else int(cost) * money.MICRO
        made = Reservation(
            request_id,
            int(at) / 1e6,
            organisation,
            key,
            route,
            unquote(model) if "%" in model else model,
            reserved,
            nano,
            estimated,
            kind[:1] == _STREAM,
            "" if user == _ABSENT else user,
            "" if tag == _ABSENT else tag,
            (),
            stated,
            outside,
            units,
            saved,
        )
    except (ValueError, OverflowError):  # OverflowError: a start that no clock shows
        return None
    if (
        len(text) <= bounds.TEXT
        and len(request_id) + len(organisation) + len(key) + len(route) <= bounds.ID
        and 0 <= estimated <= reserved <= bounds.COUNT
        and 0 <= nano <= money.MAX
        and "%" not in model
    ):
        return made
    return bounds.bounded(made)
