"""Keeps the requests of one conversation or of one user at one place, by a hash from which Envoy's module chooses.

Organisation and route are part of the hash, so no client can aim at the place of another client's conversation.
"""

from __future__ import annotations

from hashlib import blake2b

from translator.bodies.facts import BodyFacts
from translator.policy.objects import PolicyKey, PolicyRoute

#: Envoy's module reads numbers of at most 18 digits.
_UNUSED_BITS = 5


def word(key: PolicyKey, route: PolicyRoute, facts: BodyFacts) -> str:
    """Returns the affinity as in `Allowed`; empty if the request may go to any place.

    A conversation with sealed reasoning stays at one target and credential in every route.
    """
    if route.affinity == "user" and facts.user:
        named = facts.user
    elif facts.head:
        named = str(facts.head)
    else:
        return ""
    owned = f"{key.organisation_id}\n{route.id}\n{named}".encode("utf-8", "replace")
    number = int.from_bytes(blake2b(owned, digest_size=8).digest(), "little") >> _UNUSED_BITS
    return f"{'p' if route.affinity == 'pool' and not facts.sealed else 't'}{number}"
