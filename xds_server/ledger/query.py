"""Describes the usage that a report is about, as conditions in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from xds_server.usage.records import Columns
from xds_server.usage.scope import Condition, Within

_HOUR = 3600
#: The last hour and second that a record can have.
_LAST_HOUR = 70_389_527
_LAST_US = 253_402_300_799_999_999


class Dimension(StrEnum):
    """The dimensions that usage is summed by."""

    MODEL = "model"
    ROUTE = "route"
    TARGET = "target"
    PROVIDER = "provider"
    KEY = "key"
    ORGANISATION = "organisation"
    TAG = "tag"
    HOUR = "hour"
    DAY = "day"


#: Dimension → its column of usage_series.
COLUMNS = {
    Dimension.MODEL: "model",
    Dimension.ROUTE: "route_id",
    Dimension.TARGET: "target_id",
    Dimension.PROVIDER: "provider",
    Dimension.KEY: "key_id",
    Dimension.ORGANISATION: "organisation_id",
    Dimension.TAG: "tag",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects usage. An empty field matches all. `since` and `until` are Unix seconds, inclusive and exclusive."""

    since: int = 0
    until: int = 0
    organisation_id: str = ""
    key_id: str = ""
    model: str = ""
    target_id: str = ""
    tag: str = ""
    #: None: nothing is hidden from the caller.
    within: Within | None = None

    @property
    def first_hour(self) -> int:
        """Returns hours since 1970, like `last_hour`: the roll-ups' grain, so the range is rounded outward."""
        return self.since // _HOUR

    @property
    def last_hour(self) -> int:
        """The last hour (since 1970) that the filter includes."""
        return (self.until - 1) // _HOUR if self.until else _LAST_HOUR

    def of_columns(self, prefix: str) -> Condition:
        """Returns a condition on the columns of usage_series, which begins with AND unless it is empty."""
        given = Condition("".join(f" AND {prefix}{name} = ?" for name in self.given), tuple(self.given.values()))
        if self.within is None:
            return given
        within = self.within.of_columns(f"{prefix}organisation_id", f"{prefix}key_id")
        return Condition(given.sql + within.sql, (*given.arguments, *within.arguments))

    @property
    def is_of_all_series(self) -> bool:
        """Returns whether the filter selects by time alone."""
        return not self.given and self.within is None

    @property
    def is_of_groups(self) -> bool:
        """Returns whether the filter uses nothing finer than organisation and model."""
        within = self.within is not None and bool(self.within.key_ids)
        return not (self.key_id or self.target_id or self.tag or within)

    @property
    def times_us(self) -> range:
        """Returns the range, to the second, in which a request begins, in Unix microseconds."""
        return range(self.since * 1_000_000, self.until * 1_000_000 if self.until else _LAST_US + 1)

    def matching(self, requests: Columns) -> list[int]:
        """Returns the indices of the `requests` that match."""
        times = self.times_us
        found = [index for index, at in enumerate(requests["started_at_us"]) if at in times]
        for name, value in self.given.items():
            column = requests[name]
            found = [index for index in found if column[index] == value]
        if self.within is not None:
            organisations, keys = requests["organisation_id"], requests["key_id"]
            found = [index for index in found if self.within.has(organisations[index], keys[index])]
        return found

    @property
    def given(self) -> dict[str, str]:
        """Returns the values that are not empty, by column."""
        wanted = {
            "organisation_id": self.organisation_id,
            "key_id": self.key_id,
            "model": self.model,
            "target_id": self.target_id,
            "tag": self.tag,
        }
        return {name: value for name, value in wanted.items() if value}
