"""A response that a machine of a pool created is known there and nowhere else."""

from __future__ import annotations

import json

import pytest

from tests.fakes.node import Node
from tests.fakes.provider_process import ProviderProcess
from tests.integration.nodes.edge import Answer, Edge, through_tunnel
from xds_server.model import Affinity, NodesTarget, ProviderTarget, Route

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONVERSATIONS, TURNS = 6, 4


async def respond(edge: Edge, model: str, previous: str | None = None) -> Answer:
    body = {"model": model, "input": "Hello", "previous_response_id": previous}
    return await edge.request("POST", "/v1/responses", "k1", body)


async def made(edge: Edge, model: str, previous: str | None = None) -> tuple[str, str]:
    """Creates another response. Returns its id, and the node that created it."""
    answer = await respond(edge, model, previous)
    assert answer.status == 200, answer
    reported = json.loads(answer.body)
    return reported["id"], reported["node"]


def refused(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["error"]["code"]


async def test_what_refers_to_it_goes_to_the_machine_that_made_it(
    edge: Edge, model: str, nodes: tuple[Node, Node]
) -> None:
    await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),), affinity=Affinity.NONE))
    await edge.fill(through_tunnel(model, *(node.name for node in nodes)))
    places: list[str] = []
    while len(places) < CONVERSATIONS or len(set(places)) < len(nodes):  # the first of each may be anywhere
        name, place = await made(edge, model)
        places.append(place)
        for _ in range(TURNS):
            name, here = await made(edge, model, name)
            assert here == place
        stored = f"/v1/responses/{name}"
        for method, path in (("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")):
            answer = await edge.request(method, stored + path, "k1")
            assert (answer.status, json.loads(answer.body)["node"]) == (200, place)
        maker = next(node for node in nodes if node.name == place)
        assert json.loads(maker.seen[-1].headers["x-trunkline-model"]) == model
        assert refused(await edge.request("GET", stored, "k2")) == (404, "response_not_found")
    assert set(places) == {node.name for node in nodes}


async def test_a_machine_that_fails_is_not_replaced_by_a_stranger(
    edge: Edge, model: str, nodes: tuple[Node, Node]
) -> None:
    await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)))
    await edge.fill(through_tunnel(model, *(node.name for node in nodes)))
    name, place = await made(edge, model)
    maker, other = sorted(nodes, key=lambda node: node.name != place)
    before = len(other.seen)
    maker.status = 500
    assert (await respond(edge, model, name)).status == 500
    maker.status = 200

    await edge.fill(through_tunnel(model, other.name))
    assert refused(await respond(edge, model, name)) == (503, "response_unreachable")
    gone = await edge.request("GET", f"/v1/responses/{name}", "k1")
    headers = {each.lower(): value for each, value in gone.headers.items()}
    assert (*refused(gone), headers["retry-after"]) == (503, "response_unreachable", "5")
    assert len(other.seen) == before

    await edge.fill(through_tunnel(model, *(node.name for node in nodes)))
    assert (await made(edge, model, name))[1] == place


async def test_where_the_route_has_lost_its_target_the_client_learns_so(
    edge: Edge, model: str, nodes: tuple[Node, Node], provider: ProviderProcess
) -> None:
    both = (NodesTarget(model), ProviderTarget("a", "m", tier=1))
    await edge.publish(Route(f"rt_{model}", model, both))
    await edge.fill(through_tunnel(model, *(node.name for node in nodes)))
    name, _ = await made(edge, model)
    await edge.publish(Route(f"rt_{model}", model, both[1:]))
    provider.clear()
    assert refused(await respond(edge, model, name)) == (404, "response_not_found")
    for method in ("GET", "DELETE"):
        answer = await edge.request(method, f"/v1/responses/{name}", "k1")
        assert refused(answer) == (404, "response_not_found")
        assert not {"retry-after", "Retry-After"} & answer.headers.keys()
    assert provider.requests() == []
    await edge.publish(Route(f"rt_{model}", model, both))
    assert (await respond(edge, model, name)).status == 200
