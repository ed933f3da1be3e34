"""`trunkline sso`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.words import ROLES

from trunkline import changes, completion
from trunkline.client import Control, change_options, control_options
from trunkline.config import export
from trunkline.config.secrets import Secrets
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.output import output_option, render
from trunkline.text import say
from trunkline.verbs import sections

_COLUMNS = ("name", "title", "issuer", "client_id", "has_secret", "scopes", "groups_claim", "groups", "sign_up")
_IMPORTANT = ("name", "issuer", "groups", "sign_up")
_GROUP = "GROUP=ORG:ROLE or GROUP=admin"


@click.group(cls=SuggestingGroup)
def sso() -> None:
    """Manage identity providers through which people sign in, and whether passwords are accepted."""


@sso.command(
    "list",
    epilog="""\b
Examples:
  trunkline sso list
""",
)
@output_option
@control_options
def list_providers(*, control: Control, output: str) -> None:
    """List all identity providers, without their client secrets."""
    with control.connect() as api:
        found = api.GetGateway(admin.GetGatewayRequest()).gateway
    say(render([_row(each) for each in found.oidc], _COLUMNS, output, important=_IMPORTANT), lines=True)


@sso.command(
    "set",
    epilog="""\b
Examples:
  trunkline sso set corp --issuer https://login.example.org --client-id trunkline --client-secret env:OIDC_SECRET
  trunkline sso set corp --group staff=acme:member --group platform=admin
  trunkline sso set corp --sign-up-domain example.org --sign-up-org acme --sign-up-role viewer
""",
)
@click.argument("name")
@click.option("--issuer", help="The issuer, exactly as in the provider's metadata.")
@click.option("--client-id", help="The id under which the provider has registered the gateway.")
@click.option("--client-secret", metavar="env:NAME|file:PATH", help="The client secret, if there is one.")
@click.option("--title", help="Text of the button; empty: the name.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="A scope in addition to `openid`; may be repeated. Replaces the current ones.",
)
@click.option("--groups-claim", help="The claim with the groups; empty: groups.")
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar=_GROUP,
    help="A group and its rights; may be repeated. Replaces the current ones.",
)
@click.option(
    "--sign-up-domain",
    "domains",
    multiple=True,
    help="An e-mail domain whose users may join uninvited; may be repeated. Replaces the current ones.",
)
@click.option("--sign-up-org", shell_complete=completion.ORGS, help="The organisation that they join.")
@click.option("--sign-up-role", type=click.Choice(list(ROLES)), help="Their role.  [default: member]")
@change_options
def set_provider(*, control: Control, name: str, **given: Any) -> None:
    """Add the identity provider NAME, or change the given values."""
    sections.put(control, "oidc", name, lambda entry: _fill(entry, given))


@sso.command(
    epilog="""\b
Examples:
  trunkline sso remove corp
"""
)
@click.argument("name")
@change_options
def remove(*, control: Control, name: str) -> None:
    """Remove the identity provider NAME. Its users stay; `trunkline users` removes them."""
    sections.remove(control, "oidc", name)


@sso.command(
    epilog="""\b
Examples:
  trunkline sso console https://console.example.org
  trunkline sso console https://console.example.org --only
"""
)
@click.argument("url", required=False)
@click.option("--only/--not-only", default=None, help="Refuse sign-in with passwords.")
@change_options
def console(*, control: Control, url: str | None, only: bool | None) -> None:
    """Set the URL at which people reach the console ("": the admin listener's address), and how they sign in."""
    if url is None and only is None:
        raise UsageError("give the console's URL, --only or --not-only")
    with control.connect() as api:
        stored = api.GetGateway(admin.GetGatewayRequest()).gateway
        wanted = changes.copied(stored)
        if url is not None:
            wanted.accounts.console_url = url
        if only is not None:
            wanted.accounts.sso_only = only
        answer = api.PutGateway(admin.PutGatewayRequest(gateway=wanted))
    say("~ accounts")
    changes.say_between(export.gateway(stored), export.gateway(wanted))
    changes.report(answer.propagation)


def _fill(message: admin.IdentityProvider, given: dict[str, Any]) -> None:
    for field in ("issuer", "client_id", "title", "groups_claim"):
        if given[field] is not None:
            setattr(message, field, given[field])
    if given["client_secret"] is not None:
        message.client_secret = _secret(given["client_secret"])
    if given["scopes"]:
        message.scopes[:] = given["scopes"]
    if given["groups"]:
        del message.groups[:]
        message.groups.extend(map(_group, given["groups"]))
    if given["domains"]:
        message.sign_up.domains[:] = given["domains"]
    if given["sign_up_org"] is not None:
        message.sign_up.organisation = given["sign_up_org"]
    if given["sign_up_role"] is not None:
        message.sign_up.role = ROLES[given["sign_up_role"]]


def _group(text: str) -> admin.GroupRole:
    group, separator, gives = text.rpartition("=")
    if separator and group and gives == "admin":
        return admin.GroupRole(group=group, admin=True)
    organisation, colon, role = gives.rpartition(":")
    if not (separator and group and colon) or role not in ROLES:
        raise UsageError(f'--group "{text}": write {_GROUP}, such as staff=acme:member')
    return admin.GroupRole(group=group, organisation=organisation, role=ROLES[role])


def _secret(text: str) -> str:
    try:
        return Secrets(os.environ, Path.cwd()).credential(text)
    except ValueError as error:
        raise UsageError(f"--client-secret: {error}") from error


def _row(each: admin.IdentityProvider) -> dict[str, Any]:
    groups = [
        f"{one.group}={'admin' if one.admin else f'{one.organisation}:{ROLES.word(one.role)}'}"
        for one in each.groups
    ]
    return {
        **{name: getattr(each, name) for name in ("name", "issuer", "client_id", "has_secret")},
        "title": each.title or each.name,
        "scopes": list(each.scopes) or ["profile", "email"],
        "groups_claim": each.groups_claim or "groups",
        "groups": groups,
        "sign_up": list(each.sign_up.domains),
    }
