"""Computes the difference between two snapshots once, for every stream to share."""

from __future__ import annotations

from collections.abc import Mapping, Set as AbstractSet

from xds_server.protocol.snapshot import Resource, ResourceSnapshot

#: Type URL → names added, changed or removed. A type without differences is left out.
Changes = Mapping[str, AbstractSet[str]]


def changes_between(before: ResourceSnapshot, after: ResourceSnapshot) -> Changes:
    """Returns the names whose content differs. A type whose mapping is the same object is skipped."""
    changes: dict[str, AbstractSet[str]] = {}
    for type_url in before.resources.keys() | after.resources.keys():
        old, new = before.of_type(type_url), after.of_type(type_url)
        if old is not new:
            names = _changed_names(old, new)
            if names:
                changes[type_url] = names
    return changes


def _changed_names(old: Mapping[str, Resource], new: Mapping[str, Resource]) -> AbstractSet[str]:
    names = {name for name in old if name not in new}
    for name, resource in new.items():
        previous = old.get(name)
        if previous is not resource and (previous is None or previous.version != resource.version):
            names.add(name)
    return frozenset(names)
