"""How people sign in: the console's address, identity providers, and the identities that they know."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Adds the gateway's columns and the tables."""
    op.add_column("gateway", sa.Column("console_url", sa.String(), nullable=False, server_default=""))
    op.add_column("gateway", sa.Column("sso_only", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("gateway", sa.Column("oidc", sa.Text(), nullable=False, server_default="[]"))
    op.create_table(
        "user_identity",
        sa.Column("issuer", sa.String(), primary_key=True),
        sa.Column("subject", sa.String(), primary_key=True),
        sa.Column("user_id", sa.String(), sa.ForeignKey("user_account.id", ondelete="CASCADE"), nullable=False),
    )
    op.create_index("ix_user_identity_user_id", "user_identity", ["user_id"])
    op.create_table(
        "oidc_used",
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
