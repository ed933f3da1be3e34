"""Parses a whole document, and checks what only shows when its parts are seen together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from trunkline_proto.admin.v1 import admin_pb2 as pb

from xds_server.admin import parse, values
from xds_server.admin.gateway import ParsedGateway, parsed as parse_gateway
from xds_server.admin.limits import limits
from xds_server.admin.problems import Problems
from xds_server.model import Limit
from xds_server.store.settings import KeySettings


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A key in a document. `value` is empty if the stored key stays; `path` locates problems that are found
    later.
    """

    name: str
    settings: KeySettings
    value: str
    version: int
    path: str


@dataclass(frozen=True, slots=True)
class ParsedOrganisation:
    """An organisation in a document, with its keys. `version` is 0 if the document does not state one."""

    name: str
    limits: tuple[Limit, ...]
    weight: int
    keys: tuple[ParsedKey, ...]
    version: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """The state that a document describes."""

    providers: tuple[parse.ParsedProvider, ...]
    routes: tuple[parse.ParsedRoute, ...]
    organisations: tuple[ParsedOrganisation, ...]
    #: None: the gateway's settings stay as they are.
    gateway: ParsedGateway | None


def parse_document(
    message: pb.Document, problems: Problems, *, providers: Collection[str], organisations: Collection[str]
) -> ParsedDocument:
    """Parses a document. Its references may point into the document itself, or to the stored `providers` and
    `organisations`.
    """
    parsed_providers = tuple(
        parse.provider(each, problems.at("providers", index)) for index, each in enumerate(message.providers)
    )
    parsed_organisations = tuple(
        _organisation(each, problems.at("organisations", index))
        for index, each in enumerate(message.organisations)
    )
    provider_names = {each.provider.name for each in parsed_providers}.union(providers)
    organisation_names = {each.name for each in parsed_organisations}.union(organisations)
    routes = tuple(
        parse.route(each, problems.at("routes", index), providers=provider_names, organisations=organisation_names)
        for index, each in enumerate(message.routes)
    )
    values.unique((each.provider.name for each in parsed_providers), problems, "providers", "name")
    values.unique((each.name for each in parsed_organisations), problems, "organisations", "name")
    values.unique(((each.organisation, each.route.model) for each in routes), problems, "routes", "model")
    _unique_key_values(message, problems)
    gateway = parse_gateway(message.gateway, problems.at("gateway")) if message.HasField("gateway") else None
    return ParsedDocument(parsed_providers, routes, parsed_organisations, gateway)


def _organisation(message: pb.OrganisationDocument, problems: Problems) -> ParsedOrganisation:
    name = message.organisation.name
    values.name(name, problems.at("name"))
    keys = tuple(_key(each, name, problems.at("keys", index)) for index, each in enumerate(message.keys))
    values.unique((each.name for each in keys), problems, "keys", "name")
    return ParsedOrganisation(
        name,
        limits(message.organisation.limits, problems),
        parse.weight(message.organisation, problems),
        keys,
        message.organisation.version,
    )


def _key(message: pb.KeyDocument, organisation: str, problems: Problems) -> ParsedKey:
    if message.key.organisation not in {"", organisation}:
        problems.at("organisation").note(
            f"the key belongs to the organisation {values.quoted(organisation)}; accepted: that name, or none"
        )
    if message.value:
        values.key_value(message.value, problems.at("value"))
    settings = parse.key_settings(message.key, problems)
    return ParsedKey(message.key.name, settings, message.value, message.key.version, problems.at("value").path)


def _unique_key_values(message: pb.Document, problems: Problems) -> None:
    first_of: dict[str, str] = {}
    for outer, owner in enumerate(message.organisations):
        for inner, key in enumerate(owner.keys):
            here = problems.at("organisations", outer).at("keys", inner).at("value")
            first = first_of.setdefault(key.value, here.path) if key.value else here.path
            if first != here.path:
                here.note(f"the same value as {first} (not shown); accepted: a value of its own")
