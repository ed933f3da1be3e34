"""Filled templates, and the resources made from them, equal the output of the generated classes."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.struct_pb2 import Struct
from google.protobuf.type_pb2 import Option, Type
from google.protobuf.wrappers_pb2 import UInt32Value
from hypothesis import given, settings, strategies as st

from xds_server.model import NodesTarget, Provider, ProviderTarget, Route, Timeouts
from xds_server.pool import Health, PoolEndpoint
from xds_server.resources import route_table
from xds_server.resources.names import route_key
from xds_server.resources.pool_cluster import encoded_pool_cluster, pool_cluster
from xds_server.resources.pools import HEALTH, endpoint_entry, lb_endpoint, lb_endpoint_message
from xds_server.resources.routes import AttemptLimits, model_route
from xds_server.resources.settings import EdgeSettings
from xds_server.resources.strategy import plan
from xds_server.resources.targets import attempt_metadata, encoded_provider_cluster, provider_cluster
from xds_server.resources.template import Template, number_placeholder, text_placeholder
from xds_server.resources.variants import RouteVariant

EDGE = EdgeSettings()
# Lengths on both sides of 127, where the length of a length changes; an empty string is a field left out.
names = st.text(min_size=1, max_size=200)
weights = st.integers(1, 1_000_000)
connect_ms = st.sampled_from([0, 250, 60_000])
healths: st.SearchStrategy[Health] = st.sampled_from(sorted(HEALTH))


@given(st.text(min_size=1, max_size=20_000), st.integers(1, 2**32 - 1))
def test_values_take_the_place_of_holes(value: str, number: int) -> None:
    """A text, which occurs at two depths, and a number are inside packed messages, with four enclosing lengths."""

    def message(text: str, number: int) -> bytes:
        packed = Any()
        packed.Pack(Option(name=text, value=Any(value=UInt32Value(value=number).SerializeToString())))
        return Type(name=text, edition="kept", options=[Option(name="o", value=packed)]).SerializeToString()

    template = Template(message(text_placeholder("text"), number_placeholder("number")), numbers=("number",))
    assert template.fill({"text": value, "number": number}) == message(value, number)


@pytest.mark.parametrize("around", ["x{}", "{}x", "{} {}", "\n\x10{}"])
def test_a_hole_is_a_whole_field(around: str) -> None:
    with pytest.raises(ValueError, match=r"not a protobuf message|whole field"):
        Template(Any(type_url=around.replace("{}", text_placeholder("a"))).SerializeToString())


def test_a_number_that_is_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="port"):
        Template(Struct().SerializeToString(), numbers=("port",))


def test_a_hole_without_a_value_is_refused() -> None:
    with pytest.raises(KeyError):
        Template(Any(type_url=text_placeholder("a")).SerializeToString()).fill({})


directs = st.none() | st.tuples(names, st.integers(1, 65_535))


@given(names, st.builds(PoolEndpoint, names, directs, healths, weights, st.booleans(), weights))
def test_endpoints(model: str, endpoint: PoolEndpoint) -> None:
    assert lb_endpoint(model, endpoint) == bytes(lb_endpoint_message(endpoint_entry(model, endpoint)))


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.builds(
        Provider,
        names,
        st.sampled_from(["https://a.example/v1", "http://10.0.0.1:8000", "https://[::1]:8443/x/y/"]),
        credentials=st.lists(names, min_size=2, max_size=2).map(tuple),
        ca_file=st.sampled_from(["", "/own.pem"]),
        stream_usage=st.booleans(),
    ),
    names,
    st.integers(0, 1),
    connect_ms,
)
def test_provider_clusters(provider: Provider, model: str, credential: int, connect: int) -> None:
    target = ProviderTarget(provider.name, model)
    prefix = {"https://a.example/v1": "/v1", "https://[::1]:8443/x/y/": "/x/y"}.get(provider.base_url, "")
    expected = provider_cluster(
        target.id + ("#2" if credential else ""),
        attempt_metadata(
            target.id,
            prefix=prefix,
            model=model,
            credential=provider.credentials[credential],
            credential_index=credential,
            stream_usage=provider.stream_usage,
        ),
        provider.base_url,
        provider.ca_file or EDGE.ca_file,
        connect,
    )
    assert encoded_provider_cluster(target, provider, credential, connect, EDGE) == bytes(expected)


@pytest.mark.slow
@given(names, connect_ms, st.booleans())
def test_pool_clusters(name: str, connect: int, direct: bool) -> None:
    assert encoded_pool_cluster(name, connect, direct=direct) == bytes(pool_cluster(name, connect, direct=direct))


@pytest.mark.slow
@settings(deadline=None)
@given(
    names,
    st.lists(st.builds(NodesTarget, names, weights), min_size=1, max_size=4),
    st.builds(Timeouts, st.sampled_from([0, 1_500]), st.sampled_from([0, 90_000])),
    st.just("") | names,
)
def test_route_entries(route_id: str, targets: list[NodesTarget], timeouts: Timeouts, audience: str) -> None:
    route = Route(route_id, "m", tuple(targets), timeouts=timeouts)
    variant = RouteVariant(route, audience, plan(route, {}, 0.0, [audience] if audience else []))
    expected = b""
    for stream in (False, True):
        key = route_key(route_id, audience, stream=stream)
        limits = AttemptLimits.of(timeouts, variant.plan, stream=stream)
        expected += route_table.entry(key, model_route(key, variant.lines, limits, EDGE))
    assert route_table.model_entries(variant, EDGE) == expected
