"""The filters of Envoy's own module of ours, `envoy/module`."""

from __future__ import annotations

from envoy_data_plane.envoy.extensions.dynamic_modules.v3 import DynamicModuleConfig
from envoy_data_plane.envoy.extensions.filters.http.dynamic_modules.v3 import DynamicModuleFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.google.protobuf import StringValue

from xds_server.resources.encoding import pack

#: Envoy looks for `lib<name>.so` in ENVOY_DYNAMIC_MODULES_SEARCH_PATH.
MODULE = "trunkline"


def module_filter(name: str, config: str = "") -> HttpFilter:
    """The module's filter `name`, with its settings as text."""
    return HttpFilter(
        name=f"trunkline.{name}",
        typed_config=pack(
            "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            DynamicModuleFilter(
                # It has a thread of its own, so it stays loaded.
                dynamic_module_config=DynamicModuleConfig(name=MODULE, do_not_close=True),
                filter_name=name,
                filter_config=pack("google.protobuf.StringValue", StringValue(value=config)),
            ),
        ),
    )
