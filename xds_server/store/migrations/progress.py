"""Lets a migration that takes long report its progress."""

from __future__ import annotations

from alembic import context


def report(done: int, total: int) -> None:
    """Reports that `done` of `total` parts of the running migration are done."""
    within = context.config.attributes.get("within")
    if within is not None:
        within(done / total if total else 1.0)
