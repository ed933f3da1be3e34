"""The parts of our module `envoy/module` that Envoy runs: HTTP filters, early header mutation, cluster specifier,
load balancing policy.
"""

from __future__ import annotations

from dataclasses import dataclass

import betterproto2
from envoy_data_plane.envoy.config.cluster.v3 import LoadBalancingPolicy, LoadBalancingPolicyPolicy
from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
from envoy_data_plane.envoy.extensions.dynamic_modules.v3 import DynamicModuleConfig
from envoy_data_plane.envoy.extensions.filters.http.dynamic_modules.v3 import DynamicModuleFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.extensions.load_balancing_policies.dynamic_modules.v3 import (
    DynamicModulesLoadBalancerConfig,
)
from envoy_data_plane.google.protobuf import Any, StringValue
from envoy_data_plane.message_pool import default_message_pool

from xds_server.resources.encoding import extension, pack

#: Envoy looks for `lib<name>.so` in ENVOY_DYNAMIC_MODULES_SEARCH_PATH.
MODULE = "trunkline"


def module_filter(name: str, config: str = "") -> HttpFilter:
    """Returns the module's filter `name`, with its settings as text."""
    return HttpFilter(
        name=f"trunkline.{name}",
        typed_config=pack(
            "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            DynamicModuleFilter(
                dynamic_module_config=_library(),
                filter_name=name,
                filter_config=_text(config),
            ),
        ),
    )


@dataclass(eq=False, repr=False)
class DynamicModuleClusterSpecifier(betterproto2.Message):
    """Envoy's message of that name, with the fields in use: the generated classes do not have it yet."""

    dynamic_module_config: DynamicModuleConfig | None = betterproto2.field(  # noqa: RUF009  # describes the field
        1, betterproto2.TYPE_MESSAGE, optional=True
    )
    specifier_config: Any | None = betterproto2.field(  # noqa: RUF009  # likewise
        3, betterproto2.TYPE_MESSAGE, optional=True
    )


@dataclass(eq=False, repr=False)
class DynamicModuleEarlyHeaderMutation(betterproto2.Message):
    """Envoy's message of that name, with the fields in use: the generated classes do not have it yet."""

    dynamic_module_config: DynamicModuleConfig | None = betterproto2.field(  # noqa: RUF009  # likewise
        1, betterproto2.TYPE_MESSAGE, optional=True
    )
    early_header_mutation_name: str = betterproto2.field(2, betterproto2.TYPE_STRING)  # named by both


_SPECIFIER_PACKAGE = "envoy.extensions.router.cluster_specifiers.dynamic_modules.v3"
_MUTATION_PACKAGE = "envoy.extensions.http.early_header_mutation.dynamic_modules.v3"
for _package, _message in (
    (_SPECIFIER_PACKAGE, DynamicModuleClusterSpecifier),
    (_MUTATION_PACKAGE, DynamicModuleEarlyHeaderMutation),
):
    default_message_pool.register_message(_package, _message.__name__, _message)


def module_ingress() -> TypedExtensionConfig:
    """Removes the headers that only the gateway may set from every client request, before anything else sees them:
    its own, Envoy's, and `x-request-id`. Clients may set `x-trunkline-tag` and `x-trunkline-max-price`.
    """
    return extension(
        "trunkline.ingress",
        f"{_MUTATION_PACKAGE}.{DynamicModuleEarlyHeaderMutation.__name__}",
        DynamicModuleEarlyHeaderMutation(dynamic_module_config=_library(), early_header_mutation_name="ingress"),
    )


def module_specifier(plan: str) -> TypedExtensionConfig:
    """Returns the module's cluster specifier, with the lines of a route's plan."""
    return extension(
        "trunkline.specifier",
        f"{_SPECIFIER_PACKAGE}.{DynamicModuleClusterSpecifier.__name__}",
        DynamicModuleClusterSpecifier(dynamic_module_config=_library(), specifier_config=_text(plan)),
    )


def module_balancer(name: str) -> LoadBalancingPolicy:
    """Returns the module's load balancing policy `name`."""
    return LoadBalancingPolicy(
        policies=[
            LoadBalancingPolicyPolicy(
                typed_extension_config=extension(
                    f"trunkline.{name}",
                    "envoy.extensions.load_balancing_policies.dynamic_modules.v3.DynamicModulesLoadBalancerConfig",
                    DynamicModulesLoadBalancerConfig(dynamic_module_config=_library(), lb_policy_name=name),
                )
            )
        ]
    )


def _library() -> DynamicModuleConfig:
    # The module has a thread of its own, so it stays loaded.
    return DynamicModuleConfig(name=MODULE, do_not_close=True)


def _text(value: str) -> Any:
    return pack("google.protobuf.StringValue", StringValue(value=value))
