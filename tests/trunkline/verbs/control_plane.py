"""A real control plane as a process of its own, for the verbs that read what it has stored."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from click.testing import CliRunner, Result
from trunkline_proto.ledger.v1 import ledger_pb2, ledger_pb2_grpc

from tests.xds_server.store.databases import new_sqlite
from trunkline.__main__ import main
from xds_server.store import Store

TOKEN = "admin-token-of-the-tests-0123456789"


@dataclass
class ControlPlane:
    """A control plane with the SQLite file `database`. Translators reach `socket` without a token."""

    database: Path
    socket: Path

    def trunkline(self, *arguments: str) -> Result:
        pointed = {"TRUNKLINE_CONTROL": f"unix:{self.socket}", "TRUNKLINE_ADMIN_TOKEN": TOKEN}
        return CliRunner().invoke(main, arguments, env=pointed)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Opens the database while the control plane runs."""
        store = Store.open(new_sqlite(self.database), key_file=self.database.with_name("secret.key"))
        yield store
        store.close()

    def append(self, records: Sequence[ledger_pb2.UsageRecord]) -> None:
        """Appends records like a translator."""
        with grpc.insecure_channel(f"unix:{self.socket}") as channel:
            request = ledger_pb2.AppendRequest(source="translator-test", records=records)
            answer = ledger_pb2_grpc.LedgerStub(channel).Append(request, timeout=60)
        assert list(answer.acknowledged_ids) == [record.id for record in records]


@contextmanager
def control_plane(directory: Path, *flags: str) -> Iterator[ControlPlane]:
    """Runs a control plane with an empty SQLite database in `directory` and these `flags`; ends it
    with SIGTERM.
    """
    token = directory / "token"
    token.write_text(TOKEN)
    plane = ControlPlane(directory / "trunkline.db", directory / "s")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "xds_server",
            "--data-dir", directory, "--database-url", f"sqlite:///{plane.database}",
            "--control-listen", "127.0.0.1:0", "--ads-socket", plane.socket, "--admin-token-file", token,
            "--openai-listen", "127.0.0.1:8080", "--admin-listen", "127.0.0.1:8081",
            "--usage-retention", "0", "--rollup-retention", "0", *flags,
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        with grpc.insecure_channel(f"unix:{plane.socket}") as channel:
            grpc.channel_ready_future(channel).result(timeout=180)
        yield plane
    finally:
        process.terminate()
        assert process.wait(60) == 0
