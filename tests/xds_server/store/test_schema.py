"""Migrations create the schema that the tables declare, run once, and refuse unknown versions."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from tests.xds_server.store.databases import OpenStore, empty_database as database
from xds_server.errors import DatabaseUnavailableError, SchemaError
from xds_server.model import Limit, Metric
from xds_server.prices import TargetPrice
from xds_server.store import AuditQuery, DatabaseUrl, Store, account_tables, schema, usage_tables, writing
from xds_server.store.connection import open_reader
from xds_server.store.engine import make_engine
from xds_server.store.migration_report import MigrationReport, MigrationStep

__all__ = ["database"]


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(schema.alembic_config()).get_current_head() == schema.HEAD


def test_the_migrations_make_what_the_tables_say(store: Store, database: DatabaseUrl) -> None:
    for row in (account_tables.UserRow, usage_tables.UsageHourRow):
        assert row.metadata is SQLModel.metadata
    assert store.load().revision == 0
    engine = make_engine(database)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
    engine.dispose()


def test_prices_of_the_second_schema_begin_their_histories(
    open_store: OpenStore, database: DatabaseUrl, tmp_path: Path
) -> None:
    open_reader(database).close()
    engine = make_engine(database)
    with engine.begin() as connection:
        config = schema.alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        none, true = ("x''", "1") if database.is_sqlite else ("''::bytea", "true")
        for statement in (
            "INSERT INTO organisation VALUES ('org_1', 'acme', '[[\"requests\",60,5]]', 1)",
            "INSERT INTO provider VALUES ('p', 'openai', 'https://p.example', {none}, '', {true}, 1)",
            "INSERT INTO route VALUES ('rt_1', NULL, 'm', 'cheapest', 0, 0, 0, 0, 'any', 1, 1)",
            "INSERT INTO target VALUES ('rt_1', 0, 'p', 'x', 1, 0, 2000000, 0)",
            "INSERT INTO target VALUES ('rt_1', 1, NULL, 'y', 1, 1, 0, 7)",
            "INSERT INTO target VALUES ('rt_1', 2, 'p', 'free', 1, 1, 0, 0)",
            "UPDATE revision SET value = 1",
        ):
            written = statement.replace("{none}", none).replace("{true}", true)
            connection.exec_driver_sql(written)
    engine.dispose()
    state = open_store().load()
    (route,) = state.routes.values()
    assert [target.prices for target in route.targets] == [
        (TargetPrice(2_000_000, 0, version=1),),
        (TargetPrice(0, 7, version=1),),
        (),
    ]
    assert (route.limits, route.reserved_output_tokens) == ((), 0)
    assert state.organisations["org_1"].limits == (Limit(Metric.REQUESTS, 60, 5),)


def test_migrations_report_how_far_they_are(database: DatabaseUrl, tmp_path: Path) -> None:
    """Steps are reported one after the other, and so is progress within a long one; the file exists only
    meanwhile.
    """
    open_reader(database).close()
    engine = make_engine(database)
    with engine.begin() as connection:
        config = schema.alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0030")
        blob = "x'01'" if database.is_sqlite else "'\\x01'::bytea"
        connection.exec_driver_sql(
            "INSERT INTO usage_series "
            "(digest, organisation_id, key_id, route_id, model, target_id, provider, tag, last_hour) "
            f"VALUES ({blob}, 'o', 'k', 'r', 'm', 't', 'p', '', 1)"
        )
    engine.dispose()
    file, steps, written = tmp_path / "migration", [], []
    report = MigrationReport(file)

    def note(step: MigrationStep | None) -> None:
        report(step)
        steps.append(step)
        written.append(file.read_text() if file.exists() else "")

    Store.open(database, key_file=tmp_path / "secret.key", report=note).close()
    total = int(schema.HEAD) - 30
    assert [(each.number, each.share) for each in steps if each] == [
        (1, 0.0),
        *[(n, 0.0) for n in range(1, total + 1)],
    ]
    assert steps[0] is not None
    assert steps[0].title.startswith("Sums by day")
    assert json.loads(written[0]) == {"number": 1, "total": total, "title": steps[0].title, "share": 0.0}
    assert (steps[-1], written[-1]) == (None, "")


def test_a_newer_schema_is_refused(open_store: OpenStore, database: DatabaseUrl) -> None:
    open_store()
    engine = make_engine(database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SchemaError, match="newer than this version's"):
        open_store()


def test_replicas_that_start_at_once_migrate_once(open_store: OpenStore) -> None:
    failures: list[Exception] = []
    barrier = threading.Barrier(3)

    def start() -> None:
        barrier.wait(60)
        try:
            open_store().load()
        except Exception as error:  # noqa: BLE001  # shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert failures == []


@pytest.mark.parametrize("statement", ["UPDATE audit_event SET actor = 'nobody'", "DELETE FROM audit_event"])
def test_audit_events_cannot_be_changed(store: Store, database: DatabaseUrl, statement: str) -> None:
    store.write("admin", lambda tx: writing.organisations.put(tx, "acme", limits=(), expected=0))
    engine = make_engine(database)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    (event,) = store.audit_events(AuditQuery())
    assert event.actor == "admin"


@pytest.mark.processes
def test_an_up_to_date_start_imports_no_orm(tmp_path: Path) -> None:
    database, key_file = tmp_path / "t.db", tmp_path / "t.key"
    Store.open(DatabaseUrl.of_file(database), key_file=key_file).close()
    program = (
        "import sys; from pathlib import Path; import xds_server.admin;"
        "from xds_server.store import DatabaseUrl, Store;"
        f"Store.open(DatabaseUrl.of_file(Path({str(database)!r})), key_file=Path({str(key_file)!r})).load();"
        "print(sorted({'sqlalchemy', 'sqlmodel', 'alembic', 'psycopg', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout.strip() == "[]"


def test_a_sqlite_file_is_private_and_durable(tmp_path: Path) -> None:
    database = tmp_path / "t.db"
    store = Store.open(DatabaseUrl.of_file(database), key_file=tmp_path / "t.key")
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    with store._reader.snapshot() as snapshot:
        assert snapshot.rows("PRAGMA journal_mode") == [("wal",)]
        assert snapshot.rows("PRAGMA synchronous") == [(2,)]
        assert snapshot.rows("PRAGMA foreign_keys") == [(1,)]
    store.close()


def test_a_database_that_cannot_be_opened_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="missing"):
        Store.open(DatabaseUrl.of_file(tmp_path / "missing" / "t.db"), key_file=tmp_path / "t.key")
    nowhere = DatabaseUrl.parse(f"postgresql://postgres:hidden@/x?host={tmp_path}")
    with pytest.raises(DatabaseUnavailableError) as caught:
        Store.open(nowhere, key_file=tmp_path / "t.key")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["mysql://hidden@host/x", "sqlite://", "sqlite:///:memory:", "sqlite:///a?b=c", ""]
)
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="database URL") as caught:
        DatabaseUrl.parse(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.processes
def test_another_process_that_closes_the_file_takes_nothing_away(tmp_path: Path) -> None:
    """`sqlite3 trunkline.db` does this next to a running control plane: the last one to close deletes SQLite's
    log.
    """
    url = DatabaseUrl.of_file(tmp_path / "t.db")
    store = Store.open(url, key_file=tmp_path / "t.key")
    reports = open_reader(url)
    store.write("admin", lambda tx: writing.organisations.put(tx, "acme", limits=(), expected=0))
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM organisation'); c.close()"
    )
    subprocess.run([sys.executable, "-c", program, str(url.path)], timeout=240, check=True)
    assert (tmp_path / "t.db-wal").exists()
    store.write("admin", lambda tx: writing.organisations.put(tx, "other", limits=(), expected=0))
    with reports.snapshot() as snapshot:
        assert snapshot.rows("PRAGMA integrity_check") == [("ok",)]
        assert snapshot.rows("SELECT name FROM organisation ORDER BY name") == [("acme",), ("other",)]
    reports.close()
    store.close()
