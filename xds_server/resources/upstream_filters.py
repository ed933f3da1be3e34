"""The upstream HTTP filters, which prepare every attempt for the target that Envoy chose for it.

They sit on the router, once for all clusters; what differs between targets is their endpoints' metadata.
"""

from __future__ import annotations

from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import UpstreamCodec
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter

from xds_server.resources.encoding import pack
from xds_server.resources.module import module_filter


def upstream_filters() -> list[HttpFilter]:
    """Returns the filters: they add the target's credential, edit path and body, clean the answer's headers, and
    read its usage.
    """
    return [
        module_filter("dress"),
        HttpFilter(
            name="envoy.filters.http.upstream_codec",
            typed_config=pack("envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec", UpstreamCodec()),
        ),
    ]
