from __future__ import annotations

from collections.abc import Iterator, Mapping

from xds_server.protocol.changes import changes_between
from xds_server.protocol.snapshot import CLUSTER, ENDPOINT, ROUTE, Resource, ResourceSnapshot


class Untouchable(Mapping[str, Resource]):
    def __getitem__(self, key: str) -> Resource:
        raise AssertionError("a shared mapping was looked into")

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("a shared mapping was looked into")

    def __len__(self) -> int:
        return 1


def clusters(**bodies: bytes) -> dict[str, Resource]:
    return {name: Resource.of(CLUSTER, name, body) for name, body in bodies.items()}


def test_added_changed_and_removed() -> None:
    before = ResourceSnapshot(1, {CLUSTER: clusters(same=b"1", changed=b"1", gone=b"1")})
    after = ResourceSnapshot(2, {CLUSTER: clusters(same=b"1", changed=b"2", new=b"1")})
    assert changes_between(before, after) == {CLUSTER: {"changed", "gone", "new"}}


def test_types_that_come_go_and_stay() -> None:
    before = ResourceSnapshot(1, {CLUSTER: clusters(a=b"1"), ROUTE: {}})
    after = ResourceSnapshot(2, {ENDPOINT: {"e": Resource.of(ENDPOINT, "e", b"")}, ROUTE: {}})
    assert changes_between(before, after) == {CLUSTER: {"a"}, ENDPOINT: {"e"}}


def test_a_shared_mapping_is_not_looked_into() -> None:
    shared = Untouchable()
    assert changes_between(ResourceSnapshot(1, {CLUSTER: shared}), ResourceSnapshot(2, {CLUSTER: shared})) == {}
