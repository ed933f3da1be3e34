from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from trunkline_proto.xds.v1 import discovery_pb2

from tests.waiting import until
from xds_server import clients
from xds_server.clients import ClientRegistry
from xds_server.expected_clients import ExpectedClients, RunningClients
from xds_server.protocol.changes import changes_between
from xds_server.protocol.delta import DeltaStream
from xds_server.protocol.encoding import ResponseEncoder
from xds_server.protocol.push import Push
from xds_server.protocol.snapshot import CLUSTER, ENDPOINT, LISTENER, Resource, ResourceSnapshot
from xds_server.reasons import Reason


def content(revision: int) -> ResourceSnapshot:
    return ResourceSnapshot(revision, {CLUSTER: {"a": Resource.of(CLUSTER, "a", b"%d" % revision)}})


class Client:
    """One stream of the core, and the registry that is informed of it, connected like in the transport."""

    def __init__(self, registry: ClientRegistry, node: str, peer: str = "") -> None:
        self.registry = registry
        self.peer = peer
        self.snapshot = content(1)
        self.stream = DeltaStream(self.snapshot, ResponseEncoder())
        self.pushes: list[Push] = []
        self.request(
            node=discovery_pb2.Node(id=node, cluster="envoy", user_agent_name="envoy", user_agent_version="1.40")
        )
        self.answer()

    def request(
        self,
        *,
        type_url: str = CLUSTER,
        node: discovery_pb2.Node | None = None,
        response_nonce: str = "",
        error_detail: discovery_pb2.Status | None = None,
    ) -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=type_url, node=node, response_nonce=response_nonce, error_detail=error_detail
        )
        self.pushes += self.stream.on_request(request)
        self.registry.observe(self.stream, self.peer)

    def publish(self, revision: int) -> None:
        before, self.snapshot = self.snapshot, content(revision)
        self.pushes += self.stream.on_snapshot(self.snapshot, changes_between(before, self.snapshot))
        self.registry.observe(self.stream)

    def answer(self, refusal: str = "") -> None:
        error = discovery_pb2.Status(message=refusal) if refusal else None
        self.request(response_nonce=self.pushes.pop().nonce, error_detail=error)


async def test_status_of_a_client() -> None:
    registry = ClientRegistry()
    client = Client(registry, "edge")
    (status,) = registry.clients()
    assert (status.client_id, status.kind, status.software, status.connected) == (
        "edge",
        "envoy",
        "envoy 1.40",
        True,
    )
    (type_status,) = status.types
    assert (type_status.accepted_revision, type_status.pending, type_status.acks) == (1, False, 1)
    client.publish(2)
    assert registry.clients()[0].types[0].pending
    registry.disconnected(client.stream)
    (status,) = registry.clients()
    assert not status.connected
    assert status.types[0].accepted_revision == 1
    assert registry.counters().connected == 0


async def test_a_refusal_stands_until_it_is_corrected() -> None:
    registry = ClientRegistry()
    client = Client(registry, "edge")
    client.publish(2)
    client.answer("no such thing")
    (rejection,) = registry.recent_rejections()
    assert (rejection.client_id, rejection.resource_names, rejection.reason) == ("edge", ("a",), "no such thing")
    assert registry.clients()[0].types[0].rejection == rejection
    client.publish(3)
    client.answer()
    assert registry.clients()[0].types[0].rejection is None
    assert registry.recent_rejections() == (rejection,)
    assert (registry.counters().acks, registry.counters().nacks) == (2, 1)


async def test_the_history_is_bounded_and_newest_first() -> None:
    registry = ClientRegistry()
    client = Client(registry, "edge")
    for revision in range(2, 62):
        client.publish(revision)
        client.answer(f"refused {revision}")
    rejections = registry.recent_rejections()
    assert [each.revision for each in rejections] == list(range(61, 11, -1))


async def test_waiting_for_all_clients() -> None:
    registry = ClientRegistry()
    good, bad = Client(registry, "good"), Client(registry, "bad")
    waiting = asyncio.create_task(registry.wait_settled(2, 60))
    await asyncio.sleep(0)
    for client in (good, bad):
        client.publish(2)
    good.answer()
    await asyncio.sleep(0)
    assert not waiting.done()
    bad.answer("no")
    propagation = await waiting
    assert (propagation.complete, propagation.accepted, propagation.waiting_for) == (True, 1, ())
    assert [each.client_id for each in propagation.rejections] == ["bad"]


async def test_an_old_refusal_is_not_blamed_on_a_new_revision() -> None:
    registry = ClientRegistry()
    client = Client(registry, "edge")
    client.publish(2)
    client.answer("no")
    client.stream.on_snapshot(ResourceSnapshot(3, client.snapshot.resources), {})
    registry.observe(client.stream)
    propagation = await registry.wait_settled(3, 60)
    assert (propagation.complete, propagation.accepted, propagation.rejections) == (True, 1, ())


async def test_who_does_not_answer_is_named() -> None:
    registry = ClientRegistry()
    Client(registry, "good").publish(2)
    Client(registry, "silent")
    propagation = await registry.wait_settled(2, 0.01)
    assert not propagation.complete
    assert propagation.waiting_for == ("good", "silent")


async def test_a_client_that_goes_away_is_not_waited_for() -> None:
    registry = ClientRegistry()
    client = Client(registry, "edge")
    waiting = asyncio.create_task(registry.wait_settled(2, 60))
    await asyncio.sleep(0)
    registry.disconnected(client.stream)
    assert (await waiting).complete


async def test_two_streams_of_one_client() -> None:
    registry = ClientRegistry()
    old, new = Client(registry, "edge"), Client(registry, "edge")
    registry.disconnected(old.stream)
    (status,) = registry.clients()
    assert status.connected
    registry.disconnected(new.stream)
    assert not registry.clients()[0].connected


async def test_clients_with_one_id_are_all_shown() -> None:
    registry = ClientRegistry()
    first, second = Client(registry, "edge", "ipv4:10.0.0.5:4711"), Client(registry, "edge", "ipv4:10.0.0.6:4712")
    second.publish(2)
    shown = registry.clients()
    assert [(each.client_id, each.peer, each.connected) for each in shown] == [
        ("edge", "ipv4:10.0.0.5:4711", True),
        ("edge", "ipv4:10.0.0.6:4712", True),
    ]
    assert [each.types[0].pending for each in shown] == [False, True]
    assert {each.problem for each in shown} == {"2 streams have this id: give every client an id of its own"}
    registry.disconnected(first.stream)
    (left,) = registry.clients()
    assert (left.peer, left.problem) == ("ipv4:10.0.0.6:4712", "")


async def test_a_client_that_has_just_crashed_is_waited_for() -> None:
    registry = ClientRegistry(return_seconds=600)
    registry.disconnected(Client(registry, "edge").stream)
    waiting = asyncio.create_task(registry.wait_settled(2, 0.01))
    await asyncio.sleep(0.05)  # longer than the time that it waits for connected clients
    assert not waiting.done()
    client = Client(registry, "edge")
    client.publish(2)
    await asyncio.sleep(0)
    assert not waiting.done()
    client.answer()
    propagation = await waiting
    assert (propagation.complete, propagation.accepted, propagation.waiting_for) == (True, 1, ())


async def test_a_client_that_crashes_while_it_is_waited_for_may_come_back_and_refuse() -> None:
    registry = ClientRegistry(return_seconds=600)
    client = Client(registry, "edge")
    waiting = asyncio.create_task(registry.wait_settled(2, 60))
    await asyncio.sleep(0)
    registry.disconnected(client.stream)
    client = Client(registry, "edge")
    client.publish(2)
    client.answer("no such thing")
    propagation = await waiting
    assert (propagation.complete, propagation.accepted) == (True, 0)
    assert [each.reason for each in propagation.rejections] == ["no such thing"]


async def test_a_client_that_does_not_come_back_is_named() -> None:
    now = 100.0
    registry = ClientRegistry()
    registry._expected = ExpectedClients(0.05, clock=lambda: now)
    registry.disconnected(Client(registry, "gone").stream)
    propagation = await registry.wait_settled(2, 0.0)
    assert (propagation.complete, propagation.waiting_for) == (False, ("gone",))
    now += 1
    assert (await registry.wait_settled(2, 0.0)).complete


async def test_a_client_that_came_back_has_a_change_once_it_has_asked_for_all_its_types() -> None:
    """A starting Envoy requests clusters first, and listeners and routes once it has those."""
    registry = ClientRegistry(return_seconds=600)
    registry.expect({"edge": frozenset({CLUSTER, LISTENER, ENDPOINT})})
    waiting = asyncio.create_task(registry.wait_settled(1, 0.01))
    await asyncio.sleep(0)
    client = Client(registry, "edge")
    await asyncio.sleep(0.05)  # longer than the time that it waits for connected clients
    assert not waiting.done()
    client.request(type_url=LISTENER)
    client.request(type_url=LISTENER, response_nonce=client.pushes.pop().nonce)
    assert (await waiting).accepted == 1


@pytest.mark.slow
async def test_who_runs_is_known_to_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "clients.json"
    registry = ClientRegistry(return_seconds=600)
    Client(registry, "edge")
    left = Client(registry, "left")
    registry.disconnected(left.stream)
    keeping = asyncio.create_task(RunningClients(path, registry).run())
    await until(path.exists)
    keeping.cancel()
    again = ClientRegistry(return_seconds=600)
    RunningClients(path, again).restore()
    assert again.running() == {"edge": {CLUSTER}, "left": {CLUSTER}}


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"a": 7}', '{"a": null}', "\x00"])
async def test_a_file_that_is_damaged_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "clients.json").write_text(text)
    registry = ClientRegistry(return_seconds=600)
    RunningClients(tmp_path / "clients.json", registry).restore()
    assert registry.running() == {}


async def test_no_clients_is_settled() -> None:
    assert (await ClientRegistry().wait_settled(1, 60)).complete


async def test_old_clients_are_forgotten() -> None:
    registry = ClientRegistry()
    for number in range(210):
        registry.disconnected(Client(registry, f"edge-{number}").stream)
    assert len(registry.clients()) == 200
    assert "edge-0" not in {each.client_id for each in registry.clients()}


def test_what_a_client_does_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = ClientRegistry()
    client = Client(registry, "edge")
    assert registry.clients()[0].problem == ""
    monkeypatch.setattr(clients, "_LONG_UNANSWERED", 0.0)
    client.publish(2)
    assert registry.clients()[0].problem == "has not answered a response (Cluster) for 0 s"
    client.request(response_nonce="made up")
    assert registry.clients()[0].problem == "answered 1 responses that were not sent to it"
    registry.disconnected(client.stream, problem=Reason.quoted("did not read a response"))
    assert (registry.clients()[0].problem, registry.clients()[0].connected) == ("did not read a response", False)
    Client(registry, "edge")
    assert registry.clients()[0].problem == ""


def test_addresses_whose_streams_were_refused() -> None:
    registry = ClientRegistry()
    for number in range(60):
        registry.refused(f"ipv4:10.0.0.{number}", "no valid token")
    registry.refused("ipv4:10.0.0.30", "too many streams")
    refused = registry.refused_peers()
    assert len(refused) == 50
    assert (refused[0].peer, refused[0].reason, refused[0].count) == ("ipv4:10.0.0.30", "too many streams", 2)
    assert refused[-1].peer == "ipv4:10.0.0.10"
