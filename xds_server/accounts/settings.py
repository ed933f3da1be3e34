"""The operator's settings for signing in and for tokens: `accounts`, `oidc` and `jwt` of trunkline.yaml."""

from __future__ import annotations

import json
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
    """The rights that membership in a group of the provider grants: a role in an organisation, by name, or
    `admin`.
    """

    group: str
    organisation: str = ""
    role: Role | None = None
    admin: bool = False


@dataclass(frozen=True, slots=True)
class SignUp:
    """Allows sign-up without an invitation for verified addresses in `domains`; to nobody if `organisation` is
    empty.
    """

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


@dataclass(frozen=True, slots=True)
class JwtGrant:
    """Tokens in which `claim` is or has `value` act as the API key `key` of `organisation`, both by name. An empty
    `claim` fits every token.
    """

    claim: str
    value: str
    organisation: str
    key: str


@dataclass(frozen=True, slots=True)
class JwtIssuer:
    """An identity provider whose access tokens are accepted instead of API keys.

    `keys` is the JWK set that was read last, as JSON; empty: none was read yet.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...] = ()
    jwks_url: str = ""
    user_claim: str = ""
    grants: tuple[JwtGrant, ...] = ()
    keys: str = field(default="", repr=False)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of `keys`; `-` for a key that has none."""
        return tuple(str(each.get("kid", "-")) for each in json.loads(self.keys)["keys"]) if self.keys else ()
