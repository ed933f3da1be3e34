"""The part of the Admin service that explains routes."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc, routing_pb2 as routing_pb

from xds_server.admin import render
from xds_server.errors import NotFoundError
from xds_server.model import DesiredState, ProviderTarget, Route
from xds_server.quoting import quoted
from xds_server.routing.explain import TargetExplanation, explain
from xds_server.routing.measured import Measured, Measurements, RequestMix
from xds_server.routing.tiers import NO_RANKINGS
from xds_server.rpc.reporting import reporting
from xds_server.store import AsyncStore

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_NANO = 1e9
_MICRO = 1e6


class Explains(Protocol):
    """Explains rankings by measurements."""

    async def explain(self, route: Route) -> tuple[RequestMix, list[TargetExplanation]]:
        """Returns the route's typical request, and what is known of each target, in the order of its ranking."""


class NothingMeasured:
    """Explains rankings by prices and configuration alone."""

    async def explain(self, route: Route) -> tuple[RequestMix, list[TargetExplanation]]:
        """Explains a route by its configuration alone."""
        return explain(route, Measurements(), NO_RANKINGS, time.time())


class RoutingMethods(admin_pb2_grpc.AdminServicer):
    """Methods that show which target would be chosen, and why."""

    _store: AsyncStore
    _ranker: Explains

    @reporting
    async def ExplainRoute(self, request: pb.ExplainRouteRequest, context: Context) -> pb.ExplainRouteResponse:
        """Explains the organisation's own route, or everybody's. Raises NotFoundError."""
        state = await self._store.load()
        route = _find(state, request.model, request.organisation)
        mix, targets = await self._ranker.explain(route)
        credentials = {each.name: len(each.credentials) for each in state.providers.values()}
        return pb.ExplainRouteResponse(
            route=render.route(route, state.owners[route.organisation_id]),
            prompt_tokens=round(mix.prompt_tokens),
            completion_tokens=round(mix.completion_tokens),
            cached_permille=round(1_000 * mix.cached_share),
            stream_permille=round(1_000 * mix.stream_share),
            targets=[_target(each, credentials) for each in targets],
        )


def _find(state: DesiredState, model: str, organisation: str) -> Route:
    """Returns the organisation's own route, or everybody's. Raises NotFoundError."""
    owners = state.owners
    if organisation not in owners.values():
        known = ", ".join(sorted(filter(None, owners.values())))
        raise NotFoundError(f"no organisation {quoted(organisation)}; known: {known}")
    routes = {(owners[each.organisation_id], each.model): each for each in state.routes.values()}
    found = routes.get((organisation, model)) or routes.get(("", model))
    if found is None:
        raise NotFoundError(f"no route {quoted(model)}: `trunkline routes list` shows all")
    return found


def _target(value: TargetExplanation, credentials: Mapping[str, int]) -> pb.ExplainedTarget:
    """Renders a target. `credentials` maps a provider's name to its number of credentials."""
    scored, measured = value.scored, value.scored.measured
    target = scored.target
    number = credentials.get(target.provider, 0) if isinstance(target, ProviderTarget) else 0
    return pb.ExplainedTarget(
        target_id=scored.target.id,
        tier=value.tier,
        share_permille=round(1_000 * value.share),
        reason=value.reason,
        reason_code=value.reason.coded,
        expected_us=round(scored.time.seconds * _MICRO) if scored.time is not None else 0,
        cost_nano_usd=round(scored.price.usd * _NANO),
        first_byte_us=round(measured.first_us.value),
        millitokens_per_second=_millitokens_per_second(measured),
        error_permille=round(1_000 * measured.error_rate),
        limit_permille=round(1_000 * measured.limit_rate),
        cached_permille=round(1_000 * (measured.cached_share or 0.0)),
        attempts=measured.attempts,
        down=measured.is_down,
        credentials=[
            _credential(index, value.credentials.get(index, Measured()))
            for index in range(number if number > 1 else 0)
        ],
    )


def _credential(index: int, measured: Measured) -> routing_pb.ExplainedCredential:
    return routing_pb.ExplainedCredential(
        index=index,
        attempts=measured.attempts,
        first_byte_us=round(measured.first_us.value),
        millitokens_per_second=_millitokens_per_second(measured),
        error_permille=round(1_000 * measured.error_rate),
        limit_permille=round(1_000 * measured.limit_rate),
        failures_in_a_row=measured.failures_in_a_row,
    )


def _millitokens_per_second(measured: Measured) -> int:
    """Returns the speed; 0 if it was not measured."""
    return round(1_000 * _MICRO / measured.token_us.value) if measured.token_us.samples else 0
