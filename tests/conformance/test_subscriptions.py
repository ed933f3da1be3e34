"""Sections "How the client specifies what resources to return", "(Un)subscribing ...", "Deleting Resources"."""

from __future__ import annotations

import pytest
from trunkline_proto.xds.v1 import discovery_pb2

from tests.conformance.client import Client, DeltaClient, SotwClient
from tests.conformance.driver import Server
from xds_server.protocol.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE


async def test_an_empty_first_request_is_a_wildcard(server: Server, variant: type[Client]) -> None:
    await server.publish({LISTENER: {"a": "1", "b": "1"}})
    client = await variant.connect(server)
    await client.subscribe(LISTENER)
    assert (await client.accept(LISTENER)).resources == {"a": "1", "b": "1"}


async def test_a_wildcard_over_nothing_is_answered(server: Server, variant: type[Client]) -> None:
    """A client initialises on the first response; silence would cost it its fetch timeout."""
    client = await variant.connect(server)
    await client.subscribe(CLUSTER)
    update = await client.accept(CLUSTER)
    assert (update.resources, update.removed) == ({}, frozenset())
    await client.hears_nothing()


async def test_no_wildcard_for_types_named_by_others(server: Server, variant: type[Client]) -> None:
    """ "For Listener and Cluster resource types, there is also a wildcard subscription"."""
    await server.publish({ENDPOINT: {"a": "1"}, ROUTE: {"r": "1"}})
    client = await variant.connect(server)
    await client.subscribe(ENDPOINT)
    await client.subscribe(ROUTE)
    await client.hears_nothing()


async def test_the_wildcard_ends_as_specified_in_delta(server: Server) -> None:
    """Follows the example "And in incremental": empty, +A, -*, -A."""
    await server.publish({CLUSTER: {"A": "1", "B": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(CLUSTER)
    await client.accept(CLUSTER)
    await client.subscribe(CLUSTER, "A")
    assert (await client.accept(CLUSTER)).resources == {"A": "1"}
    await client.unsubscribe(CLUSTER, "*")
    await client.hears_nothing()
    await server.publish({CLUSTER: {"A": "2", "B": "2"}})
    assert (await client.accept(CLUSTER)).resources == {"A": "2"}
    await client.unsubscribe(CLUSTER, "A")
    await client.hears_nothing()
    await server.publish({CLUSTER: {"A": "3", "B": "3"}})
    await client.hears_nothing()


async def test_the_wildcard_ends_as_specified_in_sotw(server: Server) -> None:
    """Follows the example "in SotW": empty, {*, A}, {A}, empty."""
    await server.publish({CLUSTER: {"A": "1", "B": "1"}})
    client = await SotwClient.connect(server)
    await client.subscribe(CLUSTER)
    await client.accept(CLUSTER)
    await client.subscribe(CLUSTER, "*", "A")
    assert (await client.accept(CLUSTER)).resources == {"A": "1", "B": "1"}
    await client.unsubscribe(CLUSTER, "*")
    await client.hears_nothing()
    await server.publish({CLUSTER: {"A": "2", "B": "2"}})
    assert (await client.accept(CLUSTER)).resources == {"A": "2"}
    await client.unsubscribe(CLUSTER, "A")
    await client.hears_nothing()
    await server.publish({CLUSTER: {"A": "3", "B": "3"}})
    await client.hears_nothing()


async def test_an_explicit_wildcard_after_names(server: Server, variant: type[Client]) -> None:
    await server.publish({CLUSTER: {"a": "1", "b": "1"}})
    client = await variant.connect(server)
    await client.subscribe(CLUSTER, "a")
    assert (await client.accept(CLUSTER)).resources == {"a": "1"}
    await client.subscribe(CLUSTER, "*")
    update = await client.accept(CLUSTER)
    assert update.resources["b"] == "1"
    await server.publish({CLUSTER: {"a": "1", "b": "2"}})
    assert (await client.accept(CLUSTER)).resources["b"] == "2"


async def test_resubscribing_to_a_known_name_resends_it(server: Server) -> None:
    """ "However, the server *must* still provide those resources in the response"."""
    await server.publish({ENDPOINT: {"a": "1", "b": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(ENDPOINT, "a", "b")
    await client.accept(ENDPOINT)
    await client.subscribe(ENDPOINT, "a")
    assert (await client.accept(ENDPOINT)).resources == {"a": "1"}


async def test_sotw_resends_a_newly_requested_resource(server: Server) -> None:
    """ "... must resend any newly requested resources, even if it previously sent those resources"."""
    await server.publish({ENDPOINT: {"a": "1", "b": "1"}})
    client = await SotwClient.connect(server)
    await client.subscribe(ENDPOINT, "a", "b")
    await client.accept(ENDPOINT)
    await client.unsubscribe(ENDPOINT, "b")
    await client.hears_nothing()
    await client.subscribe(ENDPOINT, "b")
    assert (await client.accept(ENDPOINT)).resources == {"b": "1"}


async def test_a_name_that_does_not_exist_in_delta(server: Server) -> None:
    """ "Knowing When a Requested Resource Does Not Exist": the client is informed at once, and the subscription
    stays.
    """
    client = await DeltaClient.connect(server)
    await client.subscribe(ENDPOINT, "later")
    update = await client.accept(ENDPOINT)
    assert (update.resources, update.removed) == ({}, {"later"})
    await client.hears_nothing()
    await server.publish({ENDPOINT: {"later": "1"}})
    assert (await client.accept(ENDPOINT)).resources == {"later": "1"}


async def test_a_name_that_does_not_exist_in_sotw(server: Server) -> None:
    """ "... if one of those resources springs into existence later, the server must send an update"."""
    await server.publish({ENDPOINT: {"now": "1"}})
    client = await SotwClient.connect(server)
    await client.subscribe(ENDPOINT, "later")
    await client.hears_nothing()
    await server.publish({ENDPOINT: {"now": "1", "later": "1"}})
    assert (await client.accept(ENDPOINT)).resources == {"later": "1"}


async def test_unsubscribing_is_not_answered(server: Server, variant: type[Client]) -> None:
    """ "... a server does not need to send any response if a request does nothing except unsubscribe"."""
    await server.publish({ENDPOINT: {"a": "1", "b": "1"}})
    client = await variant.connect(server)
    await client.subscribe(ENDPOINT, "a", "b")
    await client.accept(ENDPOINT)
    await client.unsubscribe(ENDPOINT, "a", "phantom")
    await client.hears_nothing()
    await server.publish({ENDPOINT: {"a": "2", "b": "2"}})
    assert (await client.accept(ENDPOINT)).resources == {"b": "2"}


async def test_unsubscribing_a_name_under_a_wildcard_is_answered(server: Server) -> None:
    """ "... the server must send a response that includes the specific resource in either ..."."""
    await server.publish({CLUSTER: {"a": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(CLUSTER, "*", "a", "gone")
    update = await client.accept(CLUSTER)
    assert (update.resources, update.removed) == ({"a": "1"}, {"gone"})
    await client.unsubscribe(CLUSTER, "a", "gone")
    update = await client.accept(CLUSTER)
    assert (update.resources, update.removed) == ({"a": "1"}, {"gone"})
    await client.hears_nothing()


async def test_delta_sends_what_changed_only(server: Server) -> None:
    """ "Grouping Resources into Responses": "it does not need to resend the 99"."""
    await server.publish({CLUSTER: {"a": "1", "b": "1", "c": "1"}})
    client = await DeltaClient.connect(server)
    await client.subscribe(CLUSTER)
    await client.accept(CLUSTER)
    await server.publish({CLUSTER: {"a": "1", "b": "2", "d": "1"}})
    update = await client.accept(CLUSTER)
    assert (update.resources, update.removed) == ({"b": "2", "d": "1"}, frozenset())
    update = await client.accept(CLUSTER)
    assert (update.resources, update.removed) == ({}, {"c"})


async def test_sotw_sends_all_clusters_and_only_changed_endpoints(server: Server) -> None:
    """ "... it must resend all 100 of them", for Listener and Cluster; other types are as in delta."""
    await server.publish({CLUSTER: {"a": "1", "b": "1"}, ENDPOINT: {"a": "1", "b": "1"}})
    client = await SotwClient.connect(server)
    await client.subscribe(CLUSTER)
    await client.accept(CLUSTER)
    await client.subscribe(ENDPOINT, "a", "b")
    await client.accept(ENDPOINT)
    await server.publish({CLUSTER: {"a": "1", "b": "1", "c": "1"}, ENDPOINT: {"a": "2", "b": "1"}})
    assert (await client.accept(CLUSTER)).resources == {"a": "1", "b": "1", "c": "1"}
    assert (await client.accept(ENDPOINT)).resources == {"a": "2"}


async def test_a_removal_in_sotw_is_a_smaller_set(server: Server) -> None:
    """ "Deleting Resources": "a response containing no resources means to delete all resources of that type"."""
    await server.publish({CLUSTER: {"a": "1", "b": "1"}})
    client = await SotwClient.connect(server)
    await client.subscribe(CLUSTER)
    await client.accept(CLUSTER)
    await server.publish({CLUSTER: {"a": "1"}})
    assert (await client.accept(CLUSTER)).resources == {"a": "1"}
    await server.publish({CLUSTER: {}})
    assert (await client.accept(CLUSTER)).resources == {}


async def test_sotw_has_no_word_for_a_removed_route(server: Server) -> None:
    """ "... for other resource types, the API provides no mechanism ... that resources have been deleted"."""
    await server.publish({ROUTE: {"a": "1", "b": "1"}})
    client = await SotwClient.connect(server)
    await client.subscribe(ROUTE, "a", "b")
    await client.accept(ROUTE)
    await server.publish({ROUTE: {"b": "1"}})
    await client.hears_nothing()
    await server.publish({ROUTE: {"a": "1", "b": "1"}})
    assert (await client.accept(ROUTE)).resources == {"a": "1"}


@pytest.mark.parametrize("first", [True, False])
async def test_a_request_without_a_type_is_refused(server: Server, variant: type[Client], first: bool) -> None:
    """ "... implicit in requests made via singleton xDS APIs such as CDS, LDS, etc. but is required for ADS"."""
    await server.publish({CLUSTER: {"a": "1"}})
    client = await variant.connect(server)
    if not first:
        await client.subscribe(CLUSTER)
        await client.accept(CLUSTER)
    requests = {"delta": discovery_pb2.DeltaDiscoveryRequest, "sotw": discovery_pb2.DiscoveryRequest}
    request = requests[client.mode](node=client.node())
    assert "must carry type_url" in await client.session.refusal(request)
