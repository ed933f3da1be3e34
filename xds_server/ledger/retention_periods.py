"""Retention periods of usage. A module of their own, so that reading the settings imports nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

DAY = 86_400


@dataclass(frozen=True, slots=True)
class RetentionPeriods:
    """Retention in seconds; 0 keeps for ever. Records go by whole hours, roll-ups by whole days (UTC).

    A record that arrives again after its first copy was removed is counted twice: keep records for longer than a
    translator may be cut off from the control plane.
    """

    records: int = 30 * DAY
    rollups: int = 400 * DAY

    @classmethod
    def of(cls, *, records: int, rollups: int) -> Self:
        """Returns periods in which the sums of a record are kept as long as the record: searches rely on them."""
        return cls(records, 0 if not records else max(records, rollups) if rollups else 0)
