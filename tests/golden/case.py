"""Runs one golden case: from its files to the snapshot that clients of the control plane would get."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import yaml
from google.protobuf import json_format
from pydantic import BaseModel, ConfigDict, Field
from trunkline_proto.node.v1 import registry_pb2 as node_pb

from tests.xds_server.nodes.reporting import StandingClock, first
from tests.xds_server.store.databases import new_sqlite
from tests.xds_server.store.writing.joining import enrol, invite
from trunkline.config import document, loader
from trunkline.config.model import FileSpec
from trunkline.config.secrets import Secrets
from xds_server.admin.apply import Mode, apply
from xds_server.model import DesiredState, Visibility
from xds_server.nodes.authority import Authority
from xds_server.nodes.direct import DirectAddresses
from xds_server.nodes.live import LiveNodes
from xds_server.pool import Pool
from xds_server.protocol.snapshot import ResourceSnapshot
from xds_server.resources.builder import Builder
from xds_server.resources.settings import EdgeSettings, ListenerTls
from xds_server.settings import Settings, parse
from xds_server.store import Store
from xds_server.store.settings import Invitation, NodeChange
from xds_server.store.writing import nodes

DIRECTORY = Path(__file__).parent
#: The time at which a case's first document is applied, 2026-12-01; each further one follows an hour later.
BEGAN = 1_796_083_200
#: Seconds between two documents of a case.
_LATER = 3_600
_TOKEN = "admin-token-of-the-golden-cases"
#: Flags of every control plane; a case's own flags follow and override them.
_FLAGS = (
    "--data-dir=/data",
    "--database-url=sqlite:////data/trunkline.db",
    "--control-listen=127.0.0.1:18000",
    "--ads-socket=/data/ads.sock",
    "--openai-listen=127.0.0.1:8080",
    "--admin-listen=127.0.0.1:8081",
    "--upstream-ca-file=/etc/ssl/certs/ca-certificates.crt",
)


class Member(BaseModel):
    """A node in the case's header: how it joins, its operator's decision, and its report."""

    model_config = ConfigDict(extra="forbid")

    name: str
    organisation: str
    key: str = ""
    visibility: Visibility = Visibility.ORGANISATION
    approved: bool = True
    drained: bool = False
    boost: int | None = None
    #: A NodeReport in JSON, merged into the fields of every first report. None: the node has not reported yet.
    report: dict[str, Any] | None = None
    #: The node's lease has ended.
    silent: bool = False


class Header(BaseModel):
    """An optional first document of a case, with the field `golden`."""

    model_config = ConfigDict(extra="forbid")

    shows: str
    #: Flags for the control plane's command line.
    flags: list[str] = []
    nodes: list[Member] = Field(default=[])


@dataclass(frozen=True)
class Case:
    """A case. `files` are trunkline.yaml documents, applied one after another."""

    name: str
    header: Header
    files: tuple[FileSpec, ...]
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Result:
    """A case's result. `names` maps random and private values to the words that the golden file has in their
    place.
    """

    snapshot: ResourceSnapshot
    state: DesiredState
    edge: EdgeSettings
    names: Mapping[str, str]


def cases() -> list[Path]:
    """Returns the source files of all cases."""
    return sorted(path for path in DIRECTORY.glob("*.yaml") if not path.name.endswith(".envoy.yaml"))


def read(path: Path) -> Case:
    """Reads a case from its source: a header, `---`, and one or more trunkline.yaml documents."""
    header, *documents = path.read_text().split("\n---\n")
    secrets = _Environment()
    files = [loader.parse(each, path.name, Secrets(secrets, DIRECTORY)) for each in documents]
    return Case(path.stem, Header.model_validate(yaml.safe_load(header)["golden"]), tuple(files), secrets)


def run(case: Case) -> Result:
    """Applies the case's documents to an empty store, lets its nodes report, and builds the snapshot."""
    with tempfile.TemporaryDirectory() as directory:
        settings = _settings(case, Path(directory))
        store = Store.open(new_sqlite(Path(directory) / "trunkline.db"), key_file=Path(directory) / "secret.key")
        try:
            with _repeatable() as clock:
                for number, file in enumerate(case.files):
                    clock.now = BEGAN + number * _LATER
                    wanted = document.request(file)
                    mode = Mode(wanted.managed_by, prune=True, sections=frozenset(wanted.sections))
                    store.write("golden", partial(apply, message=wanted.document, mode=mode))
                live = _live(case, store, settings.direct_addresses)
            edge = settings.edge
            if edge.tunnel_listen is not None:
                edge = replace(edge, tls=Authority.open(store).gateway_tls())
            if settings.tls_files is not None:
                client_ca = "<client CA>" if settings.tls_files.client_ca is not None else ""
                edge = replace(edge, listener_tls=ListenerTls("<certificate chain>", "<private key>", client_ca))
            state = store.load()
        finally:
            store.close()
    builder = Builder(edge, clock=lambda: 0.0, wall_clock=lambda: clock.now)
    return Result(builder.build(1, state, live), state, edge, _names(case, state, edge))


class _Environment(dict[str, str]):
    """Invents a secret for every name, and remembers which names were read."""

    def get(self, key: str, default: Any = "") -> str:
        return self.setdefault(key, f"secret-value-of-{key}")


@contextmanager
def _repeatable() -> Iterator[SimpleNamespace]:
    """Makes ids repeatable, and stops the clock at `now`."""
    clock = SimpleNamespace(now=BEGAN, time=time.time)
    clock.time_ns = lambda: clock.now * 1_000_000_000
    with (
        patch("secrets.choice", random.Random(9).choice),
        patch("xds_server.store.writing.transaction.time", clock),
    ):
        yield clock


def _settings(case: Case, directory: Path) -> Settings:
    token = directory / "token"
    token.write_text(_TOKEN)
    return parse([*_FLAGS, f"--admin-token-file={token}", *case.header.flags], {})


def _live(case: Case, store: Store, addresses: DirectAddresses) -> dict[str, Pool]:
    """Lets nodes join, get their operators' decisions, and report, in the order of the header.
    Returns the pools.
    """
    clock, live = StandingClock(), LiveNodes(addresses=addresses)
    ids = {member.name: _joined(member, store) for member in case.header.nodes}
    live.desired(store.load())
    for member in case.header.nodes:
        if member.report is not None:
            report = first()
            if "offers" in member.report:
                report.ClearField("offers")
            json_format.ParseDict(member.report, report)
            live.report(ids[member.name], report, clock.now)
    talking = [ids[each.name] for each in case.header.nodes if each.report is not None and not each.silent]
    for second in range(2, 2 + round(live.times.lease)):
        clock.move(1)
        for node_id in talking:
            live.report(node_id, node_pb.NodeReport(sequence=second), clock.now)
        live.expire(clock.now)
    return {name: pool for name, pool in live.take_changes(clock.now).items() if pool.endpoints}


def _joined(member: Member, store: Store) -> str:
    invitation = Invitation(
        owner_key=member.key, visibility=member.visibility, require_approval=not member.approved
    )
    node = enrol(store, invite(store, invitation, member.organisation), member.name, key_hash=b"k" * 32)
    change = NodeChange(drained=member.drained or None, boost=member.boost)
    if change != NodeChange():
        store.write("golden", lambda tx: nodes.update(tx, node.id, change))
    return node.id


def _names(case: Case, state: DesiredState, edge: EdgeSettings) -> dict[str, str]:
    organisations = {each.id: each.name for each in state.organisations.values()}
    names = {each.id: f"org_{each.name}" for each in state.organisations.values()}
    for route in state.routes.values():
        owner = f"{organisations[route.organisation_id]}:" if route.organisation_id else ""
        names[route.id] = f"rt_{owner}{route.model}"
    for key in state.keys.values():
        names[key.id] = f"key_{organisations[key.organisation_id]}:{key.name}"
    names |= {node.id: f"nd-{node.name}" for node in state.nodes.values()}
    names |= {value: f"<env:{name}>" for name, value in case.secrets.items()}
    if edge.tunnel_secret:
        names[edge.tunnel_secret] = "<tunnel secret>"
    return names
