"""Keeps the requests of one conversation, or of one user, at one place: a hash that Envoy's module chooses by.

Organisation and route are part of the hash, so that no client can aim at the place of another's conversation.
"""

from __future__ import annotations

from hashlib import blake2b

from translator.facts import BodyFacts
from translator.policy.index import Key, Route

#: The module reads numbers of at most 18 digits.
_UNUSED_BITS = 5


def word(key: Key, route: Route, facts: BodyFacts) -> str:
    """Returns what the module is told, as in `Allowed`; empty where nothing keeps the request at a place."""
    if route.affinity == "user" and facts.user:
        named = facts.user
    elif facts.head:
        named = str(facts.head)
    else:
        return ""
    owned = f"{key.organisation_id}\n{route.id}\n{named}".encode("utf-8", "replace")
    number = int.from_bytes(blake2b(owned, digest_size=8).digest(), "little") >> _UNUSED_BITS
    return f"{'p' if route.affinity == 'pool' else 't'}{number}"
