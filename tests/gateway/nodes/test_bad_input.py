"""Bad tokens, identities, reports and tunnels: each is refused or bounded, and reported to both sides.

Meanwhile a healthy node serves without a fallback: each test ends by showing that all of its requests were served.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from trunkline_proto.node.v1 import registry_pb2 as pb

from tests.fakes.certificates import NodeTls
from tests.fakes.node import Connection, Node
from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.nodes.asking import ask, figure
from tests.gateway.nodes.node_process import NodeProcess
from tests.gateway.nodes.stranger import (
    Stranger,
    ca_of,
    enrolled,
    first_report,
    invitation,
    log_of,
    refused_enrolment,
    refused_report,
    registry,
    status,
    tunnel_address,
    untrusting,
)
from tests.gateway.nodes.told_apart import ToldApart
from tests.gateway.process import GatewayProcess
from tests.ports import ReservedPort
from tests.waiting import until, until_answered

Code = grpc.StatusCode
ACME = "sk-key-of-acme-12345"
#: Requests a second to the healthy node.
RATE = 10
#: Seconds. It also limits the target that answers, which a busy machine slows down.
FIRST_BYTE = 10.0
#: Requests that meet the deaf machine together, plain and streamed.
TOGETHER = 10
#: MiB of anonymous memory that Envoy may grow by while it is abused.
MAX_GROWTH = 150
PATIENCE = 120.0


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    fallback = {"provider": "a", "model": "gpt-4.1", "tier": 1}
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            {"model": "lab", "targets": [{"nodes": "lab"}]},
            {
                "model": "deaf",
                "targets": [{"nodes": "deaf"}, fallback],
                "timeouts": {"first_byte": f"{FIRST_BYTE:g}s"},
            },
        ],
        "organisations": [
            {"name": "acme", "keys": [{"name": "ci", "value": ACME}]},
            {"name": "rival", "keys": [{"name": "ci", "value": "sk-key-of-rival-12345"}]},
        ],
    }


@pytest.fixture(scope="module")
def healthy(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node of acme with the model `lab`."""
    directory = tmp_path_factory.mktemp("healthy")
    with ProviderProcess("lab", models=["lab"]) as lab:
        upstream = lab.base_url.removesuffix("/v1")
        room = ["--concurrency", "64", "--queue", "256"]  # a busy machine is slow, and refuses nobody
        with NodeProcess(gateway, directory / "node", upstream, organisation="acme", join=room) as node:
            node.await_online()
            yield node


@pytest.fixture(autouse=True)
async def undisturbed(gateway: GatewayProcess, healthy: NodeProcess) -> AsyncIterator[None]:
    """Asserts that the healthy node serves all the time."""
    async with ToldApart(gateway, ("lab", "lab"), RATE, ACME) as load:
        await load.serves("nodes/lab", time.monotonic(), PATIENCE)
        yield
        await load.serves("nodes/lab", time.monotonic(), PATIENCE)
    assert [each for each in load.requests if not each.served] == []
    slow = max(each.ended - each.started for each in load.requests)
    figure("slowest request of the healthy node meanwhile", slow, "s")


@pytest.fixture(scope="module")
def other_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    config = {"version": 1, "organisations": [{"name": "acme"}]}
    with GatewayProcess(tmp_path_factory.mktemp("other") / "data", config) as running:
        yield running


def join(gateway: GatewayProcess, state_dir: Path, url: str, token: str) -> tuple[int, str]:
    """Runs `trunkline-node join` with a token. Returns its exit status and output."""
    done = NodeProcess(gateway, state_dir).verb("join", url, "--token", token, "--no-run", "--patience", "60")
    return done.returncode, done.stdout + done.stderr


# Tokens


async def test_a_used_token_admits_nobody_else(gateway: GatewayProcess, tmp_path: Path) -> None:
    told = await asyncio.to_thread(invitation, gateway)
    code, said = await asyncio.to_thread(join, gateway, tmp_path / "owner", told["url"], told["token"])
    assert code == 0, said
    code, said = await asyncio.to_thread(join, gateway, tmp_path / "thief", told["url"], told["token"])
    assert code == 4
    assert "this join token was used at 20" in said
    assert "each admits one machine; ask the gateway's operator for another" in said
    await reported(gateway, "join token refused", "this join token was used at 20")
    assert_no_secret(told["token"], said, log_of(gateway))


async def test_a_lost_answer_costs_no_token(gateway: GatewayProcess) -> None:
    token = (await asyncio.to_thread(invitation, gateway, "rival"))["token"]
    before = log_of(gateway)
    answers = await enrolled(gateway, token, 5)
    assert len({each.node_id for each in answers}) == 1
    assert len({each.certificate_chain_pem for each in answers}) == 5
    assert (await refused_enrolment(gateway, token))[0] is Code.UNAUTHENTICATED
    said = await reported(gateway, "join token refused", since=before)
    assert said.count("node asked to join again, with the same key") == 4


async def test_an_expired_token_admits_nobody(gateway: GatewayProcess, tmp_path: Path) -> None:
    told = await asyncio.to_thread(invitation, gateway, "default", "--ttl", "1s")
    await asyncio.sleep(2.1)  # the shortest time to live, and a little
    code, said = await asyncio.to_thread(join, gateway, tmp_path / "late", told["url"], told["token"])
    assert code == 4
    assert "this join token expired at 20" in said
    await reported(gateway, "this join token expired at 20")
    assert_no_secret(told["token"], said, log_of(gateway))


async def test_another_gateways_token_is_not_even_sent(
    gateway: GatewayProcess, other_gateway: GatewayProcess, tmp_path: Path
) -> None:
    token = (await asyncio.to_thread(invitation, other_gateway, "acme"))["token"]
    before = log_of(gateway)
    url = gateway.credentials["tunnel"]
    code, said = await asyncio.to_thread(join, gateway, tmp_path / "lost", url, token)
    assert code == 5
    assert "this is not the gateway that made the token" in said
    assert "join token" not in log_of(gateway)[len(before) :]
    # Sending it does not make it valid, either.
    answered, details = await refused_enrolment(gateway, token)
    assert (answered, "this join token is not known" in details) == (Code.UNAUTHENTICATED, True)
    await reported(gateway, "this join token is not known", since=before)
    assert_no_secret(token, said, log_of(gateway))


# Identities


async def test_a_node_of_another_gateway_is_nobody(
    gateway: GatewayProcess, other_gateway: GatewayProcess, tmp_path: Path
) -> None:
    stranger = await Stranger.joined(other_gateway, "acme")
    tls = NodeTls(ca_of(gateway), stranger.tls.identity)
    before = await failed_verifications(gateway)
    code, details = await refused_report(gateway, tls, first_report())
    assert code is Code.UNAVAILABLE, details
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await Node(stranger.node_id, tls).open_tunnels(tunnel_address(gateway), 1)
    assert await failed_verifications(gateway) >= before + 2
    # A sidecar that connects here by mistake reports what is wrong.
    with NodeProcess(other_gateway, tmp_path / "moved", organisation="acme", join=("--no-run",)) as node:
        assert await asyncio.to_thread(node.wait) == 0
        record = tmp_path / "moved" / "node.json"
        host, port = tunnel_address(gateway)
        record.write_text(json.dumps({**json.loads(record.read_text()), "gateway": f"{host}:{port}"}))
        node.run()
        await logged(node, "the server at this address is not the gateway that this node joined")


async def test_a_node_of_another_organisation_cannot_be_somebody_else(
    gateway: GatewayProcess, healthy: NodeProcess
) -> None:
    victim, liar = healthy.node_id, await Stranger.joined(gateway, "rival")
    before = log_of(gateway)
    claims = dict.fromkeys(("node", "cluster", "tenant"), victim)
    forged = (("x-forwarded-client-cert", f"DNS={victim}"), ("x-trunkline-node", victim))
    async with Node(liar.node_id, liar.tls) as node, registry(gateway, liar.tls) as stub:
        await node.open_tunnels(tunnel_address(gateway), 8, **claims)
        call = stub.Report(metadata=forged)
        await call.write(first_report(pb.Offer(model="lab", healthy=True)))
        assert (await call.read()).heartbeat_ms
        for _ in range(50):
            assert (await ask(gateway, "lab", key=ACME)).target == "nodes/lab"
        assert node.seen == []
        # It leaves, and only its own node is removed.
        await stub.Leave(pb.LeaveRequest(), metadata=forged)
        assert (await status(call))[0] is Code.NOT_FOUND
    said = await reported(gateway, "node left", since=before)
    left = [line for line in said.splitlines() if "node left" in line]
    assert [liar.node_id in line for line in left] == [True]
    assert healthy.described()["state"] == "online"


# Reports


async def test_a_refused_direct_address_is_reported_to_both_sides(gateway: GatewayProcess, tmp_path: Path) -> None:
    port = ReservedPort()
    address = f"127.0.0.1:{port.number}"
    told = f"facts.direct_address: {address} is loopback, which this gateway refuses"
    words = {"name": "inside", "organisation": "rival", "join": ["--direct", address]}
    with NodeProcess(gateway, tmp_path / "n", **words) as node:  # type: ignore[arg-type]
        seen = await asyncio.to_thread(node.await_seen, lambda seen: seen["state"] == "refused")
        assert told in seen["reason"]
        assert told in (await asyncio.to_thread(gateway.run, "nodes", "list", "--output", "json")).stdout
        await until_answered(lambda: asyncio.to_thread(lambda: told in node.status().get("reports", "")), PATIENCE)
        await logged(node, told)
        await reported(gateway, told)
        await asyncio.to_thread(gateway.run, "nodes", "remove", node.node_id)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("127.0.0.1:9", "loopback, which this gateway refuses"),
        ("[::1]:9", "loopback, which this gateway refuses"),
        ("169.254.169.254:80", "the metadata service of a cloud, which this gateway refuses"),
        ("[64:ff9b::7f00:1]:9", "loopback (as 127.0.0.1), which this gateway refuses"),
        ("ADMIN", "one of the gateway's own listeners"),
        ("CONTROL", "one of the gateway's own listeners"),
        ("OPENAI", "one of the gateway's own listeners"),
        ("TUNNEL", "one of the gateway's own listeners"),
    ],
)
async def test_direct_addresses_inside_the_gateway(gateway: GatewayProcess, address: str, problem: str) -> None:
    known = gateway.credentials
    listeners = {
        "ADMIN": known["admin_url"].removeprefix("http://"),
        "CONTROL": known["control"],
        "OPENAI": gateway.origin.removeprefix("http://"),
        "TUNNEL": known["tunnel"].removeprefix("https://"),
    }
    stranger = await Stranger.joined(gateway, "rival")
    report = first_report(pb.Offer(model="lab", healthy=True))
    report.facts.direct_address = listeners.get(address, address)
    code, details = await refused_report(gateway, stranger.tls, report)
    assert code is Code.INVALID_ARGUMENT
    assert f"is {problem}" in details


@pytest.mark.parametrize(
    ("report", "code", "details"),
    [
        ("a million models", Code.INVALID_ARGUMENT, "accepted: at most 1,048,576"),
        ("20,000 models", Code.INVALID_ARGUMENT, "offers: 20,000; accepted: at most 512"),
        ("a name of 100 MB", Code.RESOURCE_EXHAUSTED, "larger than max"),
        ("a name of 100 KB", Code.INVALID_ARGUMENT, "offers[0].model: 100,000 bytes; accepted: at most 256"),
        ("a negative price", Code.INVALID_ARGUMENT, "offers[0].input_price: 18446744073709551615; accepted: at"),
        ("a huge price", Code.INVALID_ARGUMENT, "offers[0].output_price: 1000000000001; accepted: at most 10000"),
        ("an old protocol", Code.FAILED_PRECONDITION, "update trunkline-node"),
        ("a newer protocol", Code.FAILED_PRECONDITION, "update the gateway"),
    ],
)
async def test_a_report_out_of_bounds(gateway: GatewayProcess, report: str, code: Code, details: str) -> None:
    made = {
        "a million models": lambda: first_report(*[pb.Offer(model="model")] * 1_000_000),
        "20,000 models": lambda: first_report(*(pb.Offer(model=f"m{number}") for number in range(20_000))),
        "a name of 100 MB": lambda: first_report(pb.Offer(model="n" * 100_000_000)),
        "a name of 100 KB": lambda: first_report(pb.Offer(model="n" * 100_000)),
        # A program that does not know that the field is unsigned writes -1 like this.
        "a negative price": lambda: first_report(pb.Offer(model="m", input_price=2**64 - 1)),
        "a huge price": lambda: first_report(pb.Offer(model="m", output_price=10**12 + 1)),
        "an old protocol": lambda: first_report(facts=pb.NodeFacts(protocol=0)),
        "a newer protocol": lambda: first_report(facts=pb.NodeFacts(protocol=2)),
    }[report]()
    stranger = await Stranger.joined(gateway, "rival")
    before, grown = log_of(gateway), anonymous_mib(gateway, "xds_server")
    told = await refused_report(gateway, stranger.tls, made)
    assert told[0] is code, told
    assert details in told[1]
    assert anonymous_mib(gateway, "xds_server") - grown < MAX_GROWTH
    if code is not Code.RESOURCE_EXHAUSTED:  # gRPC refuses that before it becomes a report
        await reported(gateway, "node refused", stranger.node_id, details, since=before)


async def test_a_sidecar_that_is_too_old_learns_it_when_it_joins(gateway: GatewayProcess) -> None:
    token = invitation(gateway)["token"]
    code, details = await refused_enrolment(gateway, token, protocol=0)
    assert code is Code.FAILED_PRECONDITION
    assert "speaks version 0 of the node protocol and this gateway version 1: update trunkline-node" in details
    await reported(gateway, details)
    # The token is still valid.
    assert (await refused_enrolment(gateway, token))[0] is Code.OK


# Tunnels


class Deaf(Node):
    """Accepts requests and keeps the connection alive, but neither reads their bodies nor answers."""

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(_DeafConnection(self, len(self.connections), reader, writer))


class _DeafConnection(Connection):
    def _on_event(self, event: object) -> None:
        """Does nothing more: pings are already answered."""


@pytest.mark.parametrize("kind", ["deaf", "frozen"])
async def test_a_tunnel_that_never_reads_costs_a_request_its_first_byte_and_no_more(
    gateway: GatewayProcess, kind: str
) -> None:
    stranger = await Stranger.joined(gateway)
    made = Deaf if kind == "deaf" else Node
    async with made(stranger.node_id, stranger.tls) as node, registry(gateway, stranger.tls) as stub:
        await node.open_tunnels(tunnel_address(gateway), 4)
        call = stub.Report()
        await call.write(first_report(pb.Offer(model="deaf", healthy=True)))
        assert (await call.read()).heartbeat_ms
        heart = asyncio.create_task(beat(call))
        grown = anonymous_mib(gateway, "envoy")
        if kind == "frozen":
            await ask(gateway, "deaf")  # HTTP/2 has begun
            node.freeze()
        answers = await asyncio.gather(
            *(ask(gateway, "deaf", user="x" * 500_000) for _ in range(TOGETHER)),
            *(ask(gateway, "deaf", stream=True) for _ in range(TOGETHER)),
        )
        heart.cancel()
        assert [each.body for each in answers if each.status != 200] == []
        assert {each.target for each in answers} == {"a/gpt-4.1"}
        slowest = max(each.seconds for each in answers)
        figure(f"slowest answer where a node is {kind}", slowest, "s")
        if kind == "deaf":  # Envoy may miss the answers to its pings earlier
            assert slowest >= FIRST_BYTE
        assert (
            max(int(each.headers["x-trunkline-attempts"]) for each in answers) == 2
        )  # the node was tried exactly once
        assert anonymous_mib(gateway, "envoy") - grown < MAX_GROWTH
        await stub.Leave(pb.LeaveRequest())


async def beat(call: Any) -> None:
    sequence = 1
    while True:
        await asyncio.sleep(1)  # the pace of heartbeats
        sequence += 1
        await call.write(pb.NodeReport(sequence=sequence))


# Without an identity


async def test_thousands_of_connections_without_an_identity_hold_nothing_up(gateway: GatewayProcess) -> None:
    grown = {each: anonymous_mib(gateway, each) for each in ("envoy", "xds_server")}
    address, context = tunnel_address(gateway), untrusting()
    opened: list[asyncio.StreamWriter] = []
    silent: list[asyncio.StreamReader] = []

    async def connect(count: int, tls: ssl.SSLContext | None) -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(*address, ssl=tls)
            opened.append(writer)
            if tls is None:
                silent.append(reader)

    await asyncio.gather(*(connect(125, context) for _ in range(8)), *(connect(250, None) for _ in range(8)))
    for each in ("envoy", "xds_server"):
        more = anonymous_mib(gateway, each) - grown[each]
        figure(f"{each} with 3,000 connections of strangers", more, "MiB")
        assert more < MAX_GROWTH
    # Envoy closes connections that began no TLS after 10 s.
    async with asyncio.timeout(PATIENCE):
        for reader in silent:
            assert await reader.read() == b""
    for writer in opened:
        writer.transport.abort()
    await asyncio.gather(*(writer.wait_closed() for writer in opened), return_exceptions=True)


async def test_thousands_of_streams_without_an_identity_never_reach_the_control_plane(
    gateway: GatewayProcess,
) -> None:
    before = log_of(gateway)
    tls = NodeTls(ca_of(gateway))
    answers: Counter[tuple[Code, str]] = Counter()

    async def call() -> None:
        async with registry(gateway, tls) as stub:
            for _ in range(250):
                answers[await status(stub.Report(timeout=60))] += 1

    await asyncio.gather(*(call() for _ in range(8)))
    ((code, details), count) = answers.popitem()
    assert (answers, code, count) == (Counter(), Code.PERMISSION_DENIED, 2_000)
    assert "This needs a certificate that this gateway has issued to a node" in details
    # What ended meanwhile was begun by an earlier test.
    new = log_of(gateway).removeprefix(before).splitlines()
    assert [line for line in new if json.loads(line)["event"] != "leases ended"] == []


def assert_no_secret(token: str, *texts: str) -> None:
    secret = token.split("_", 2)[2].rpartition("_")[0]
    assert len(secret) > 20
    assert not [text for text in texts if secret in text]


def anonymous_mib(gateway: GatewayProcess, service: str) -> float:
    """Returns a service's anonymous memory in MiB."""
    status_file = Path(f"/proc/{gateway.service_pid(service)}/status").read_text()
    (line,) = [line for line in status_file.splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) / 1024


async def logged(node: NodeProcess, text: str) -> None:
    """Waits until the node has logged `text`."""

    def found() -> bool:
        assert node.code is None, node.log
        return text in node.log

    await until(found)


async def reported(gateway: GatewayProcess, *texts: str, since: str = "") -> str:
    """Waits until the control plane's log has these texts. Returns everything after `since`."""
    return await until(
        lambda: said if all(each in (said := log_of(gateway)[len(since) :]) for each in texts) else "", PATIENCE
    )


async def failed_verifications(gateway: GatewayProcess) -> int:
    """Returns how many client certificates the tunnel listener has refused, by Envoy's counter."""
    connector = aiohttp.UnixConnector(path=str(gateway.data_dir / "run/envoy-admin.sock"))
    url = "http://envoy/stats?filter=ssl.fail_verify_error"
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    return sum(int(line.rpartition(": ")[2]) for line in lines if line.startswith("listener."))
