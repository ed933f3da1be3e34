"""The Admin service's methods about the gateway as a whole, and how a document has it."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc
from trunkline_proto.policy.endpoints import ENDPOINTS

from xds_server.admin import render, values
from xds_server.admin.calls import Changes, actor_of, reporting
from xds_server.admin.problems import Problems, checking
from xds_server.alerts import addresses
from xds_server.model import Alerting, Cors, DefaultModel, Gateway, SharedCache
from xds_server.store import AsyncStore, writing

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

_ORIGINS, _LONGEST_AGE = 100, 30 * 86_400
_ORIGIN = re.compile(
    r"\*|null|[a-z][a-z0-9+.-]*://(?:(?:\*\.)?[a-z0-9._-]{1,253}|\[[0-9a-f:.]+\])(?::(?:\d{1,5}|\*))?"
)
_MEMORY, _MOST_MEMORY = "memory", 2**40
_STORE = re.compile(
    r"(?:redis|rediss|valkey|valkeys)://(?:[A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?(?:/\d{1,3})?"
)
_SHORTEST_SECRET, _LONGEST_SECRET = 16, 256
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_RULE = "accepted: https://app.example.com, https://*.example.com, http://localhost:*, or * for all"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class GatewayMethods(admin_pb2_grpc.AdminServicer):
    """The part of the service that is about the gateway as a whole."""

    _store: AsyncStore
    _changes: Changes

    @reporting
    async def GetGateway(self, request: pb.GetGatewayRequest, context: Context) -> pb.GetGatewayResponse:
        return pb.GetGatewayResponse(gateway=render.gateway((await self._store.load()).gateway))

    @reporting
    async def PutGateway(self, request: pb.PutGatewayRequest, context: Context) -> pb.PutGatewayResponse:
        with checking() as problems:
            if not request.HasField("gateway"):  # an empty one has to be said: it removes everything
                problems.at("gateway").note("missing")
            wanted = parsed(request.gateway, problems.at("gateway"))

        def work(transaction: Transaction) -> Gateway:
            return writing.gateway.put(transaction, wanted, expected=request.gateway.version)

        committed = await self._changes.write(actor_of(context), work)
        return pb.PutGatewayResponse(
            gateway=render.gateway(committed.value),
            propagation=await self._changes.settled(committed.revision),
        )


def parsed(message: pb.Gateway, problems: Problems) -> Gateway:
    """The model's value, without a version; what is not accepted is noted."""
    cors, defaults = problems.at("cors"), problems.at("defaults")
    values.at_most(message.cors.origins, _ORIGINS, cors.at("origins"))
    values.number(message.cors.max_age_seconds, 0, _LONGEST_AGE, "seconds (0 = 7,200)", cors.at("max_age_seconds"))
    first_of: dict[str, int] = {}
    for index, each in enumerate(message.defaults):
        at = problems.at("defaults", index)
        if each.endpoint not in ENDPOINTS:
            shown = values.quoted(each.endpoint)
            at.at("endpoint").note(f"no endpoint {shown} takes a model; accepted: {', '.join(ENDPOINTS)}")
        if first_of.setdefault(each.endpoint, index) != index:
            at.at("endpoint").note(f"the same as defaults[{first_of[each.endpoint]}]; accepted: each once")
        values.model(each.model, at.at("model"))
    values.at_most(message.defaults, len(ENDPOINTS), defaults)
    return Gateway(
        Cors(
            tuple(_origin(each, cors.at("origins", index)) for index, each in enumerate(message.cors.origins)),
            message.cors.max_age_seconds,
        ),
        tuple(DefaultModel(each.endpoint, each.model) for each in message.defaults),
        cache=_cache(message.cache, problems.at("cache")),
        alerts=_alerts(message.alerts, problems.at("alerts")),
    )


def _cache(message: pb.SharedCache, problems: Problems) -> SharedCache:
    values.number(message.most_bytes, 0, _MOST_MEMORY, "bytes (0 = 256 MiB)", problems.at("most_bytes"))
    store = message.store or _MEMORY
    if store != _MEMORY and not _STORE.fullmatch(store):
        # A password would be in exports and in the audit log, so that it is not quoted either.
        problems.at("store").note(
            "not the address of a store; accepted: memory, or redis://HOST:PORT/NUMBER (rediss:// with TLS) "
            "without a user and a password"
        )
    return SharedCache(store, message.most_bytes)


def _alerts(message: pb.Alerting, problems: Problems) -> Alerting:
    if message.webhook and (wrong := addresses.problem(message.webhook)):
        # It may have a token in it, so that it is not quoted.
        problems.at("webhook").note(f"{wrong}; accepted: https://HOST[:PORT]/PATH, or http:// to localhost")
    if message.secret and not _SHORTEST_SECRET <= len(message.secret) <= _LONGEST_SECRET:
        problems.at("secret").note(
            f"{len(message.secret)} characters; accepted: {_SHORTEST_SECRET} to {_LONGEST_SECRET}"
        )
    if message.secret and not message.webhook:
        problems.at("secret").note("accepted only with a `webhook`")
    return Alerting(message.webhook, message.secret.encode())


def _origin(text: str, problems: Problems) -> str:
    """As browsers send it."""
    origin = text.lower()
    scheme, separator, rest = origin.partition("://")
    if not _ORIGIN.fullmatch(origin):
        bare = rest.partition("/")[0]
        if separator and bare != rest and _ORIGIN.fullmatch(f"{scheme}://{bare}"):
            problems.note(f"an origin has no path: write {scheme}://{bare}; {_RULE}")
        elif not separator and _ORIGIN.fullmatch(f"https://{origin}"):
            problems.note(f"an origin begins with its scheme: write https://{origin}; {_RULE}")
        else:
            problems.note(f"{values.quoted(text)} is not an origin; {_RULE}")
        return origin
    # Browsers leave it out.
    return origin.removesuffix(f":{_DEFAULT_PORTS.get(scheme, '')}") if separator else origin
