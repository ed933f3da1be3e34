"""Parses a document's sign-in settings into the model's values."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from trunkline_proto.admin.v1 import accounts_pb2 as pb

from xds_server.accounts.model import Role
from xds_server.accounts.settings import Accounts, GroupRole, IdentityProvider, SignUp
from xds_server.admin import enums, values
from xds_server.admin.problems import Problems

_PROVIDERS, _GROUPS, _DOMAINS, _SCOPES = 20, 500, 100, 20
_MAX_LENGTH = 500
_WORD = re.compile(r"[!#-\[\]-~]{1,100}")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


def accounts(message: pb.Accounts, problems: Problems) -> Accounts:
    """Returns the value; notes what is not accepted."""
    return Accounts(url(message.console_url, problems.at("console_url"), path=False), message.sso_only)


def parsed(messages: Sequence[pb.IdentityProvider], problems: Problems) -> tuple[IdentityProvider, ...]:
    """Returns the values; notes what is not accepted. `problems` is at the message that has them."""
    values.at_most(messages, _PROVIDERS, problems.at("oidc"))
    values.unique((each.name for each in messages), problems, "oidc", "name")
    found = []
    for index, each in enumerate(messages):
        at = problems.at("oidc", index)
        values.name(each.name, at.at("name"))
        found.append(_provider(each, at))
    return tuple(found)


def _provider(message: pb.IdentityProvider, problems: Problems) -> IdentityProvider:
    for field in ("client_id", "client_secret", "title", "groups_claim"):
        text = getattr(message, field)
        if len(text) > _MAX_LENGTH or not text.isprintable() or (field == "client_id" and not text):
            problems.at(field).note(f"accepted: at most {_MAX_LENGTH} printable characters (not shown)")
    values.at_most(message.scopes, _SCOPES, problems.at("scopes"))
    for index, scope in enumerate(message.scopes):
        if not _WORD.fullmatch(scope):
            problems.at("scopes", index).note(
                f"{values.quoted(scope)} is not a scope; accepted: a word such as email"
            )
    values.at_most(message.groups, _GROUPS, problems.at("groups"))
    if not message.issuer:
        problems.at("issuer").note("missing")
    return IdentityProvider(
        name=message.name,
        issuer=url(message.issuer, problems.at("issuer"), path=True),
        client_id=message.client_id,
        title=message.title,
        client_secret=message.client_secret,
        scopes=tuple(message.scopes),
        groups_claim=message.groups_claim,
        groups=tuple(_group(each, problems.at("groups", index)) for index, each in enumerate(message.groups)),
        sign_up=_sign_up(message.sign_up, problems.at("sign_up")),
    )


def _group(message: pb.GroupRole, problems: Problems) -> GroupRole:
    if not 1 <= len(message.group) <= _MAX_LENGTH or not message.group.isprintable():
        problems.at("group").note(f"accepted: 1 to {_MAX_LENGTH} printable characters")
    role = _role(message, problems)
    if bool(message.organisation) != (role is not None):
        problems.note("accepted: `organisation` and `role` together")
    elif not message.organisation and not message.admin:
        problems.note("grants nothing; accepted: `organisation` and `role`, or `admin`")
    return GroupRole(message.group, message.organisation, role, message.admin)


def _sign_up(message: pb.SignUp, problems: Problems) -> SignUp:
    values.at_most(message.domains, _DOMAINS, problems.at("domains"))
    for index, domain in enumerate(message.domains):
        if not _DOMAIN.fullmatch(domain):
            shown = values.quoted(domain)
            problems.at("domains", index).note(f"{shown} is not a domain; accepted: one such as example.org")
    role = _role(message, problems)
    if not message.domains and (message.organisation or role is not None):
        problems.at("domains").note("missing; accepted: the domains of people who may sign up")
    if role is not None and not message.organisation:
        problems.at("organisation").note("missing; accepted: the organisation that the role is in")
    return SignUp(tuple(message.domains), message.organisation, role)


def _role(message: pb.GroupRole | pb.SignUp, problems: Problems) -> Role | None:
    if message.organisation and not values.is_name(message.organisation):
        problems.at("organisation").note(f"accepted: {values.NAME_RULE}")
    role = enums.optional(Role, message, "role")
    if message.role and role is None:
        problems.at("role").note(f"not a known value; accepted: {', '.join(Role)}")
    return role


def url(text: str, problems: Problems, *, path: bool) -> str:
    """Accepts https, or http on this machine only: what passes there is worth a password."""
    if not text:
        return ""
    rule = f"accepted: https://HOST[:PORT]{'[/PATH]' if path else ''}, or http:// on localhost"
    parts = urlsplit(values.base_url(text, problems))
    if parts.scheme == "http" and not _is_here(parts.hostname or ""):
        problems.note(f"plain http is not accepted; {rule}")
    if not path and parts.path.strip("/"):
        problems.note(f"a path is not accepted; {rule}")
    return text if path else text.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
