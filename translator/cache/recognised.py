"""Requests that are repeated byte for byte: what was read in their bodies is remembered. No I/O.

Reading a body and putting it into canonical form costs a third of an answer from the cache, and a client that
repeats a request sends the same bytes.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from translator.bodies.facts import BodyFacts
from translator.cache.key import Content
from translator.endpoints import Endpoint

#: Bytes of the longest body that is remembered.
LONGEST = 8 * 1024
#: The number of bodies that are remembered.
CAPACITY = 1_024
#: Bytes of a body that are looked at to find the remembered one; then the whole is compared.
_SAMPLED = 64

#: The organisation, the length of the body, and every n-th byte of it.
_Place = tuple[str, int, bytes]


class Repeated(msgspec.Struct, frozen=True, gc=False):
    """A body that got a cached answer, with its endpoint and what was read in it."""

    body: bytes
    endpoint: Endpoint
    facts: BodyFacts
    content: Content


class RecognisedBodies:
    """The bodies that got cached answers most recently.

    Each organisation has its own: the time of a decision must not tell one organisation what another one asked.
    Of bodies that look alike in the sampled bytes, only the last one is remembered.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[_Place, Repeated] = OrderedDict()

    def find(self, organisation: str, endpoint: Endpoint, body: bytes) -> Repeated | None:
        """Returns what was read in exactly this body, which the organisation sent before."""
        known = self._known
        if not known or not 0 < len(body) <= LONGEST:
            return None
        place = _place(organisation, body)
        found = known.get(place)
        if found is None or found.endpoint is not endpoint or found.body != body:
            return None
        known.move_to_end(place)
        return found

    def remember(self, organisation: str, repeated: Repeated) -> None:
        """Takes a body that got a cached answer."""
        if not 0 < len(repeated.body) <= LONGEST:
            return
        place = _place(organisation, repeated.body)
        self._known[place] = repeated
        self._known.move_to_end(place)
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)


def _place(organisation: str, body: bytes) -> _Place:
    size = len(body)
    return organisation, size, body[:: size // _SAMPLED + 1]
