"""The upstream HTTP filters: they dress every attempt for the target that Envoy chose for it.

They sit on the router, once for all clusters: an aggregate cluster may carry filters of its own, but then each of
them keeps its own Lua states (370 KB a chain with two workers, measured), and 500 routes cost 190 MB.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation as Mutation,
    HeaderMutationRemoveOnMatch,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import HeaderMutation, Mutations
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import UpstreamCodec
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher

from xds_server.resources.encoding import pack
from xds_server.resources.names import METADATA

#: What a provider says about its own account or session is not the client's business.
REMOVED_FROM_RESPONSES = (
    r"x-ratelimit-.*|x-trunkline-.*|x-envoy-.*|x-request-id|set-cookie|openai-organization|openai-project"
)

#: What chain.lua reads: what belongs to the target, and behind the tab what belongs to the request.
DRESS = (
    f"%UPSTREAM_METADATA({METADATA}:dress)%\t%UPSTREAM_REQUEST_ATTEMPT_COUNT% "
    "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:x-trunkline-plan)%"
)


def dressing_filters() -> list[HttpFilter]:
    """Put the target's credential on, splice path and body (chain.lua), and clean the answer's headers."""
    dress = Mutations(
        request_mutations=[
            Mutation(
                append=HeaderValueOption(
                    header=HeaderValue(key="x-trunkline-dress", value=DRESS),
                    append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
                )
            )
        ],
        response_mutations=[
            Mutation(
                remove_on_match=HeaderMutationRemoveOnMatch(
                    key_matcher=StringMatcher(safe_regex=RegexMatcher(regex=REMOVED_FROM_RESPONSES))
                )
            )
        ],
    )
    return [
        HttpFilter(
            name="envoy.filters.http.header_mutation",
            typed_config=pack(
                "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation", HeaderMutation(mutations=dress)
            ),
        ),
        HttpFilter(
            name="envoy.filters.http.lua",
            typed_config=pack(
                "envoy.extensions.filters.http.lua.v3.Lua",
                Lua(default_source_code=DataSource(inline_string=chain_lua())),
            ),
        ),
        HttpFilter(
            name="envoy.filters.http.upstream_codec",
            typed_config=pack("envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec", UpstreamCodec()),
        ),
    ]


def chain_lua() -> str:
    """The source of `envoy/chain.lua`: inside the package in a wheel, beside it in a checkout."""
    packaged = resources.files("xds_server") / "_envoy" / "chain.lua"
    beside = Path(__file__).parents[2] / "envoy" / "chain.lua"
    return packaged.read_text() if packaged.is_file() else beside.read_text()
