"""The operator's settings for signing in: `accounts` and `oidc` of trunkline.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field

from xds_server.accounts.model import Role


@dataclass(frozen=True, slots=True)
class Accounts:
    """Settings of accounts. `console_url` is where people reach the console; empty: the admin listener's address.

    `sso_only`: passwords are not accepted.
    """

    console_url: str = ""
    sso_only: bool = False


@dataclass(frozen=True, slots=True)
class GroupRole:
    """What membership in a group of the provider grants: a role in an organisation, by name, or `admin`."""

    group: str
    organisation: str = ""
    role: Role | None = None
    admin: bool = False


@dataclass(frozen=True, slots=True)
class SignUp:
    """Who may sign up without an invitation: verified addresses in these domains. `organisation` empty: none."""

    domains: tuple[str, ...] = ()
    organisation: str = ""
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """An OpenID provider. `client_secret` is sealed, in base64, when it comes from the store, and in the clear on
    its way into the store; empty for a public client.
    """

    name: str
    issuer: str
    client_id: str
    title: str = ""
    client_secret: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ()
    groups_claim: str = ""
    groups: tuple[GroupRole, ...] = ()
    sign_up: SignUp = SignUp()
