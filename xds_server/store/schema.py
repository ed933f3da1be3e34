"""Determines the database's schema version, and migrates it to the newest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xds_server.errors import SchemaError
from xds_server.store import orm
from xds_server.store.connection import DatabaseReader, DatabaseSnapshot
from xds_server.store.migration_report import MigrationStep, Report
from xds_server.store.url import DatabaseUrl

_MIGRATIONS = Path(__file__).parent / "migrations"
#: The newest revision, by the files' names: Alembic takes long to import, and only migrating needs it.
HEAD = max(path.name[1:5] for path in (_MIGRATIONS / "versions").glob("v*.py"))
#: "trunk" as a number: replicas that start at once migrate one after the other.
_ADVISORY_LOCK = 0x7472756E6B


def bring_to_head(reader: DatabaseReader, url: DatabaseUrl, report: Report) -> None:
    """Migrates if needed; `report` gets the progress. Raises SchemaError for a schema of a newer version."""
    with reader.snapshot() as snapshot:
        version = current(snapshot)
    if version != HEAD:
        upgrade(url, version, report)


def current(snapshot: DatabaseSnapshot) -> str | None:
    """Returns the database's schema version; None for an empty database."""
    tables = "information_schema.tables WHERE table_name = 'alembic_version' AND table_schema = current_schema()"
    if snapshot.is_sqlite:
        tables = "sqlite_master WHERE name = 'alembic_version'"
    if not snapshot.rows(f"SELECT 1 FROM {tables}"):  # noqa: S608
        return None
    rows = snapshot.rows("SELECT version_num FROM alembic_version")
    return str(rows[0][0]) if rows else None


def upgrade(url: DatabaseUrl, version: str | None, report: Report) -> None:
    """Runs the migrations after `version` in one transaction, behind a lock. `report` gets each step."""
    # Alembic and SQLAlchemy take most of a second to import; a database at head never gets here.
    orm.load()
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
                scripts = ScriptDirectory.from_config(config).walk_revisions()
                # A new database has nothing that would take long.
                missing = [each.doc for each in scripts if version is not None and each.revision > version]
                steps = _Steps(missing[::-1], report)
                config.attributes |= {"applied": [steps.applied], "within": steps.within}
                command.upgrade(config, "head")
            except CommandError as error:
                newest = ScriptDirectory.from_config(config).get_current_head()
                raise SchemaError(
                    f"the database's schema is newer than this version's ({newest}): {error}; use the Trunkline "
                    "that made it, or a newer one"
                ) from error
    finally:
        engine.dispose()
        report(None)


class _Steps:
    """Reports the progress of the migrations with these titles to `report`. The first one is about to run."""

    def __init__(self, titles: Sequence[str], report: Report) -> None:
        self._titles = titles
        self._report = report
        self._done = 0
        self.within(0.0)

    def applied(self, **_: object) -> None:
        """Called by Alembic after each migration."""
        self._done += 1
        self.within(0.0)

    def within(self, share: float) -> None:
        """Reports that this share of the running migration is done."""
        if self._done < len(self._titles):
            title = self._titles[self._done].partition("\n")[0].rstrip(".")
            self._report(MigrationStep(self._done + 1, len(self._titles), title, share))


def alembic_config() -> Any:
    """Returns Alembic's configuration, without an .ini file: the scripts are part of the package."""
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
