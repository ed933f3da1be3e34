"""Sections "Eventual consistency considerations" (make before break) and "Resource warming"."""

from __future__ import annotations

from tests.conformance.client import Client, DeltaClient
from tests.conformance.driver import Content, Server
from xds_server.protocol.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET

BEFORE: Content = {CLUSTER: {"x": "1"}, ENDPOINT: {"x": "1"}, LISTENER: {"l": "1"}, ROUTE: {"r": "to x"}}
AFTER: Content = {CLUSTER: {"y": "1"}, ENDPOINT: {"x": "1", "y": "1"}, LISTENER: {"l": "2"}, ROUTE: {"r": "to y"}}


async def running(server: Server, variant: type[Client]) -> Client:
    """Returns a client that runs BEFORE, subscribed like Envoy."""
    await server.publish(BEFORE)
    client = await variant.connect(server)
    for type_url, names in ((CLUSTER, ()), (ENDPOINT, ("x", "y")), (LISTENER, ()), (ROUTE, ("r",))):
        await client.subscribe(type_url, *names)
        await client.accept(type_url)
    await client.hears_nothing()
    return client


async def test_make_before_break(server: Server, variant: type[Client]) -> None:
    """ "... a CDS/EDS update with both X and Y, then the RDS update ... and then a CDS/EDS update dropping X"."""
    client = await running(server, variant)
    await server.publish(AFTER)
    clusters = await client.receive(CLUSTER)
    assert "y" in clusters.resources
    assert not clusters.removed
    if client.mode == "sotw":
        assert clusters.resources == {"x": "1", "y": "1"}
    endpoints = await client.receive(ENDPOINT)
    assert endpoints.resources == {"y": "1"}
    listeners = await client.receive(LISTENER)
    # Neither the route nor the removal is sent before the client has the route's target.
    await client.hears_nothing()
    await client.ack(clusters)
    await client.hears_nothing()
    await client.ack(endpoints)
    routes = await client.receive(ROUTE)
    assert routes.resources == {"r": "to y"}
    await client.ack(listeners)
    await client.hears_nothing()
    await client.ack(routes)
    removal = await client.accept(CLUSTER)
    assert removal.removed == ({"x"} if client.mode == "delta" else set())
    assert removal.resources == ({} if client.mode == "delta" else {"y": "1"})
    await client.hears_nothing()


async def test_a_nack_is_an_answer_for_the_order_too(server: Server, variant: type[Client]) -> None:
    """A refused resource must not delay valid ones for ever."""
    client = await running(server, variant)
    await server.publish(AFTER)
    await client.nack(await client.receive(CLUSTER))
    await client.accept(ENDPOINT)
    await client.accept(LISTENER)
    assert (await client.accept(ROUTE)).resources == {"r": "to y"}


async def test_removals_in_reverse_order(server: Server) -> None:
    client = await running(server, DeltaClient)
    await server.publish({})
    for type_url, name in ((ROUTE, "r"), (LISTENER, "l"), (ENDPOINT, "x"), (CLUSTER, "x")):
        update = await client.receive(type_url)
        assert (update.resources, update.removed) == ({}, {name})
        await client.ack(update)
    await client.hears_nothing()


async def test_a_removal_taken_back_while_it_waits_is_not_sent(server: Server, variant: type[Client]) -> None:
    client = await running(server, variant)
    endpoints = {"x": "1", "y": "1"}
    await server.publish({**BEFORE, CLUSTER: {"y": "1"}, ENDPOINT: endpoints})
    clusters = await client.receive(CLUSTER)
    await client.accept(ENDPOINT)
    await server.publish({**BEFORE, CLUSTER: {"x": "1", "y": "1"}, ENDPOINT: endpoints})
    await client.ack(clusters)
    await client.hears_nothing()


async def test_endpoints_come_again_after_their_cluster_changed(server: Server, variant: type[Client]) -> None:
    """ "Warming ... is completed only when a new ClusterLoadAssignment response is supplied ... even though there
    is no change in endpoints"."""
    await server.publish({CLUSTER: {"x": "1", "y": "1"}, ENDPOINT: {"x": "1", "y": "1"}})
    client = await variant.connect(server)
    await client.subscribe(CLUSTER)
    await client.accept(CLUSTER)
    await client.subscribe(ENDPOINT, "x", "y")
    await client.accept(ENDPOINT)
    await server.publish({CLUSTER: {"x": "2", "y": "1"}, ENDPOINT: {"x": "1", "y": "1"}})
    await client.receive(CLUSTER)
    # Before the ACK: Envoy acknowledges a warming cluster only once it has the endpoints.
    assert (await client.accept(ENDPOINT)).resources == {"x": "1"}


async def test_endpoints_for_a_cluster_that_changed_while_the_client_was_away(server: Server) -> None:
    """A reconnecting client holds the endpoints, but its new cluster warms and waits for them."""
    await server.publish({CLUSTER: {"x": "1"}, ENDPOINT: {"x": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(CLUSTER)
    held = (await client.accept(CLUSTER)).versions
    await client.subscribe(ENDPOINT, "x")
    held_endpoints = (await client.accept(ENDPOINT)).versions
    await client.session.close()
    await server.publish({CLUSTER: {"x": "2"}, ENDPOINT: {"x": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(CLUSTER, held=held)
    await client.receive(CLUSTER)
    await client.subscribe(ENDPOINT, "x", held=held_endpoints)
    assert (await client.accept(ENDPOINT)).resources == {"x": "1"}


async def test_endpoints_that_flap_hold_up_no_route(server: Server, variant: type[Client]) -> None:
    """A route waits for what it may depend on, not for later changes."""
    client = await running(server, variant)
    await server.publish({**BEFORE, ENDPOINT: {"x": "2"}})
    endpoints = await client.receive(ENDPOINT)
    await server.publish({**BEFORE, ENDPOINT: {"x": "2"}, ROUTE: {"r": "other"}})
    await server.publish({**BEFORE, ENDPOINT: {"x": "3"}, ROUTE: {"r": "other"}})
    await client.hears_nothing()
    await client.ack(endpoints)
    assert (await client.receive(ENDPOINT)).resources == {"x": "3"}
    assert (await client.accept(ROUTE)).resources == {"r": "other"}


async def test_secrets_come_before_what_shows_them(server: Server, variant: type[Client]) -> None:
    content: Content = {SECRET: {"s": "1"}, CLUSTER: {"x": "1"}, LISTENER: {"l": "1"}}
    await server.publish(content)
    client = await variant.connect(server)
    for type_url, names in ((CLUSTER, ()), (LISTENER, ()), (SECRET, ("s",))):
        await client.subscribe(type_url, *names)
        await client.accept(type_url)
    await server.publish({SECRET: {"s": "2"}, CLUSTER: {"x": "2"}, LISTENER: {"l": "2"}})
    secrets = await client.receive(SECRET)
    assert secrets.resources == {"s": "2"}
    await client.accept(CLUSTER)
    await client.accept(LISTENER)
    await client.hears_nothing()
    # A secret that waits for an answer to the previous one delays only resources of its own push.
    await server.publish({SECRET: {"s": "3"}, CLUSTER: {"x": "3"}, LISTENER: {"l": "2"}})
    await client.hears_nothing()
    await client.ack(secrets)
    assert (await client.accept(SECRET)).resources == {"s": "3"}
    assert (await client.accept(CLUSTER)).resources == {"x": "3"}


async def test_a_renewed_secret_is_all_that_is_sent(server: Server, variant: type[Client]) -> None:
    await server.publish({SECRET: {"s": "1", "other": "1"}, CLUSTER: {"x": "1"}})
    client = await variant.connect(server)
    await client.subscribe(CLUSTER)
    await client.accept(CLUSTER)
    await client.subscribe(SECRET, "s")
    assert (await client.accept(SECRET)).resources == {"s": "1"}
    await server.publish({SECRET: {"s": "2", "other": "2"}, CLUSTER: {"x": "1"}})
    assert (await client.accept(SECRET)).resources == {"s": "2"}
    await client.hears_nothing()


async def test_secrets_go_last(server: Server) -> None:
    await server.publish({SECRET: {"s": "1"}, LISTENER: {"l": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(LISTENER)
    await client.accept(LISTENER)
    await client.subscribe(SECRET, "s")
    await client.accept(SECRET)
    await server.publish({})
    for type_url, name in ((LISTENER, "l"), (SECRET, "s")):
        update = await client.receive(type_url)
        assert (update.resources, update.removed) == ({}, {name})
        await client.ack(update)
    await client.hears_nothing()
