"""What is stored but not acted upon by this version, one sentence each, under the field's path."""

from __future__ import annotations

from collections.abc import Iterator

from trunkline_proto.admin.v1 import admin_pb2 as pb

_NOT_ENFORCED = "stored, and enforced only by `trunkline up --ledger`, which is in development"


def of_document(message: pb.Document) -> Iterator[str]:
    for index, route in enumerate(message.routes):
        yield from of_route(route, f"routes[{index}].")
    for outer, owner in enumerate(message.organisations):
        yield from of_organisation(owner.organisation, f"organisations[{outer}].")
        for inner, key in enumerate(owner.keys):
            yield from of_key(key.key, f"organisations[{outer}].keys[{inner}].")


def of_route(message: pb.Route, path: str) -> Iterator[str]:
    if message.cache_ttl_seconds:
        yield f"{path}cache_ttl_seconds: stored, nothing is cached by this version"
    if message.limits:
        yield f"{path}limits: {_NOT_ENFORCED}"


def of_organisation(message: pb.Organisation, path: str) -> Iterator[str]:
    if message.limits:
        yield f"{path}limits: {_NOT_ENFORCED}"


def of_key(message: pb.Key, path: str) -> Iterator[str]:
    if message.limits:
        yield f"{path}limits: {_NOT_ENFORCED}"
