"""Alembic's entry point: runs on the connection, and in the transaction, that `schema.upgrade` opened."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

connection = context.config.attributes["connection"]
if not isinstance(connection, Connection):
    raise TypeError("run migrations through xds_server.store.migrate")
context.configure(
    connection=connection,
    transactional_ddl=False,
    on_version_apply=context.config.attributes.get("applied", ()),
)
context.run_migrations()
