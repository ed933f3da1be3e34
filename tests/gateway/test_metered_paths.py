"""Every path that can reach a model makes a reservation and a record; no other path exists."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import exported, settled
from translator.endpoints import ENDPOINTS, BodyKind, Endpoint
from xds_server.resources import cors, names

KEY = "sk-acme-metered-key-1234"
AMOUNT = 1_000_000
MODELS = ("first", "second")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
#: Envoy's own clusters, none of which leads to a provider.
OWN = {"translator", "envoy_admin", "xds", names.REST_CLUSTER, names.TUNNEL_HANDSHAKE_CLUSTER}
METERED = [each for each in ENDPOINTS if each.body is not BodyKind.NONE]
UNMETERED = ["/v1/models", "/v1/models/first"]


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    limit = {"metric": "requests", "per": "366d", "amount": AMOUNT}
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [{"model": model, "targets": [{"provider": "a", "model": model}]} for model in MODELS],
        "organisations": [{"name": "acme", "limits": [limit], "keys": [{"name": "ci", "value": KEY}]}],
    }


async def dumped(gateway: GatewayProcess) -> dict[str, Any]:
    """Returns Envoy's running configuration, by kind."""
    connector = aiohttp.UnixConnector(path=str(gateway.data_dir / "run/envoy-admin.sock"))
    url = "http://envoy/config_dump"
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as answer:
        configs = json.loads(await answer.read())["configs"]
    return {each["@type"].rpartition(".")[2]: each for each in configs}


def found(value: Any, name: str) -> Iterator[Any]:
    """Yields every member `name` below `value`."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key == name:
                yield each
            yield from found(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from found(each, name)


def listeners(dump: Mapping[str, Any]) -> dict[str, Any]:
    held = dump["ListenersConfigDump"]
    static = [each["listener"] for each in held.get("static_listeners", ())]
    return {each["name"]: each for each in [*static, *found(held["dynamic_listeners"], "listener")]}


def request_of(endpoint: Endpoint, model: str, *, stream: bool) -> dict[str, Any]:
    """Returns the arguments for aiohttp's request."""
    if endpoint.body is BodyKind.FORM:
        form = aiohttp.FormData()
        form.add_field("model", model)
        form.add_field("stream", str(stream).lower())
        form.add_field("file", b"RIFF", filename="a.wav", content_type="audio/wav")
        return {"data": form}
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hi"}], "input": "hi"}
    body |= {"prompt": "hi", "voice": "a", "query": "hi", "documents": ["hi"]}
    return {"json": {**body, "stream": True} if stream else body}


#: The clients' listener, and its copy inside Envoy for the console's playground.
FOR_CLIENTS = (names.OPENAI_LISTENER, names.PLAYGROUND_LISTENER)


async def test_every_listener_leads_to_a_model_through_the_authorisation_alone(gateway: GatewayProcess) -> None:
    dump = await dumped(gateway)
    known = listeners(dump)
    assert set(known) == {
        names.OPENAI_LISTENER,
        names.PLAYGROUND_LISTENER,
        names.ADMIN_LISTENER,
        names.TUNNEL_LISTENER,
        names.TUNNEL_HANDSHAKE_LISTENER,
        names.TUNNEL_EGRESS_LISTENER,
    }
    # The module's filter lets only requests pass that the translator has allowed, and no route is exempt from it.
    for name in FOR_CLIENTS:
        (chain,) = known[name]["filter_chains"]
        (manager,) = chain["filters"]
        *pages, asking, routing = manager["typed_config"]["http_filters"]
        assert [(each["name"], each["disabled"]) for each in pages] in ([], [(cors.FILTER, True)])
        assert asking["typed_config"]["filter_name"] == "authorise"
        assert routing["name"] == "envoy.filters.http.router"
        assert len(list(found(manager["typed_config"], "disabled"))) == len(pages)
    assert not list(found(dump["RoutesConfigDump"]["dynamic_route_configs"], "typed_per_filter_config"))
    # The others reach Trunkline itself and nothing else, except for the one that only Envoy itself can reach: it
    # leads from the pools of nodes, which requests come to through the first one, into the nodes' tunnels.
    for name, listener in known.items():
        clusters = {
            each["cluster"] for each in found(listener, "route") if isinstance(each, Mapping) and "cluster" in each
        }
        if name == names.TUNNEL_EGRESS_LISTENER:
            assert "internal_listener" in listener
            assert "address" not in listener
            assert clusters == {names.TUNNELS_CLUSTER}
        elif name not in FOR_CLIENTS:
            # From the console's pages, the admin listener leads to the clients' listener inside Envoy.
            assert clusters <= OWN | ({names.PLAYGROUND_CLUSTER} if name == names.ADMIN_LISTENER else set())
        assert not list(found(listener, "weighted_clusters"))
        assert not list(found(listener, "cluster_header"))


async def test_every_route_and_every_endpoint_takes_a_reservation_and_gives_a_record(
    gateway: GatewayProcess,
) -> None:
    (routes,) = (
        each["route_config"]
        for each in (await dumped(gateway))["RoutesConfigDump"]["dynamic_route_configs"]
        if each["route_config"]["name"] == "openai"
    )
    (tree,) = found(routes, "matcher_tree")
    entries = tree["exact_match_map"]["map"]
    leading = {key for key, entry in entries.items() if not set(found(entry, "cluster")) & OWN}
    assert set(entries) - leading == {"translator"}
    (otherwise,) = found(routes, "on_no_match")
    assert list(found(otherwise, "direct_response"))
    assert not list(found(otherwise, "route"))
    left, sent = AMOUNT, {}
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        for model in MODELS:
            for endpoint in METERED:
                for stream in (False, True) if endpoint.streams else (False,):
                    request = request_of(endpoint, model, stream=stream)
                    async with session.request(
                        endpoint.method, gateway.origin + endpoint.path, **request
                    ) as answer:
                        await answer.read()
                    left -= 1
                    assert answer.headers["x-ratelimit-remaining-requests"] == str(left), endpoint.path
                    assert answer.headers["x-trunkline-target"] == f"a/{model}", endpoint.path
                    sent[answer.headers["x-request-id"]] = (model, stream)
    await settled(gateway)
    records = await exported(gateway)
    assert {each["id"]: (each["model"], each["stream"]) for each in records} == sent
    assert len(records) == len(sent)
    assert {each["route_id"] + (":stream" if each["stream"] else "") for each in records} == leading


async def test_what_is_not_metered_reaches_no_model(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    before = await provider_a.acounters()
    body = json.dumps({"model": MODELS[0], "messages": [{"role": "user", "content": "hi"}]})
    metered = {(each.method, each.path) for each in METERED}
    unknown = [
        "/",
        "/v1",
        "/v1/files",
        "/v1/chat/completions/x",
        "/v1/batches",
        "/chat/completions",
        "/v2/embeddings",
    ]
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        for path in [*UNMETERED, *unknown, *(each.path for each in METERED)]:
            for method in METHODS:
                if (method, path) in metered:
                    continue
                async with session.request(method, gateway.origin + path, data=body) as answer:
                    await answer.read()
                read = method in {"GET", "HEAD"} and path in UNMETERED
                expected = 200 if read else 405 if path not in unknown else 404
                assert answer.status == expected, (method, path)
                assert "x-ratelimit-remaining-requests" not in answer.headers
                assert "x-trunkline-target" not in answer.headers
    assert (await provider_a.acounters())["requests"] == before["requests"]
