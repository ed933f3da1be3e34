from __future__ import annotations

import struct

import pytest
from google.protobuf.any_pb2 import Any
from hypothesis import given, strategies as st
from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.protocol.encoding import ResponseEncoder, set_version
from xds_server.protocol.snapshot import CLUSTER, Resource
from xds_server.protocol.wire import WireType, fields, length_delimited, tag, text, varint

resources = st.dictionaries(st.text(min_size=1), st.binary(max_size=300), max_size=4).map(
    lambda bodies: [Resource.of(CLUSTER, name, body) for name, body in bodies.items()]
)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (1 << 32, "8080808010")],
)
def test_varint(value: int, encoded: str) -> None:
    assert varint(value).hex() == encoded


def test_varint_refuses_negative_numbers() -> None:
    with pytest.raises(ValueError, match="negative"):
        varint(-1)


@given(st.text(), st.binary(max_size=70_000))
def test_fields_are_what_protobuf_reads(type_url: str, value: bytes) -> None:
    assert Any.FromString(text(1, type_url) + length_delimited(2, value)) == Any(type_url=type_url, value=value)


@given(st.text(min_size=1), st.integers(1, 2**64 - 1), st.integers(1, 2**32 - 1), st.floats(1, 2))
def test_fields_read_every_wire_type(name: str, large: int, small: int, real: float) -> None:
    unknown = length_delimited(1, name.encode()) + tag(2, WireType.VARINT) + varint(large)
    unknown += (
        tag(3, WireType.I32) + small.to_bytes(4, "little") + tag(400, WireType.I64) + struct.pack("<d", real)
    )
    read = list(fields(unknown))
    assert [(each.number, each.wire_type) for each in read] == [
        (1, WireType.LENGTH_DELIMITED),
        (2, WireType.VARINT),
        (3, WireType.I32),
        (400, WireType.I64),
    ]
    assert [each.value for each in read] == [
        name.encode(),
        varint(large),
        small.to_bytes(4, "little"),
        struct.pack("<d", real),
    ]
    assert b"".join(each.encoded for each in read) == unknown


@pytest.mark.parametrize("broken", ["0a", "0a05ff", "08", "08ff", "0d0000", "0b", "0c", "0f", "0001", "80"])
def test_fields_refuse_what_is_no_message(broken: str) -> None:
    with pytest.raises(ValueError, match="not a protobuf message"):
        list(fields(bytes.fromhex(broken)))


@given(resources, st.lists(st.text(min_size=1), max_size=3))
def test_delta_response(resources: list[Resource], removed: list[str]) -> None:
    expected = discovery_pb2.DeltaDiscoveryResponse(
        system_version_info="7",
        type_url=CLUSTER,
        nonce="n",
        removed_resources=removed,
        resources=[
            discovery_pb2.Resource(
                name=each.name, version=each.version, resource=Any(type_url=CLUSTER, value=each.body)
            )
            for each in resources
        ],
    )
    payload = b"".join(ResponseEncoder().delta(CLUSTER, resources, removed, nonce="n", revision=7))
    assert discovery_pb2.DeltaDiscoveryResponse.FromString(payload) == expected


@given(resources)
def test_sotw_response(resources: list[Resource]) -> None:
    expected = discovery_pb2.DiscoveryResponse(
        version_info="v",
        type_url=CLUSTER,
        nonce="n",
        resources=[Any(type_url=CLUSTER, value=each.body) for each in resources],
    )
    payload = b"".join(ResponseEncoder().sotw(CLUSTER, resources, version="v", nonce="n"))
    assert discovery_pb2.DiscoveryResponse.FromString(payload) == expected


def test_streams_share_what_they_have_in_common() -> None:
    encoder = ResponseEncoder()
    one = Resource.of(CLUSTER, "a", b"1")
    first = encoder.delta(CLUSTER, [one], [], nonce="1", revision=1)
    second = encoder.delta(CLUSTER, [one], [], nonce="2", revision=1)
    assert encoder.encoded == 1
    assert first != second
    encoder.delta(CLUSTER, [Resource.of(CLUSTER, "a", b"2")], [], nonce="1", revision=1)
    encoder.delta(CLUSTER, [one], ["b"], nonce="1", revision=1)
    assert encoder.encoded == 3


def test_the_cache_forgets_what_was_not_used_for_longest() -> None:
    encoder = ResponseEncoder(max_bytes=1000)
    old, used, new = (Resource.of(CLUSTER, name, bytes(300)) for name in ("old", "used", "new"))
    for each in (old, used, old, used, new, used):
        encoder.delta(CLUSTER, [each], [], nonce="1", revision=1)
    assert encoder.encoded == 3
    encoder.delta(CLUSTER, [old], [], nonce="1", revision=1)
    assert encoder.encoded == 4


def test_set_version_depends_on_names_and_versions_alone() -> None:
    a, b = Resource.of(CLUSTER, "a", b"1"), Resource.of(CLUSTER, "b", b"2")
    assert set_version([a, b]) == set_version([b, a])
    assert len({set_version(each) for each in ([], [a], [b], [a, b], [Resource.of(CLUSTER, "a", b"2")])}) == 5
