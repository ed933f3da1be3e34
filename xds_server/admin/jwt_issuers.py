"""Parses a document's token issuers into the model's values."""

from __future__ import annotations

import re

from trunkline_proto.admin.v1 import admin_pb2 as pb

from xds_server.accounts.settings import JwtGrant, JwtIssuer
from xds_server.admin import identity_providers, values
from xds_server.admin.problems import Problems

_MAX_ISSUERS, _MAX_AUDIENCES, _MAX_GRANTS = 20, 20, 500
_MAX_TEXT = 500
_CLAIM = re.compile(r"[!-~]{1,200}")


def parsed(gateway: pb.Gateway, problems: Problems) -> tuple[JwtIssuer, ...]:
    """Returns the values; notes what is not accepted. `problems` is at the gateway."""
    values.at_most(gateway.jwt, _MAX_ISSUERS, problems.at("jwt"))
    values.unique((each.name for each in gateway.jwt), problems, "jwt", "name")
    found = []
    for index, each in enumerate(gateway.jwt):
        at = problems.at("jwt", index)
        values.name(each.name, at.at("name"))
        found.append(_issuer(each, at))
    return tuple(found)


def _issuer(message: pb.JwtIssuer, problems: Problems) -> JwtIssuer:
    if not message.issuer:
        problems.at("issuer").note("missing")
    if not message.audiences:
        problems.at("audiences").note("missing; accepted: what the tokens have in `aud`")
    values.at_most(message.audiences, _MAX_AUDIENCES, problems.at("audiences"))
    for index, audience in enumerate(message.audiences):
        _text(audience, problems.at("audiences", index))
    if message.user_claim and not _CLAIM.fullmatch(message.user_claim):
        problems.at("user_claim").note("accepted: a claim such as email, or its path such as person.id")
    if not message.grants:
        problems.at("grants").note("missing; accepted: which API key a token acts as")
    values.at_most(message.grants, _MAX_GRANTS, problems.at("grants"))
    return JwtIssuer(
        name=message.name,
        issuer=identity_providers.url(message.issuer, problems.at("issuer"), path=True),
        audiences=tuple(message.audiences),
        jwks_url=identity_providers.url(message.jwks_url, problems.at("jwks_url"), path=True),
        user_claim=message.user_claim,
        grants=tuple(_grant(each, problems.at("grants", index)) for index, each in enumerate(message.grants)),
    )


def _grant(message: pb.JwtGrant, problems: Problems) -> JwtGrant:
    if message.claim and not _CLAIM.fullmatch(message.claim):
        problems.at("claim").note("accepted: a claim such as groups, or its path such as realm_access.roles")
    if bool(message.claim) != bool(message.value):
        problems.note("accepted: `claim` and `value` together, or neither for every token")
    if message.value:
        _text(message.value, problems.at("value"))
    values.name(message.organisation, problems.at("organisation"))
    values.name(message.key, problems.at("key"))
    return JwtGrant(message.claim, message.value, message.organisation, message.key)


def _text(text: str, problems: Problems) -> None:
    if not 1 <= len(text) <= _MAX_TEXT or not text.isprintable():
        problems.note(f"accepted: 1 to {_MAX_TEXT} printable characters")
