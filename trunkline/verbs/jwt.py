"""`trunkline jwt`."""

from __future__ import annotations

from typing import Any

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline.client import Control, change_options, control_options
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.output import output_option, render
from trunkline.text import say
from trunkline.verbs import sections

_COLUMNS = ("name", "issuer", "audiences", "jwks_url", "user_claim", "grants", "key_ids")
_IMPORTANT = ("name", "issuer", "audiences", "grants")
_GRANT = "[CLAIM=VALUE:]ORG/KEY"


@click.group(cls=SuggestingGroup)
def jwt() -> None:
    """Manage identity providers whose access tokens (JWT) clients may send instead of an API key."""


@jwt.command(
    "list",
    epilog="""\b
Examples:
  trunkline jwt list
""",
)
@output_option
@control_options
def list_issuers(*, control: Control, output: str) -> None:
    """List all issuers, with the ids of the keys that verify their tokens."""
    with control.connect() as api:
        found = api.GetGateway(admin.GetGatewayRequest()).gateway
    say(render([_row(each) for each in found.jwt], _COLUMNS, output, important=_IMPORTANT), lines=True)


@jwt.command(
    "set",
    epilog="""\b
Examples:
  trunkline jwt set corp --issuer https://login.example.org --audience trunkline-api --grant acme/everybody
  trunkline jwt set corp --grant groups=research:acme/researchers --grant acme/everybody
  trunkline jwt set corp --user-claim email
""",
)
@click.argument("name")
@click.option("--issuer", help="The exact `iss` of the tokens.")
@click.option(
    "--audience",
    "audiences",
    multiple=True,
    help="An accepted `aud` of the tokens; may be repeated. Replaces the current ones.",
)
@click.option("--jwks-url", help="URL of the issuer's keys; empty: the one in its discovery document.")
@click.option("--user-claim", help="The claim that identifies who sends a request; empty: sub.")
@click.option(
    "--grant",
    "grants",
    multiple=True,
    metavar=_GRANT,
    help="The API key that tokens act as; may be repeated, the first match decides. Replaces the current ones.",
)
@change_options
def set_issuer(*, control: Control, name: str, **given: Any) -> None:
    """Add the token issuer NAME, or change the given values."""
    sections.put(control, "jwt", name, lambda entry: _fill(entry, given))


@jwt.command(
    epilog="""\b
Examples:
  trunkline jwt remove corp
"""
)
@click.argument("name")
@change_options
def remove(*, control: Control, name: str) -> None:
    """Remove the token issuer NAME: its tokens are refused from now on."""
    sections.remove(control, "jwt", name)


def _fill(message: admin.JwtIssuer, given: dict[str, Any]) -> None:
    for field in ("issuer", "jwks_url", "user_claim"):
        if given[field] is not None:
            setattr(message, field, given[field])
    if given["audiences"]:
        message.audiences[:] = given["audiences"]
    if given["grants"]:
        del message.grants[:]
        message.grants.extend(map(_grant, given["grants"]))


def _grant(text: str) -> admin.JwtGrant:
    """No name of an organisation or key has a colon or a slash in it."""
    fits, _, place = text.rpartition(":")
    claim, _, value = fits.partition("=")
    organisation, _, key = place.partition("/")
    if not (organisation and key) or (fits and not (claim and value)):
        raise UsageError(f'--grant "{text}": write {_GRANT}, such as groups=research:acme/researchers')
    return admin.JwtGrant(claim=claim, value=value, organisation=organisation, key=key)


def _row(each: admin.JwtIssuer) -> dict[str, Any]:
    grants = [
        f"{f'{one.claim}={one.value}:' if one.claim else ''}{one.organisation}/{one.key}" for one in each.grants
    ]
    return {
        **{name: getattr(each, name) for name in ("name", "issuer", "jwks_url")},
        "audiences": list(each.audiences),
        "user_claim": each.user_claim or "sub",
        "grants": grants,
        "key_ids": list(each.key_ids),
    }
