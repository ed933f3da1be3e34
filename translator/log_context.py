"""What Envoy's log is told about a request: its reservation as words of text, which the log carries unread.

One dynamic-metadata field instead of ten: each costs Envoy a header to parse, a field to keep and one to format.
"""

from __future__ import annotations

from urllib.parse import unquote

from translator import money, requested_units
from translator.ledger import bounds
from translator.limits import Reservation

_ABSENT = "-"
_NANO = "n"
_STREAM, _PLAIN = "s", "p"
#: Without what is asked for beside text.
_WORDS = 12
#: Behind the stated maximum.
_OUTSIDE = "+"
#: Before what a kept answer had cost.
_SAVED = "c"


def parties(organisation: str, key: str, route: str, model: str) -> str:
    """Returns the words that say who asks for what. All are ids but for the model, which is percent-encoded."""
    return f"{organisation} {key} {route} {model}"


def written(held: Reservation, parties: str) -> str:
    """`parties` are the words for the reservation's; user and tag are percent-encoded already.

    The cost is marked as nano-USD; without the mark it is an earlier version's, in micro-USD, of which there may
    be lines in the log. Stream or not, the stated maximum (if there is one) and whether the prompt has parts
    outside are one word, such as `s`, `p512` or `s512+`; where a kept answer was given out, what that had cost is
    in its place, such as `pc600500`. What is asked for beside text, if anything, is the last
    word. The start is rounded as in the record of an expired reservation: by it and the id the two are the same
    request.
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
            saved = min(max(0, int(kind[2:])), money.MOST)
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
    except (ValueError, OverflowError):  # the latter for a start that no clock shows
        return None
    if (
        len(text) <= bounds.TEXT
        and len(request_id) + len(organisation) + len(key) + len(route) <= bounds.ID
        and 0 <= estimated <= reserved <= bounds.COUNT
        and 0 <= nano <= money.MOST
        and "%" not in model
    ):
        return made
    return bounds.bounded(made)
