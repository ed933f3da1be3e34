"""Warns of settings that are stored but have no effect or are probably mistaken, one sentence each, under the
field's path.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2 as policy


def of_document(message: pb.Document, now: float) -> Iterator[str]:
    """Yields the warnings about a document; `now` is Unix seconds."""
    for index, provider in enumerate(message.providers):
        if not urlsplit(provider.base_url).path.strip("/"):
            usual = "most providers' base URLs end in one, as in /v1"
            yield f"providers[{index}].base_url: stored, without a path; {usual}"
    for index, route in enumerate(message.routes):
        yield from of_route(route, f"routes[{index}].")
    for index, owner in enumerate(message.organisations):
        for number, each in enumerate(owner.keys):
            if 0 < each.key.expires_at <= now:
                path = f"organisations[{index}].keys[{number}].expires_at"
                yield f"{path}: stored, and already past: requests with this key are refused"


def of_route(message: pb.Route, path: str) -> Iterator[str]:
    """Yields the warnings about a route. `path` is where it stands in the document, with a dot at its end."""
    if message.cache_ttl_seconds:
        return
    # `organisation` is the default, so it is not worth a warning.
    if message.cache_scope > policy.CACHE_SCOPE_ORGANISATION:
        yield f"{path}cache_scope: stored, and nothing is cached without a cache_ttl_seconds"
    if message.cache_most_bytes:
        yield f"{path}cache_most_bytes: stored, and nothing is cached without a cache_ttl_seconds"
