"""Determines the database's schema version, and migrates it to the newest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xds_server.errors import SchemaError
from xds_server.store.connection import DatabaseSnapshot, Reader
from xds_server.store.url import DatabaseUrl

_MIGRATIONS = Path(__file__).parent / "migrations"
#: The newest revision, by the files' names: Alembic takes long to import, and only migrating needs it.
HEAD = max(path.name[1:5] for path in (_MIGRATIONS / "versions").glob("v*.py"))
#: "trunk" as a number: replicas that start at once migrate one after the other.
_ADVISORY_LOCK = 0x7472756E6B


def bring_to_head(reader: Reader, url: DatabaseUrl) -> None:
    """Migrates if needed. Raises SchemaError for a schema of a newer version."""
    with reader.snapshot() as snapshot:
        version = current(snapshot)
    if version != HEAD:
        upgrade(url)


def current(snapshot: DatabaseSnapshot) -> str | None:
    """Returns the database's schema version; None for an empty database."""
    tables = "information_schema.tables WHERE table_name = 'alembic_version' AND table_schema = current_schema()"
    if snapshot.is_sqlite:
        tables = "sqlite_master WHERE name = 'alembic_version'"
    if not snapshot.rows(f"SELECT 1 FROM {tables}"):  # noqa: S608
        return None
    rows = snapshot.rows("SELECT version_num FROM alembic_version")
    return str(rows[0][0]) if rows else None


def upgrade(url: DatabaseUrl) -> None:
    """Runs the missing migrations in one transaction, behind a lock."""
    # Alembic and SQLAlchemy take most of a second to import; a database at head never gets here.
    from alembic import command  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    from xds_server.store.engine import make_engine, unavailable  # noqa: PLC0415

    engine = make_engine(url)
    try:
        with unavailable(), engine.begin() as connection:
            if not url.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            config = alembic_config()
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                newest = ScriptDirectory.from_config(config).get_current_head()
                raise SchemaError(
                    f"the database's schema is newer than this version's ({newest}): {error}; use the Trunkline "
                    "that made it, or a newer one"
                ) from error
    finally:
        engine.dispose()


def alembic_config() -> Any:
    """Returns Alembic's configuration, without an .ini file: the scripts are part of the package."""
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
