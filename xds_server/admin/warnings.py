"""What is stored but not acted upon by this version, one sentence each, under the field's path."""

from __future__ import annotations

from collections.abc import Iterator

from trunkline_proto.admin.v1 import admin_pb2 as pb


def of_document(message: pb.Document) -> Iterator[str]:
    for index, route in enumerate(message.routes):
        yield from of_route(route, f"routes[{index}].")


def of_route(message: pb.Route, path: str) -> Iterator[str]:
    if message.cache_ttl_seconds:
        yield f"{path}cache_ttl_seconds: stored, nothing is cached by this version"
