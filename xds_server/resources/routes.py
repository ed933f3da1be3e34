"""The route configuration: leads from `x-trunkline-route` to the targets of a plan, with retries and time
limits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.route.v3 import (
    ClusterSpecifierPlugin,
    DirectResponseAction,
    RetryPolicy,
    RetryPolicyRateLimitedRetryBackOff,
    RetryPolicyResetHeader,
    RetryPolicyResetHeaderFormat,
    RetryPolicyRetryBackOff,
    RetryPolicyRetryHostPredicate,
    Route as EnvoyRoute,
    RouteAction,
    RouteMatch,
)
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import PreviousHostsPredicate

from xds_server.model import Timeouts
from xds_server.resources.encoding import pack
from xds_server.resources.local_replies import PROCESSING_TIME
from xds_server.resources.module import module_specifier
from xds_server.resources.names import METADATA, TRANSLATOR_CLUSTER, TRANSLATOR_ROUTE
from xds_server.resources.settings import EdgeSettings
from xds_server.resources.strategy import PlannedHop

#: A plain answer's first byte comes when the whole answer is ready; a stream's comes with its first token.
DEFAULT_PLAIN_FIRST_BYTE_MS = 300_000
DEFAULT_STREAM_FIRST_BYTE_MS = 30_000
DEFAULT_IDLE_MS = 60_000
#: Busy machines are tried again when their answers say so.
_RETRY_AFTER = RetryPolicyRateLimitedRetryBackOff(
    reset_headers=[RetryPolicyResetHeader(name="retry-after", format=RetryPolicyResetHeaderFormat.SECONDS)],
    max_interval=timedelta(seconds=2),
)

RETRY_ON = "connect-failure,refused-stream,reset,5xx,retriable-status-codes"
#: The status that the module shows Envoy in place of an answer that another target may better
#: (envoy/module/outcome.h).
RETRIABLE_STATUS_CODES = [497]


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """The number of retries of a request, and the longest silence of one attempt, in milliseconds."""

    retries: int
    first_byte_ms: int
    idle_ms: int
    #: True if busy machines are tried again.
    waits: bool = False

    @classmethod
    def of(cls, timeouts: Timeouts, plan: Sequence[PlannedHop], *, stream: bool) -> AttemptLimits:
        """Allows as many retries as the plan's targets may be tried, before the first byte only.

        Envoy's idle limit counts from the end of the request, so on streams it also bounds the wait for the first
        byte. A plain answer is silent until it is complete, so its idle limit is never shorter than that wait.
        """
        default = DEFAULT_STREAM_FIRST_BYTE_MS if stream else DEFAULT_PLAIN_FIRST_BYTE_MS
        first_byte = timeouts.first_byte_ms or default
        idle = timeouts.idle_ms or DEFAULT_IDLE_MS
        waits = max((place.waits for place in plan), default=0)
        return cls(
            # A busy machine says so after a second.
            retries=max(1, sum(place.tries for place in plan) - 1) + waits,
            first_byte_ms=first_byte,
            idle_ms=idle if stream else max(idle, first_byte),
            waits=waits > 0,
        )


def model_route(name: str, plan: str, limits: AttemptLimits, edge: EdgeSettings) -> EnvoyRoute:
    """Returns the Envoy route `name`: the module chooses each attempt's cluster by the lines of `plan`."""
    return EnvoyRoute(
        name=name,
        match=RouteMatch(prefix="/"),
        route=RouteAction(
            inline_cluster_specifier_plugin=ClusterSpecifierPlugin(extension=module_specifier(plan)),
            auto_host_rewrite=True,
            # Time is bounded per attempt: a stream as a whole may last for hours.
            timeout=timedelta(),
            idle_timeout=timedelta(),
            retry_policy=_retries(limits),
        ),
        request_body_buffer_limit=edge.max_body_bytes,
        response_headers_to_add=[
            _add("x-trunkline-target", f"%UPSTREAM_METADATA({METADATA}:target)%"),
            _add("x-trunkline-attempts", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
            PROCESSING_TIME,
        ],
    )


def translator_route() -> EnvoyRoute:
    """Returns the route to the translator, for requests that it answers itself."""
    return EnvoyRoute(
        name=TRANSLATOR_ROUTE,
        match=RouteMatch(prefix="/"),
        # While a translator is replaced, its connections end, and new ones wait in its socket.
        route=RouteAction(
            cluster=TRANSLATOR_CLUSTER,
            timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(retry_on="connect-failure,reset", num_retries=3),
        ),
        response_headers_to_add=[PROCESSING_TIME],
    )


def no_route() -> EnvoyRoute:
    """Returns the route of a request before it is authorised, and after that if its own route is not in place
    yet.
    """
    message = "This model's route is not in place at this gateway yet. Send the request again."
    again = {"retry-after": "1", "retry-after-ms": "1000", "x-should-retry": "true"}
    return _unavailable("none", message, "route_not_ready", again)


def no_own_nodes(name: str) -> EnvoyRoute:
    """Returns the Envoy route `name` of a model that never leaves its users' own machines, for those who have
    none.
    """
    message = "This model is served only by your organisation's own machines, and none has joined this gateway."
    return _unavailable(name, message, "no_own_nodes", {"x-should-retry": "false"})


def _unavailable(name: str, message: str, code: str, headers: Mapping[str, str]) -> EnvoyRoute:
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return EnvoyRoute(
        name=name,
        match=RouteMatch(prefix="/"),
        direct_response=DirectResponseAction(
            status=503, body=DataSource(inline_string=json.dumps({"error": error}))
        ),
        response_headers_to_add=[
            _add("content-type", "application/json"),
            *(_add(name, value) for name, value in headers.items()),
        ],
    )


def _retries(limits: AttemptLimits) -> RetryPolicy:
    return RetryPolicy(
        retry_on=RETRY_ON,
        retriable_status_codes=RETRIABLE_STATUS_CODES,
        num_retries=limits.retries,
        per_try_timeout=timedelta(milliseconds=limits.first_byte_ms),
        per_try_idle_timeout=timedelta(milliseconds=limits.idle_ms),
        refresh_cluster_on_retry=True,
        # Retries choose another machine of the pool.
        retry_host_predicate=[
            RetryPolicyRetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts",
                typed_config=pack(
                    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                    PreviousHostsPredicate(),
                ),
            )
        ],
        host_selection_retry_max_attempts=5,
        # The next attempt goes elsewhere, so waiting would spare nothing.
        retry_back_off=RetryPolicyRetryBackOff(
            base_interval=timedelta(milliseconds=2), max_interval=timedelta(milliseconds=20)
        ),
        rate_limited_retry_back_off=_RETRY_AFTER if limits.waits else None,
    )


def _add(key: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=key, value=value),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
