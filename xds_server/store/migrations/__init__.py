"""Alembic's scripts; `xds_server.store.schema` runs them."""
