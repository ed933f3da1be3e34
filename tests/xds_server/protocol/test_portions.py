"""Large content is sent in portions. What waits for a client that does not read, guesses nonces, or requests
everything.
"""

from __future__ import annotations

from typing import Any

import pytest
from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.protocol import bounds
from xds_server.protocol.changes import changes_between
from xds_server.protocol.delta import DeltaStream
from xds_server.protocol.encoding import ResponseEncoder
from xds_server.protocol.errors import BoundsError, UnknownAnswersError
from xds_server.protocol.push import Push
from xds_server.protocol.snapshot import (
    CLUSTER,
    POLICY_KEY,
    POLICY_ORGANISATION,
    POLICY_ROUTE,
    Resource,
    ResourceSnapshot,
)
from xds_server.protocol.sotw import SotwStream

Delta, Sotw = discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DiscoveryRequest
NODE = discovery_pb2.Node(id="n")


def snapshot(revision: int, count: int, *types: str, size: int = 1_000) -> ResourceSnapshot:
    body = bytes([revision]) * size
    return ResourceSnapshot(
        revision,
        {
            each: {f"{n:06}": Resource.of(each, f"{n:06}", body) for n in range(count)}
            for each in types or (CLUSTER,)
        },
    )


class Reader:
    """A stream whose pushes are answered one after the other; collects their contents."""

    def __init__(
        self, content: ResourceSnapshot, encoder: ResponseEncoder | None = None, secret: bytes = b"s"
    ) -> None:
        self.content = content
        self.stream = DeltaStream(content, encoder or ResponseEncoder(), secret=secret)
        self.held: dict[str, dict[str, bytes]] = {}

    def request(self, type_url: str = CLUSTER, **values: Any) -> list[Push]:
        return self.stream.on_request(Delta(node=NODE, type_url=type_url, **values))

    def publish(self, content: ResourceSnapshot) -> list[Push]:
        before, self.content = self.content, content
        return self.stream.on_snapshot(content, changes_between(before, content))

    def read(self, pushes: list[Push]) -> list[Push]:
        """Reads and answers until nothing arrives. Returns everything that was read."""
        unread, seen = list(pushes), []
        while unread:
            push = unread.pop(0)
            seen.append(push)
            response = discovery_pb2.DeltaDiscoveryResponse.FromString(push.payload)
            held = self.held.setdefault(push.type_url, {})
            held.update({each.name: each.resource.value for each in response.resources})
            for name in response.removed_resources:
                held.pop(name, None)
            unread += self.request(push.type_url, response_nonce=response.nonce)
        return seen


def test_a_client_that_answers_gets_everything_in_portions() -> None:
    reader = Reader(snapshot(1, 5_000))
    pushes = reader.read(reader.request())
    assert [each.size <= limit for each, limit in zip(pushes, (70_000, *[1_100_000] * 9), strict=False)]
    assert len(pushes) < 10
    assert reader.held[CLUSTER] == {name: each.body for name, each in reader.content.of_type(CLUSTER).items()}
    assert reader.stream.settled(1)
    pushes = reader.read(reader.publish(snapshot(2, 10)))
    assert reader.held[CLUSTER] == {name: each.body for name, each in reader.content.of_type(CLUSTER).items()}
    assert reader.stream.settled(2)


def test_it_is_not_settled_before_the_last_portion_was_answered() -> None:
    reader = Reader(snapshot(1, 200))
    (push,) = reader.request()
    assert not reader.stream.settled(1)
    (push,) = reader.request(response_nonce=push.nonce)
    assert not reader.stream.settled(1)
    assert reader.request(response_nonce=push.nonce) == []
    assert reader.stream.settled(1)


@pytest.mark.slow
def test_streams_share_the_bytes_of_their_portions() -> None:
    encoder, content = ResponseEncoder(), snapshot(1, 5_000)
    all_of_them = [Reader(content, encoder, secret=bytes([number])) for number in range(20)]
    read = [reader.read(reader.request()) for reader in all_of_them]
    for portion in zip(*read, strict=True):
        assert len({id(push.shared) for push in portion}) == 1
        assert len({push.own for push in portion}) == len(portion)


@pytest.mark.parametrize("mode", ["delta", "sotw"])
def test_a_client_that_does_not_read_is_owed_one_push_per_type(mode: str) -> None:
    content = snapshot(1, 1_000)
    stream: Any = (DeltaStream if mode == "delta" else SotwStream)(content, ResponseEncoder(), secret=b"s")
    request: Any = Delta if mode == "delta" else Sotw
    pushes = stream.on_request(request(node=NODE, type_url=CLUSTER))
    for number in range(50):
        pushes += stream.on_request(request(type_url=CLUSTER, response_nonce=str(number + 1)))
        pushes += stream.on_request(request(type_url=CLUSTER, response_nonce=f"{number + 1}-0123456789abcdef"))
        before, content = content, snapshot(number + 2, 1_000)
        pushes += stream.on_snapshot(content, changes_between(before, content))
    assert len(pushes) == 1
    assert stream.unknown_answers == 100
    with pytest.raises(UnknownAnswersError, match="101 answers carry a response_nonce that was never sent"):
        stream.on_request(request(type_url=CLUSTER, response_nonce="7"))


def test_an_answer_counts_on_the_stream_that_the_response_came_by() -> None:
    content, encoder = snapshot(1, 3), ResponseEncoder()
    one, other = Reader(content, encoder, b"1"), Reader(content, encoder, b"2")
    (push,) = one.request()
    assert len(other.request()) == 1
    other.request(response_nonce=push.nonce)
    assert (other.stream.unknown_answers, other.stream.settled(1)) == (1, False)


def test_late_answers_are_no_guesses() -> None:
    reader = Reader(snapshot(1, 3))
    (push,) = reader.request()
    for _ in range(500):
        reader.request(response_nonce=push.nonce)
    assert reader.stream.unknown_answers == 0


def test_wildcard_and_back_makes_no_pushes() -> None:
    reader = Reader(snapshot(1, 2_000))
    pushes = reader.request()
    for _ in range(50):
        pushes += reader.request(resource_names_unsubscribe=["*"])
        pushes += reader.request(resource_names_subscribe=["*"])
    assert len(pushes) == 1
    reader.read(pushes)
    assert len(reader.held[CLUSTER]) == 2_000


def test_removals_come_in_portions_too() -> None:
    reader = Reader(snapshot(1, 20_000, size=1))
    reader.read(reader.request())
    pushes = reader.read(reader.publish(ResourceSnapshot(2, {CLUSTER: {}})))
    assert len(pushes) > 1
    assert reader.held[CLUSTER] == {}
    assert reader.stream.settled(2)


def test_a_translator_gets_its_routes_whole_and_last() -> None:
    types = (POLICY_ORGANISATION, POLICY_KEY, POLICY_ROUTE)
    reader = Reader(snapshot(1, 3_000, *types))
    opening = [push for type_url in types for push in reader.request(type_url)]
    seen = reader.read(opening)
    assert [each.type_url for each in seen if each.type_url == POLICY_ROUTE] == [POLICY_ROUTE]
    assert seen[-1].type_url == POLICY_ROUTE
    assert {len(each) for each in reader.held.values()} == {3_000}


@pytest.mark.slow
def test_what_one_stream_may_ask_for() -> None:
    reader = Reader(snapshot(1, 3))
    reader.request()
    with pytest.raises(BoundsError, match="250,001 names are listed; accepted: at most 250,000"):
        reader.request(resource_names_subscribe=[str(number) for number in range(bounds.MAX_NAMES + 1)])
    versions = dict.fromkeys(map(str, range(bounds.MAX_NAMES + 1)), "v")
    with pytest.raises(BoundsError, match="250,001 names are listed"):
        Reader(snapshot(1, 3)).request(initial_resource_versions=versions)
    sotw = SotwStream(snapshot(1, 3), ResponseEncoder())
    with pytest.raises(BoundsError, match="250,001 names are listed"):
        sotw.on_request(Sotw(node=NODE, type_url=CLUSTER, resource_names=map(str, range(bounds.MAX_NAMES + 1))))
    reader = Reader(snapshot(1, 3))
    for number in range(bounds.MAX_TYPES):
        reader.request(f"type.googleapis.com/t{number}")
    with pytest.raises(BoundsError, match="64 types"):
        reader.request("type.googleapis.com/one-more")
    with pytest.raises(BoundsError, match="type_url"):
        Reader(snapshot(1, 3)).request("t" * 257)
    with pytest.raises(BoundsError, match=r"node.id: 257 bytes; accepted: at most 256"):
        DeltaStream(snapshot(1, 3), ResponseEncoder()).on_request(Delta(node=discovery_pb2.Node(id="n" * 257)))


def test_a_reason_to_refuse_is_kept_within_bounds() -> None:
    reader = Reader(snapshot(1, 3))
    (push,) = reader.request()
    reader.request(response_nonce=push.nonce, error_detail=discovery_pb2.Status(message="x" * 1_000_000))
    (refusal,) = reader.stream.take_refusals()
    assert len(refusal.reason) == bounds.MAX_REASON
