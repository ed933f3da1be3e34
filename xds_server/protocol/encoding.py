"""Encodes responses. Bytes that several clients receive are encoded once and cached by content."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from hashlib import blake2b

from xds_server.protocol.snapshot import Resource
from xds_server.protocol.wire import length_delimited, text

_MAX_BYTES = 32 * 1024 * 1024


def set_version(resources: Iterable[Resource]) -> str:
    """Returns the version of a set of resources: equal names and versions give the same on every server."""
    digest = blake2b(digest_size=8)
    for name, version in sorted((resource.name, resource.version) for resource in resources):
        digest.update(b"%d:%b%d:%b" % (len(name), name.encode(), len(version), version.encode()))
    return digest.hexdigest()


class ResponseEncoder:
    """Encodes responses and shares the bytes between streams; one instance per server.

    Holds at most `max_bytes`, and forgets the bytes that were unused for longest.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._cached: OrderedDict[Hashable, bytes] = OrderedDict()
        self._size = 0
        self.encoded = 0

    def delta(
        self, type_url: str, resources: Sequence[Resource], removed: Sequence[str], *, nonce: str, revision: int
    ) -> tuple[bytes, bytes]:
        """Returns a DeltaDiscoveryResponse in two consecutive parts: one shared with other streams, and the
        stream's own.
        """
        key = ("delta", type_url, _contents(resources), frozenset(removed))
        shared = self._shared(key, lambda: _delta_body(type_url, resources, removed))
        return shared, b"".join((text(1, str(revision)), text(5, nonce)))

    def sotw(
        self, type_url: str, resources: Sequence[Resource], *, version: str, nonce: str
    ) -> tuple[bytes, bytes]:
        """Returns a DiscoveryResponse in two consecutive parts, like `delta`."""
        key = ("sotw", type_url, _contents(resources))
        shared = self._shared(key, lambda: _sotw_body(type_url, resources))
        return shared, b"".join((text(1, version), text(5, nonce)))

    def _shared(self, key: Hashable, encode: Callable[[], bytes]) -> bytes:
        cached = self._cached.get(key)
        if cached is not None:
            self._cached.move_to_end(key)
            return cached
        self.encoded += 1
        body = encode()
        if len(body) <= self._max_bytes:
            self._cached[key] = body
            self._size += len(body)
            while self._size > self._max_bytes:
                self._size -= len(self._cached.popitem(last=False)[1])
        return body


def _contents(resources: Sequence[Resource]) -> frozenset[tuple[str, str]]:
    return frozenset((resource.name, resource.version) for resource in resources)


def _any(resource: Resource) -> bytes:
    return text(1, resource.type_url) + length_delimited(2, resource.body)


def _delta_body(type_url: str, resources: Sequence[Resource], removed: Sequence[str]) -> bytes:
    parts = [text(4, type_url)]
    parts += [
        length_delimited(2, b"".join((text(1, each.version), length_delimited(2, _any(each)), text(3, each.name))))
        for each in resources
    ]
    parts += [length_delimited(6, name.encode()) for name in removed]
    return b"".join(parts)


def _sotw_body(type_url: str, resources: Sequence[Resource]) -> bytes:
    return b"".join([text(4, type_url), *(length_delimited(2, _any(each)) for each in resources)])
