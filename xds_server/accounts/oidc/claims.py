"""Checks what an identity provider says about a person. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xds_server.accounts.errors import SignInError
from xds_server.accounts.model import Role
from xds_server.accounts.settings import IdentityProvider

#: Tolerated difference of clocks, in seconds.
LEEWAY = 60
#: The claims that belong together.
_ADDRESS = frozenset({"email", "email_verified"})
_MAX_LENGTH = 255
_MAX_GROUPS = 1_000


@dataclass(frozen=True, slots=True)
class Person:
    """A person who has signed in. `email` is empty if the provider gives no address, or has not verified it."""

    issuer: str
    subject: str
    email: str
    name: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Grants:
    """The rights that groups grant: a role in each organisation that the groups decide about (None: no
    membership), and whether the person is an admin (None: groups do not decide).
    """

    roles: Mapping[str, Role | None]
    admin: bool | None

    @property
    def anything(self) -> bool:
        """True if the groups grant any role, or make the user an admin."""
        return bool(self.admin) or any(self.roles.values())


def check_id_token(claims: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, now: int) -> None:
    """Checks an ID token whose signature is valid (OpenID Connect Core 3.1.3.7). Raises SignInError."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != issuer:
        raise _wrong("it has another issuer")
    if client_id not in audiences:
        raise _wrong("it is for another client")
    if claims.get("azp", client_id) != client_id or (len(audiences) > 1 and "azp" not in claims):
        raise _wrong("it was issued to another client")
    if claims.get("nonce") != nonce:
        raise _wrong("it belongs to another sign-in")
    if _time(claims.get("exp"), 0) <= now - LEEWAY:
        raise _wrong("it has expired")
    never = now + 2 * LEEWAY
    if max(_time(claims.get("iat"), never), _time(claims.get("nbf", 0), never)) > now + LEEWAY:
        raise _wrong("its time is in the future: compare the clocks")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 1 <= len(subject) <= _MAX_LENGTH:
        raise _wrong("it names nobody")


def completed(token: Mapping[str, Any], user_info: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the ID token's claims, completed by those of UserInfo.

    `email` and `email_verified` come from the same answer if one has both: what one says verifies no other address
    that the other names.
    """
    pair = next((each for each in (token, user_info) if each.keys() >= _ADDRESS), {})
    return {**user_info, **token, **{name: pair[name] for name in _ADDRESS if name in pair}}


def person(claims: Mapping[str, Any], provider: IdentityProvider, email_rule: Any) -> Person:
    """Returns the person. `claims` are the ID token's, completed by UserInfo. `email_rule` returns whether an
    address is accepted.
    """
    email = claims.get("email")
    address = email.strip().lower() if isinstance(email, str) and email.isascii() else ""
    # Only a plain `true`: providers have sent the string "false", for example.
    if claims.get("email_verified") is not True or not email_rule(address):
        address = ""
    name = claims.get("name")
    shown = name.strip() if isinstance(name, str) and name.isprintable() else ""
    groups = claims.get(provider.groups_claim or "groups", [])
    listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return Person(
        provider.issuer,
        str(claims["sub"]),
        address,
        shown[:100],
        frozenset(each for each in listed[:_MAX_GROUPS] if isinstance(each, str)),
    )


def grants(provider: IdentityProvider, groups: frozenset[str]) -> Grants:
    """Returns what `groups` grant; of several roles in an organisation, the highest."""
    order = list(Role)
    roles: dict[str, Role | None] = {}
    for each in provider.groups:
        if each.role is None:
            continue
        known = roles.setdefault(each.organisation, None)
        if each.group in groups and (known is None or order.index(each.role) > order.index(known)):
            roles[each.organisation] = each.role
    deciding = [each.group for each in provider.groups if each.admin]
    return Grants(roles, bool(groups.intersection(deciding)) if deciding else None)


def may_sign_up(provider: IdentityProvider, email: str) -> bool:
    """Returns whether a person with a verified address may sign up without an invitation."""
    return bool(email) and email.rpartition("@")[2] in provider.sign_up.domains


def _time(value: Any, instead: float) -> float:
    """Returns Unix seconds; `instead` for a value that is not a time."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and value == value else instead  # noqa: PLR0124  # NaN is not itself


def _wrong(why: str) -> SignInError:
    return SignInError(f"the identity provider's answer is not accepted: {why}")
