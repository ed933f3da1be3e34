"""Sections "ACK/NACK and resource type instance version", "NACK", "When to send an update", "Resource updates"."""

from __future__ import annotations

from tests.conformance.client import Client, DeltaClient, SotwClient
from tests.conformance.driver import Server
from xds_server.protocol.snapshot import CLUSTER, ENDPOINT, ROUTE


async def test_an_ack_is_not_answered(server: Server, variant: type[Client]) -> None:
    """ "The management server should only send updates ... when the resources ... have changed"."""
    await server.publish({CLUSTER: {"a": "1"}})
    client = await variant.connect(server)
    await client.subscribe(CLUSTER)
    update = await client.accept(CLUSTER)
    assert update.resources == {"a": "1"}
    await client.hears_nothing()


async def test_the_same_content_again_is_not_sent(server: Server, variant: type[Client]) -> None:
    await server.publish({CLUSTER: {"a": "1"}})
    client = await variant.connect(server)
    await client.subscribe(CLUSTER)
    await client.accept(CLUSTER)
    await server.publish({CLUSTER: {"a": "1"}})
    await client.hears_nothing()


async def test_a_nack_is_not_answered_until_content_changes(server: Server, variant: type[Client]) -> None:
    """ "NACK ... is indicated by the presence of the error_detail field"; then "a later update may succeed"."""
    await server.publish({CLUSTER: {"a": "1"}})
    client = await variant.connect(server)
    await client.subscribe(CLUSTER)
    await client.nack(await client.receive(CLUSTER))
    await client.hears_nothing()
    await server.publish({CLUSTER: {"a": "1"}})
    await client.hears_nothing()
    await server.publish({CLUSTER: {"a": "2"}})
    assert (await client.accept(CLUSTER)).resources == {"a": "2"}
    await client.hears_nothing()


async def test_a_nack_of_one_type_holds_up_no_other(server: Server, variant: type[Client]) -> None:
    """ "... each resource type has its own version even though all ... are being sent on the same stream"."""
    await server.publish({CLUSTER: {"a": "1"}, ROUTE: {"r": "1"}})
    client = await variant.connect(server)
    await client.subscribe(CLUSTER)
    await client.nack(await client.receive(CLUSTER))
    await client.subscribe(ROUTE, "r")
    assert (await client.accept(ROUTE)).resources == {"r": "1"}


async def test_the_good_neighbours_of_a_refused_resource_come_with_its_correction(server: Server) -> None:
    """ "NACK signifies unsuccessful configuration": the server does not know which part of the response was not
    applied.
    """
    await server.publish({ROUTE: {"good": "1", "bad": "1", "other": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(ROUTE, "good", "bad")
    await client.nack(await client.receive(ROUTE))
    await client.subscribe(ROUTE, "other")
    assert (await client.accept(ROUTE)).resources == {"other": "1"}
    await server.publish({ROUTE: {"good": "1", "bad": "2", "other": "1"}})
    assert (await client.accept(ROUTE)).resources == {"good": "1", "bad": "2"}
    await client.hears_nothing()


async def test_one_unanswered_push_and_later_changes_merge(server: Server, variant: type[Client]) -> None:
    """ "This means that the management server only needs to respond to the latest ..."; our server never piles up
    pushes.
    """
    await server.publish({CLUSTER: {"a": "1", "b": "1"}})
    client = await variant.connect(server)
    await client.subscribe(CLUSTER)
    first = await client.receive(CLUSTER)
    await server.publish({CLUSTER: {"a": "2", "b": "1"}})
    await server.publish({CLUSTER: {"a": "3", "b": "2"}})
    await client.hears_nothing()
    await client.ack(first)
    assert (await client.accept(CLUSTER)).resources == {"a": "3", "b": "2"}
    await client.hears_nothing()


async def test_merged_changes_go_out_after_a_nack_too(server: Server, variant: type[Client]) -> None:
    await server.publish({CLUSTER: {"a": "1"}})
    client = await variant.connect(server)
    await client.subscribe(CLUSTER)
    first = await client.receive(CLUSTER)
    await server.publish({CLUSTER: {"a": "2"}})
    await client.nack(first)
    assert (await client.accept(CLUSTER)).resources == {"a": "2"}


async def test_only_the_first_request_carries_the_node(server: Server, variant: type[Client]) -> None:
    """Section "Requests": "Only the first request on a stream is guaranteed to carry the node identifier"."""
    await server.publish({CLUSTER: {"a": "1"}, ENDPOINT: {"a": "1"}})
    client = await variant.connect(server)
    await client.subscribe(CLUSTER)
    await client.accept(CLUSTER)
    await client.subscribe(ENDPOINT, "a")
    assert (await client.accept(ENDPOINT)).resources == {"a": "1"}


async def test_two_streams_of_one_node(server: Server, variant: type[Client]) -> None:
    """A reconnect may overlap the old stream; each has its own nonces and state."""
    await server.publish({CLUSTER: {"a": "1"}})
    clients = [await variant.connect(server), await variant.connect(server)]
    for client in clients:
        await client.subscribe(CLUSTER)
        assert (await client.accept(CLUSTER)).resources == {"a": "1"}
    await server.publish({CLUSTER: {"a": "2"}})
    for client in clients:
        assert (await client.accept(CLUSTER)).resources == {"a": "2"}
    await clients[0].session.close()
    await server.publish({CLUSTER: {"a": "3"}})
    assert (await clients[1].accept(CLUSTER)).resources == {"a": "3"}


async def test_sotw_ignores_a_stale_nonce(server: Server) -> None:
    """ "The management server should not send a DiscoveryResponse for any ... that has a stale nonce"."""
    await server.publish({ENDPOINT: {"a": "1", "b": "1"}})
    client = await SotwClient.connect(server)
    await client.subscribe(ENDPOINT, "a")
    first = await client.accept(ENDPOINT)
    await server.publish({ENDPOINT: {"a": "2", "b": "1"}})
    second = await client.receive(ENDPOINT)
    client.nonces[ENDPOINT] = first.nonce
    await client.subscribe(ENDPOINT, "b")
    await client.hears_nothing()
    await client.ack(second)
    assert (await client.accept(ENDPOINT)).resources == {"b": "1"}


async def test_delta_honours_a_subscription_with_a_stale_nonce(server: Server) -> None:
    """ "... the server must honor changes to the subscription state even if the nonce is stale"."""
    await server.publish({ENDPOINT: {"a": "1", "b": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(ENDPOINT, "a")
    await client.accept(ENDPOINT)
    await client.subscribe(ENDPOINT, "b", nonce="stale")
    assert (await client.accept(ENDPOINT)).resources == {"b": "1"}


async def test_an_unknown_nonce_is_no_ack(server: Server) -> None:
    await server.publish({ENDPOINT: {"a": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(ENDPOINT, "a")
    update = await client.receive(ENDPOINT)
    await server.publish({ENDPOINT: {"a": "2"}})
    await client.subscribe(ENDPOINT, nonce="stale")
    await client.hears_nothing()
    await client.ack(update)
    assert (await client.accept(ENDPOINT)).resources == {"a": "2"}
