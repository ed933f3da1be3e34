"""Requests metadata, keys, tokens and UserInfo from identity providers. All answers are bounded and checked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from xds_server.accounts.errors import ProviderError, SignInError
from xds_server.accounts.oidc import asking, claims
from xds_server.accounts.oidc.flow import OidcFlow
from xds_server.accounts.settings import IdentityProvider

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

#: Seconds for which metadata and keys are cached, and between two requests because of an unknown key.
_FRESH, _LOOK_AGAIN = 600.0, 10.0
#: Signatures that only the provider's private key can make. Never `none`, and no HMAC, whose key others may know.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True, slots=True)
class Metadata:
    """A provider's metadata (OpenID Connect Discovery 1.0, section 3), as far as it is used."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    #: The provider names itself in its answers (RFC 9207).
    names_itself: bool
    #: The client's secret goes into the body rather than a header.
    secret_in_body: bool


class OidcClient:
    """Talks to identity providers, and caches metadata and keys for some minutes."""

    def __init__(self) -> None:
        self._metadata: dict[str, tuple[float, Metadata]] = {}
        self._keys: dict[str, tuple[float, KeySet]] = {}

    async def metadata(self, provider: IdentityProvider) -> Metadata:
        """Returns the provider's metadata. Raises ProviderError."""
        found = self._metadata.get(provider.issuer)
        if found is None or time.monotonic() - found[0] > _FRESH:
            url = f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
            said = await asking.ask("GET", url)
            found = (time.monotonic(), _metadata(said, provider))
            self._metadata[provider.issuer] = found
        return found[1]

    async def person(
        self,
        provider: IdentityProvider,
        secret: str,
        flow: OidcFlow,
        *,
        code: str,
        redirect_uri: str,
        email_rule: Any,
    ) -> claims.Person:
        """Exchanges the code, and returns the person who has signed in. Raises SignInError, ProviderError."""
        known = await self.metadata(provider)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": flow.verifier,
        }
        headers = {}
        if not secret or known.secret_in_body:
            form |= {"client_id": provider.client_id, **({"client_secret": secret} if secret else {})}
        else:
            headers["authorization"] = _basic(provider.client_id, secret)
        said = await asking.ask("POST", known.token_endpoint, form=form, headers=headers)
        token, access = said.get("id_token"), said.get("access_token")
        if not isinstance(token, str):
            raise ProviderError("the identity provider's answer has no ID token: ask for the scope `openid`")
        found = await self._verified(provider, known, token)
        claims.check_id_token(
            found,
            issuer=provider.issuer,
            client_id=provider.client_id,
            nonce=flow.nonce,
            now=int(time.time()),
        )
        wanted = {"email", "email_verified", provider.groups_claim or "groups"}
        if known.userinfo_endpoint and isinstance(access, str) and wanted - found.keys():
            bearer = {"authorization": f"Bearer {access}"}
            more = await asking.ask("GET", known.userinfo_endpoint, headers=bearer)
            if more.get("sub") != found["sub"]:
                raise SignInError("the identity provider's answers are about two different people")
            found = claims.completed(found, more)
        return claims.person(found, provider, email_rule)

    async def _verified(self, provider: IdentityProvider, known: Metadata, token: str) -> Mapping[str, Any]:
        """Returns the claims of a token that the provider has signed. Raises SignInError, ProviderError."""
        for again in (False, True):
            keys = await self._key_set(known.jwks_uri, again=again)
            try:
                return _decoded(token, keys)
            except ValueError as error:
                # The provider may have a new key since.
                if again or time.monotonic() - self._keys[known.jwks_uri][0] < _LOOK_AGAIN:
                    raise SignInError(
                        "the identity provider's answer is not accepted: its signature is invalid"
                    ) from error
        raise AssertionError("the second look raises")

    async def _key_set(self, url: str, *, again: bool) -> KeySet:
        from joserfc.errors import JoseError  # noqa: PLC0415  # only where identity providers are used
        from joserfc.jwk import KeySet  # noqa: PLC0415

        found = self._keys.get(url)
        if found is None or again or time.monotonic() - found[0] > _FRESH:
            said = await asking.ask("GET", url)
            try:
                found = (time.monotonic(), KeySet.import_key_set(said))  # type: ignore[arg-type]
            except (JoseError, ValueError, KeyError, TypeError) as error:
                raise ProviderError(f"{asking.shown(url)} has no keys that can be read") from error
            self._keys[url] = found
        return found[1]


def _metadata(said: Mapping[str, Any], provider: IdentityProvider) -> Metadata:
    if said.get("issuer") != provider.issuer:
        raise ProviderError(
            f"the metadata of {asking.shown(provider.issuer)} are those of another issuer: compare `issuer`"
        )
    scheme = urlsplit(provider.issuer).scheme

    def endpoint(name: str, *, optional: bool = False) -> str:
        value = said.get(name)
        if value is None and optional:
            return ""
        parts = urlsplit(value) if isinstance(value, str) else None
        if parts is None or not parts.hostname or parts.scheme not in {"https", scheme} or parts.fragment:
            raise ProviderError(f"the metadata of {asking.shown(provider.issuer)} have no usable {name}")
        return str(value)

    methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    listed = methods if isinstance(methods, list) else []
    return Metadata(
        endpoint("authorization_endpoint"),
        endpoint("token_endpoint"),
        endpoint("jwks_uri"),
        endpoint("userinfo_endpoint", optional=True),
        said.get("authorization_response_iss_parameter_supported") is True,
        "client_secret_basic" not in listed and "client_secret_post" in listed,
    )


def _decoded(token: str, keys: KeySet) -> Mapping[str, Any]:
    """Returns the claims. Raises ValueError for a token that none of `keys` has signed."""
    from joserfc import jwt  # noqa: PLC0415
    from joserfc.errors import JoseError  # noqa: PLC0415

    try:
        return jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims
    except (JoseError, TypeError, KeyError) as error:
        raise ValueError(type(error).__name__) from error


def _basic(client_id: str, secret: str) -> str:
    """Returns the Basic credentials. RFC 6749, 2.3.1: both parts are form-encoded first."""
    import base64  # noqa: PLC0415

    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
