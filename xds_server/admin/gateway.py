"""The Admin service's methods for the gateway as a whole, and the gateway's section of a document."""

# ruff: noqa: N802  # the methods' names are the protocol's

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as pb, admin_pb2_grpc
from trunkline_proto.policy.endpoints import ENDPOINTS

from xds_server.admin import identity_providers, jwt_issuers, render, values
from xds_server.admin.calls import Changes, actor_of
from xds_server.admin.problems import Problems, checking
from xds_server.alerts import addresses
from xds_server.model import GATEWAY_SECTIONS, MEMORY, Alerting, Cors, DefaultModel, Gateway, SharedCache
from xds_server.rpc.reporting import reporting
from xds_server.store import AsyncStore, writing

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import Transaction

_ORIGINS, _MAX_AGE = 100, 30 * 86_400
_ORIGIN = re.compile(
    r"\*|null|[a-z][a-z0-9+.-]*://(?:(?:\*\.)?[a-z0-9._-]{1,253}|\[[0-9a-f:.]+\])(?::(?:\d{1,5}|\*))?"
)
_MAX_MEMORY = 2**40
_MAX_PASSWORD, _MAX_PATH = 1_000, 4_096
_STORE = re.compile(
    r"(?:redis|rediss|valkey|valkeys)://(?:[A-Za-z0-9._~-]{1,100}@)?(?:[A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?(?:/\d{1,3})?"
)
_MIN_SECRET, _MAX_SECRET = 16, 256
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_RULE = "accepted: https://app.example.com, https://*.example.com, http://localhost:*, or * for all"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True)
class ParsedGateway:
    """A gateway as a document describes it. `keep_password`: the value has no password, and the stored one stays.
    `path` locates problems that are found later.
    """

    value: Gateway
    keep_password: bool
    path: str

    def put(
        self, transaction: Transaction, *, expected: int | None, sections: Collection[str] = GATEWAY_SECTIONS
    ) -> Gateway:
        """Stores these sections of the gateway. Raises what `writing.gateway.put` raises."""
        return writing.gateway.put(
            transaction,
            self.value,
            expected=expected,
            keep_password=self.keep_password,
            path=self.path,
            sections=sections,
        )


class GatewayMethods(admin_pb2_grpc.AdminServicer):
    """The part of the service that deals with the gateway as a whole."""

    _store: AsyncStore
    _changes: Changes

    @reporting
    async def GetGateway(self, request: pb.GetGatewayRequest, context: Context) -> pb.GetGatewayResponse:
        """Returns the settings; before the first write, the defaults with version 0."""
        return pb.GetGatewayResponse(gateway=render.gateway((await self._store.load()).gateway))

    @reporting
    async def PutGateway(self, request: pb.PutGatewayRequest, context: Context) -> pb.PutGatewayResponse:
        """Replaces all settings. Secrets that are left out stay."""
        with checking() as problems:
            if not request.HasField("gateway"):  # an empty gateway must be sent explicitly: it removes everything
                problems.at("gateway").note("missing")
            wanted = parsed(request.gateway, problems.at("gateway"))

        def work(transaction: Transaction) -> Gateway:
            return wanted.put(transaction, expected=request.gateway.version)

        committed = await self._changes.write(actor_of(context), work)
        return pb.PutGatewayResponse(
            gateway=render.gateway(committed.value),
            propagation=await self._changes.settled(committed.revision),
        )


def parsed(message: pb.Gateway, problems: Problems) -> ParsedGateway:
    """Returns the value without a version; notes what is not accepted."""
    cors, defaults = problems.at("cors"), problems.at("defaults")
    values.at_most(message.cors.origins, _ORIGINS, cors.at("origins"))
    values.number(message.cors.max_age_seconds, 0, _MAX_AGE, "seconds (0 = 7,200)", cors.at("max_age_seconds"))
    values.unique((each.endpoint for each in message.defaults), problems, "defaults", "endpoint")
    for index, each in enumerate(message.defaults):
        at = problems.at("defaults", index)
        if each.endpoint not in ENDPOINTS:
            shown = values.quoted(each.endpoint)
            at.at("endpoint").note(f"no endpoint {shown} takes a model; accepted: {', '.join(ENDPOINTS)}")
        values.model(each.model, at.at("model"))
    values.at_most(message.defaults, len(ENDPOINTS), defaults)
    given = message.cache
    value = Gateway(
        Cors(
            tuple(_origin(each, cors.at("origins", index)) for index, each in enumerate(message.cors.origins)),
            message.cors.max_age_seconds,
        ),
        tuple(DefaultModel(each.endpoint, each.model) for each in message.defaults),
        cache=_cache(given, problems.at("cache")),
        cache_password=given.password,
        alerts=_alerts(message.alerts, problems.at("alerts")),
        accounts=identity_providers.accounts(message.accounts, problems.at("accounts")),
        oidc=identity_providers.parsed(message.oidc, problems),
        jwt=jwt_issuers.parsed(message, problems),
    )
    return ParsedGateway(value, keep_password=not given.password and not given.clear_password, path=problems.path)


def _cache(message: pb.SharedCache, problems: Problems) -> SharedCache:
    values.number(message.most_bytes, 0, _MAX_MEMORY, "bytes (0 = 256 MiB)", problems.at("most_bytes"))
    store = message.store or MEMORY
    if store != MEMORY and not _STORE.fullmatch(store):
        # A password here would end up in exports and in the audit log, so the value is not quoted either.
        problems.at("store").note(
            "not the address of a store; accepted: memory, or redis://[USER@]HOST:PORT/NUMBER (rediss:// with "
            "TLS), with the password in `password`"
        )
    _password(message, store, problems)
    if message.ca_file:
        _ca_file(message.ca_file, store, problems.at("ca_file"))
    return SharedCache(store, message.most_bytes, message.ca_file)


def _password(message: pb.SharedCache, store: str, problems: Problems) -> None:
    if message.clear_password and message.password:
        problems.at("clear_password").note("accepted only without `password`")
    if not message.password:
        return
    if len(message.password) > _MAX_PASSWORD or not message.password.isprintable():
        problems.at("password").note(
            f"this value is not accepted (not shown); accepted: {_MAX_PASSWORD} printable characters at most"
        )
    if store == MEMORY:
        problems.at("password").note("accepted only with the address of a `store`")


def _ca_file(path: str, store: str, problems: Problems) -> None:
    if not path.startswith("/") or len(path) > _MAX_PATH or not path.isprintable():
        problems.note("accepted: the absolute path of a PEM file, as translators see it")
    elif not store.startswith(("rediss://", "valkeys://")):
        problems.note("accepted only with a store at rediss://")


def _alerts(message: pb.Alerting, problems: Problems) -> Alerting:
    if message.webhook and (wrong := addresses.problem(message.webhook)):
        # The URL may contain a token, so it is not quoted.
        problems.at("webhook").note(f"{wrong}; accepted: https://HOST[:PORT]/PATH, or http:// to localhost")
    if message.secret and not _MIN_SECRET <= len(message.secret) <= _MAX_SECRET:
        problems.at("secret").note(f"{len(message.secret)} characters; accepted: {_MIN_SECRET} to {_MAX_SECRET}")
    if message.secret and not message.webhook:
        problems.at("secret").note("accepted only with a `webhook`")
    return Alerting(message.webhook, message.secret.encode())


def _origin(text: str, problems: Problems) -> str:
    """Returns the origin as browsers send it."""
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
    # Browsers leave the default port out.
    return origin.removesuffix(f":{_DEFAULT_PORTS.get(scheme, '')}") if separator else origin
