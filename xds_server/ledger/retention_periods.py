"""Retention periods of usage. A module of their own, so that reading the settings imports nothing else."""

from __future__ import annotations

from dataclasses import dataclass

DAY = 86_400


@dataclass(frozen=True, slots=True)
class RetentionPeriods:
    """Retention in seconds; 0 keeps for ever. Records go by whole hours, roll-ups by whole days (UTC).

    A record that arrives again after its first copy was removed is counted twice: keep records for longer than a
    translator may be cut off from the control plane.
    """

    records: int = 30 * DAY
    rollups: int = 400 * DAY
