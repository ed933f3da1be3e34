"""Finds series by what a filter selects, and the series of single records: indexes refer to them by number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xds_server.ledger.connection import where_in
from xds_server.ledger.query import Filter
from xds_server.ledger.rollup import OTHER, Series
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage.scope import Condition

#: Stands for a series that could not be found: any.
UNKNOWN = 0


def selected(wanted: Filter) -> Condition:
    """Returns a condition on usage_series as `s`: the series that can have records of `wanted`."""
    of_columns = replace(wanted, tag="").of_columns("s.")
    if not wanted.tag:
        return Condition(f"s.group_id IS NOT NULL{of_columns.sql}", of_columns.arguments)
    # The tag may have been one too many for its hour.
    return Condition(
        f"s.group_id IS NOT NULL{of_columns.sql} AND s.tag IN (?, ?)", (*of_columns.arguments, wanted.tag, OTHER)
    )


def numbers(snapshot: DatabaseSnapshot, batch: Mapping[str, Sequence[Any]], indices: Sequence[int]) -> list[int]:
    """Returns the number of the series of each of these records; UNKNOWN if it was removed."""
    columns = [batch[name] for name in Series._fields]
    several = [Series(*(column[index] for column in columns)) for index in indices]
    found = _by_digest(snapshot, set(several))
    missing = {each._replace(tag=OTHER) for each in several if each not in found}
    others = _by_digest(snapshot, missing) if missing else {}
    return [found.get(each) or others.get(each._replace(tag=OTHER), UNKNOWN) for each in several]


def _by_digest(snapshot: DatabaseSnapshot, wanted: Collection[Series]) -> dict[Series, int]:
    digests = {each.digest(): each for each in wanted}
    rows = where_in(snapshot, "SELECT digest, id FROM usage_series WHERE digest", digests)
    return {digests[bytes(digest)]: int(id_) for digest, id_ in rows}
