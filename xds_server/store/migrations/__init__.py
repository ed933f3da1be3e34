"""Alembic's scripts; `xds_server.store.migrate` runs them."""
