"""The hand-joined RouteConfiguration equals the output of the generated classes."""

from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from xds_server.resources import route_table
from xds_server.resources.names import ROUTE_HEADER
from xds_server.resources.routes import no_route, translator_route


def test_joined_bytes_parse_to_the_routes_they_were_joined_from() -> None:
    entries = [route_table.entry(key, translator_route()) for key in ("rt_1", "rt_1:stream", "translator")]
    body = route_table.route_configuration(
        entries, key_input=route_table.header_input(), no_match=route_table.on_match_of(no_route())
    )

    parsed = RouteConfiguration.parse(body)

    assert parsed.name == "openai"
    (host,) = parsed.virtual_hosts
    assert (host.name, host.domains) == ("openai", ["*"])
    assert parsed.request_headers_to_remove == list(route_table.REMOVED_FROM_REQUESTS)
    assert host.matcher is not None
    tree = host.matcher.matcher_tree
    assert tree is not None
    assert tree.exact_match_map is not None
    assert set(tree.exact_match_map.map) == {"rt_1", "rt_1:stream", "translator"}
    assert tree.input is not None
    assert ROUTE_HEADER in str(tree.input)
    assert host.matcher.on_no_match is not None
    assert bytes(host.matcher.on_no_match) == route_table.on_match_of(no_route())
    assert len(bytes(parsed)) == len(body)
