"""Prices as providers charge: cache writes, reasoning, audio, images, characters, search units and tiers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_AS_ANOTHER = ("cache_write", "cache_write_1h", "reasoning", "audio_input", "audio_output")
_FREE = ("audio_second_input", "audio_second_output", "character", "search_unit")
_LISTS = ("images", "tiers", "service_tiers")


def upgrade() -> None:
    """Adds the columns: what a price did not specify is charged as before."""
    for name in _AS_ANOTHER:
        op.add_column("target_price", sa.Column(name, sa.BigInteger(), nullable=True))
    for name in _FREE:
        op.add_column("target_price", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    for name in _LISTS:
        op.add_column("target_price", sa.Column(name, sa.Text(), nullable=False, server_default="[]"))
