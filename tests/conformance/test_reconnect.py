"""Section "Incremental xDS" (reconnect) and the version's life beyond a stream."""

from __future__ import annotations

import pytest

from tests.conformance.client import Client, DeltaClient, Known, SotwClient, Update
from tests.conformance.driver import Server
from xds_server.protocol.snapshot import CLUSTER, ENDPOINT


def held(update: Update) -> Known:
    """Returns what a returning client reports of `update`, in either variant."""
    return {"held": update.versions, "version": update.version}


async def test_nothing_is_sent_to_a_client_that_lacks_nothing(server: Server, variant: type[Client]) -> None:
    """ "... may tell the server of its known resources to avoid resending them"; also after a server restart."""
    content = {CLUSTER: {"a": "1", "b": "1"}, ENDPOINT: {"a": "1", "b": "1"}}
    await server.publish(content)
    client = await variant.connect(server)
    await client.subscribe(CLUSTER)
    clusters = await client.accept(CLUSTER)
    await client.subscribe(ENDPOINT, "b", "a")
    endpoints = await client.accept(ENDPOINT)
    await client.session.close()
    await server.restart()
    client = await variant.connect(server)
    await client.subscribe(CLUSTER, **held(clusters))
    await client.subscribe(ENDPOINT, "a", "b", **held(endpoints))
    await client.hears_nothing()
    await server.publish({**content, CLUSTER: {"a": "2", "b": "1"}})
    assert (await client.accept(CLUSTER)).resources["a"] == "2"


async def test_delta_reconnect_gets_the_difference_and_the_removals(server: Server) -> None:
    await server.publish({CLUSTER: {"same": "1", "changed": "1", "gone": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(CLUSTER)
    before = await client.accept(CLUSTER)
    await client.session.close()
    await server.publish({CLUSTER: {"same": "1", "changed": "2", "new": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(CLUSTER, **held(before))
    update = await client.accept(CLUSTER)
    assert (update.resources, update.removed) == ({"changed": "2", "new": "1"}, frozenset())
    update = await client.accept(CLUSTER)
    assert (update.resources, update.removed) == ({}, {"gone"})
    await client.hears_nothing()


async def test_delta_reconnect_by_name(server: Server) -> None:
    await server.publish({ENDPOINT: {"same": "1", "gone": "1", "unwanted": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(ENDPOINT, "same", "gone", "unwanted")
    before = await client.accept(ENDPOINT)
    await client.session.close()
    await server.publish({ENDPOINT: {"same": "1", "new": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(ENDPOINT, "same", "gone", "new", **held(before))
    update = await client.accept(ENDPOINT)
    assert (update.resources, update.removed) == ({"new": "1"}, frozenset())
    update = await client.accept(ENDPOINT)
    assert (update.resources, update.removed) == ({}, {"gone"})


async def test_initial_versions_count_in_the_first_request_only(server: Server) -> None:
    """ "Because no state is assumed to be preserved from the previous stream"; the field is for that moment."""
    await server.publish({ENDPOINT: {"a": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(ENDPOINT, "a")
    update = await client.accept(ENDPOINT)
    await client.subscribe(ENDPOINT, "a", **held(update))
    assert (await client.accept(ENDPOINT)).resources == {"a": "1"}


async def test_sotw_reconnect_with_other_names(server: Server) -> None:
    """ "... only if they know that the client is not subscribing to a new resource"."""
    await server.publish({ENDPOINT: {"a": "1", "b": "1"}})
    client = await SotwClient.connect(server)
    await client.subscribe(ENDPOINT, "a")
    before = await client.accept(ENDPOINT)
    await client.session.close()
    client = await SotwClient.connect(server)
    await client.subscribe(ENDPOINT, "a", "b", version=before.version)
    assert (await client.accept(ENDPOINT)).resources == {"a": "1", "b": "1"}


async def test_sotw_reconnect_with_an_old_version(server: Server) -> None:
    await server.publish({CLUSTER: {"a": "1"}})
    client = await SotwClient.connect(server)
    await client.subscribe(CLUSTER)
    before = await client.accept(CLUSTER)
    await client.session.close()
    await server.publish({CLUSTER: {"a": "2"}})
    client = await SotwClient.connect(server)
    await client.subscribe(CLUSTER, version=before.version)
    assert (await client.accept(CLUSTER)).resources == {"a": "2"}


@pytest.mark.parametrize("type_url", [ENDPOINT, CLUSTER])
@pytest.mark.parametrize("asked_again", [False, True])
async def test_sotw_reconnect_asks_again_for_what_it_had_dropped(
    server: Server, type_url: str, asked_again: bool
) -> None:
    """The client's version covers all names that it sends, although it has dropped one of the resources."""
    await server.publish({type_url: {"a": "1", "b": "1"}})
    client = await SotwClient.connect(server)
    await client.subscribe(type_url, "a", "b")
    before = await client.accept(type_url)
    await client.unsubscribe(type_url, "b")
    await client.hears_nothing()
    if asked_again:  # the answer is lost, too
        await client.subscribe(type_url, "b")
    await client.session.close()
    client = await SotwClient.connect(server)
    await client.subscribe(type_url, "a", "b", version=before.version)
    assert (await client.accept(type_url)).resources["b"] == "1"
    await client.hears_nothing()
