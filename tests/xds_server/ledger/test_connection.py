"""The writing connection: a failed write leaves nothing behind, and a lost server is reconnected."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest

from tests.xds_server.ledger.usage import batch, usage
from xds_server.errors import DatabaseUnavailableError
from xds_server.ledger.connection import LedgerTransaction, open_writer
from xds_server.ledger.ledger import Ledger
from xds_server.store import DatabaseUrl, Store


def tags(writing: LedgerTransaction) -> int:
    return int(writing.rows("SELECT COUNT(*) FROM usage_tag")[0][0])


def test_a_failure_rolls_back_and_the_next_transaction_works(store: Store) -> None:
    writer = open_writer(store.url, store.write_lock)

    def fail_late() -> None:
        with writer.transaction() as writing:
            writing.run("INSERT INTO usage_tag (hour, organisation_id, tag) VALUES (1, 'o', ?)", "t")
            assert tags(writing) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_late()
    with writer.transaction() as writing:
        assert tags(writing) == 0
    writer.close()


async def test_a_connection_that_was_cut_is_made_again(postgres_url: str, tmp_path: Path) -> None:
    store = Store.open(DatabaseUrl.parse(postgres_url), key_file=tmp_path / "k")
    ledger = Ledger(store.url, store.write_lock)
    await ledger.append(batch(usage()))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    again = batch(usage())
    with pytest.raises(DatabaseUnavailableError, match="could not complete the ledger's write"):
        await ledger.append(again)
    assert (await ledger.append(again)).acknowledged == [again.records[0].id]
    assert ledger.stored == 2
    ledger.close()
    store.close()


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    for url in (
        DatabaseUrl.of_file(tmp_path / "missing" / "t.db"),
        DatabaseUrl.parse(f"postgresql://postgres:hidden@/x?host={tmp_path}"),
    ):
        writer = open_writer(url, threading.Lock())
        with pytest.raises(DatabaseUnavailableError) as caught, writer.transaction():
            pass
        assert "hidden" not in str(caught.value)
        writer.close()
