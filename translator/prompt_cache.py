"""Rewrites a request so that a provider's prompt cache recognises its beginning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from translator.bodies import prefix
from translator.bodies.facts import BodyFacts
from translator.bodies.prefix import PromptCacheRule
from translator.endpoints import Endpoint
from translator.message import Request
from translator.policy.objects import PolicyKey, PolicyRoute


def rewritten(  # noqa: PLR0917 - the request's properties
    request: Request,
    key: PolicyKey,
    route: PolicyRoute,
    rule: PromptCacheRule,
    facts: BodyFacts,
    endpoint: Endpoint,
    body: bytes,
    values: Mapping[str, Any] | None,
) -> BodyFacts:
    """Rewrites the body so that a provider's prompt cache recognises it; returns the facts of the new body.

    If reading the body took long, only its beginning is rewritten.
    """
    replaced = None
    if values:
        facts = msgspec.structs.replace(facts, opening=prefix.opening(body, values, endpoint))
        found = prefix.ordered(body, values, facts, endpoint) if rule.stable_order else None
        if found is not None:
            facts, text = found
            replaced = (len(body), text)
    made = prefix.made_key(key.organisation_id, route.id, rule, facts) if facts.opening else ""
    if made:
        opened = facts.opening
        facts, (_, beginning) = prefix.with_key(facts, made)
        replaced = (opened, beginning) if replaced is None else (replaced[0], beginning + replaced[1][opened:])
    request.replaced = replaced
    return facts
