"""Keeps track of places that several resources may claim for a moment."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Claims(Generic[K, V]):
    """The current holder of each place that resources with different ids may claim for a moment.

    Example: when a route is replaced by another one of the same model, the new route may arrive before the old one
    is removed. The latest claim counts; when it is released, the claim before it counts again.
    """

    def __init__(self) -> None:
        self.holder: dict[K, V] = {}
        self._claims: dict[K, dict[str, V]] = {}
        self._places: dict[str, K] = {}

    def claim(self, resource_id: str, place: K, value: V) -> None:
        """Puts a resource at `place`, and releases the place that it had. The latest claim holds a place."""
        self.release(resource_id)
        self._places[resource_id] = place
        self._claims.setdefault(place, {})[resource_id] = value
        self.holder[place] = value

    def release(self, resource_id: str) -> None:
        """Releases the place of a resource. The latest of the other claims then holds it."""
        if resource_id not in self._places:
            return
        place = self._places.pop(resource_id)
        claims = self._claims[place]
        del claims[resource_id]
        if claims:
            self.holder[place] = next(reversed(claims.values()))
        else:
            del self._claims[place], self.holder[place]
