"""Chooses the sums from which a report is made: days if they are complete, hours at the edges and after them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from xds_server.ledger.daily import position
from xds_server.ledger.query import Dimension, Filter
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage.scope import Condition

#: The dimensions that distinguish groups of series.
_OF_GROUPS = frozenset({Dimension.MODEL, Dimension.ORGANISATION, Dimension.DAY})


class Spans(NamedTuple):
    """Days (since 1970) from `days.start` to before `days.stop`, and hours outside of them. `groups`: for the
    days, the sums of groups suffice.
    """

    days: range
    hours: list[range]
    groups: bool

    @property
    def of_days(self) -> Condition:
        """Returns a condition on the columns `s.group_id` and `h.day`."""
        return Condition(
            f"s.group_id IS {'' if self.groups else 'NOT '}NULL AND h.day BETWEEN ? AND ?",
            (self.days.start, self.days.stop - 1),
        )


def spans(snapshot: DatabaseSnapshot, wanted: Filter, by: Collection[Dimension]) -> Spans:
    """Returns the spans that make up `wanted`, each hour of it once."""
    hours = range(wanted.first_hour, wanted.last_hour + 1)
    groups = wanted.is_of_groups and _OF_GROUPS.issuperset(by)
    days = range(-(-hours.start // 24), min(hours.stop // 24, position(snapshot).complete_day + 1))
    if Dimension.HOUR in by or not days:
        return Spans(range(0), [hours], groups)
    edges = (range(hours.start, days.start * 24), range(days.stop * 24, hours.stop))
    return Spans(days, [each for each in edges if each], groups)
