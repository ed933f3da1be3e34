"""Replaces the settings of the clients' listener as a whole."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from urllib.parse import urlsplit

from xds_server.accounts.settings import IdentityProvider, JwtIssuer
from xds_server.errors import InvalidFieldError
from xds_server.model import GATEWAY_SECTIONS, MEMORY, Alerting, Gateway
from xds_server.store import codec, reading, views
from xds_server.store.records import Action, ObjectType
from xds_server.store.tables import GatewayRow
from xds_server.store.writing.management import settled_sections
from xds_server.store.writing.transaction import Transaction
from xds_server.store.writing.versions import check_put

#: There is only one gateway.
_ID, _NAME = 1, "gateway"


def put(
    transaction: Transaction,
    gateway: Gateway,
    *,
    expected: int | None,
    keep_password: bool = False,
    path: str = "gateway",
    sections: Collection[str] = GATEWAY_SECTIONS,
) -> Gateway:
    """Stores the gateway's settings and returns them as stored.

    Only `sections` are meant; the others stay as they are stored. With `keep_password` the stored password of the
    cache's store stays. `expected` is as in versions.check_put. Raises what that raises; ManagedError, see
    management.settled_sections; and InvalidFieldError if the password would go to another address, or an audience
    of tokens is a client of the sign-in page.
    """
    before = reading.gateway(transaction.snapshot(), transaction.cipher)
    check_put(ObjectType.GATEWAY, _NAME, current=before.version or None, expected=expected)
    renewed = renewed_oidc = False
    if "alerts" in sections:
        secret, renewed = _secret(transaction, before.alerts, gateway.alerts)
        gateway = replace(gateway, alerts=replace(gateway.alerts, secret=secret))
    if "oidc" in sections:
        oidc, renewed_oidc = _client_secrets(transaction, before, gateway)
        gateway = replace(gateway, oidc=oidc)
    if keep_password and "cache" in sections:
        gateway = replace(gateway, cache_password=_kept_password(before, gateway, path))
    gateway = replace(gateway, jwt=_with_keys(before.jwt, gateway.jwt))
    gateway = settled_sections(transaction, before, gateway, sections)
    _check_audiences(gateway, path)
    if replace(gateway, version=before.version) == before:
        return before
    stored = replace(gateway, version=transaction.revision)
    sealed = codec.seal_cache_password(transaction.cipher, stored.cache_password)
    transaction.session.merge(GatewayRow(id=_ID, **codec.GATEWAY.encode(stored), cache_password=sealed))
    secrets = ["alerts"] if renewed else []
    secrets += ["cache_password"] if before.cache_password != stored.cache_password else []
    secrets += ["oidc"] if renewed_oidc else []
    transaction.record(
        Action.UPDATE,
        ObjectType.GATEWAY,
        _NAME,
        views.gateway(before),
        views.gateway(stored),
        organisation_id="",
        secrets_changed=secrets,
    )
    return stored


def _check_audiences(gateway: Gateway, path: str) -> None:
    """Raises InvalidFieldError: an ID token of a sign-in page would be taken for an access token."""
    clients = {(each.issuer, each.client_id) for each in gateway.oidc}
    problems = [
        f"{path}.jwt[{index}].audiences[{position}]: the client id of `oidc`, with which everybody who signs in "
        "would hold a token for the API; accepted: the audience of access tokens, which the identity provider "
        "has for an API"
        for index, issuer in enumerate(gateway.jwt)
        for position, audience in enumerate(issuer.audiences)
        if (issuer.issuer, audience) in clients
    ]
    if problems:
        raise InvalidFieldError(problems)


def renew_keys(transaction: Transaction, issuer: JwtIssuer, keys: str) -> bool:
    """Stores the keys that `issuer` publishes. Returns whether they are others than before; an issuer that is not
    configured like that any more is passed over. Who manages the gateway, and its version, stay as they are.
    """
    before = reading.gateway(transaction.snapshot(), transaction.cipher)
    asked = (issuer.name, issuer.issuer, issuer.jwks_url)
    after = replace(
        before,
        jwt=tuple(
            replace(each, keys=keys) if (each.name, each.issuer, each.jwks_url) == asked else each
            for each in before.jwt
        ),
    )
    if after == before:
        return False
    row = transaction.session.get_one(GatewayRow, _ID)
    row.jwt = codec.GATEWAY.encode(after)["jwt"]
    transaction.session.add(row)
    transaction.record(
        Action.UPDATE, ObjectType.GATEWAY, _NAME, views.gateway(before), views.gateway(after), organisation_id=""
    )
    return True


def _with_keys(before: tuple[JwtIssuer, ...], wanted: tuple[JwtIssuer, ...]) -> tuple[JwtIssuer, ...]:
    """Keeps the keys that were read from where an issuer publishes them still."""
    stored = {(each.name, each.issuer, each.jwks_url): each.keys for each in before}
    return tuple(replace(each, keys=stored.get((each.name, each.issuer, each.jwks_url), "")) for each in wanted)


def _client_secrets(
    transaction: Transaction, before: Gateway, wanted: Gateway
) -> tuple[tuple[IdentityProvider, ...], bool]:
    """Returns the providers with sealed secrets, and whether any secret replaces another.

    A stored secret stays with the issuer and client that it was given for.
    """
    stored = {each.name: each for each in before.oidc}
    found, renewed = [], False
    for each in wanted.oidc:
        known = stored.get(each.name)
        same = known is not None and (known.issuer, known.client_id) == (each.issuer, each.client_id)
        sealed = known.client_secret if known is not None and same else ""
        if (
            each.client_secret
            and codec.open_client_secret(transaction.cipher, each.name, sealed) != each.client_secret
        ):
            renewed = renewed or bool(sealed)
            sealed = codec.seal_client_secret(transaction.cipher, each.name, each.client_secret)
        found.append(replace(each, client_secret=sealed))
    return tuple(found), renewed


def _secret(transaction: Transaction, before: Alerting, wanted: Alerting) -> tuple[bytes, bool]:
    """Returns the sealed secret to store, and whether it replaces another. Without a webhook no secret is stored.

    Raises InvalidFieldError if there is no secret.
    """
    if not wanted.webhook:
        return b"", False
    if not wanted.secret:
        if not before.secret:
            raise InvalidFieldError(["gateway.alerts.secret: missing; accepted: 16 to 256 characters"])
        return before.secret, False
    if before.secret and codec.open_webhook(transaction.cipher, before.secret) == wanted.secret:
        return before.secret, False
    return codec.seal_webhook(transaction.cipher, wanted.secret), bool(before.secret)


def _kept_password(before: Gateway, after: Gateway, path: str) -> str:
    """Returns the stored password, which goes only to the address that it was given for."""
    if not before.cache_password or after.cache.store == MEMORY:
        return ""
    if _address(before.cache.store) != _address(after.cache.store):
        raise InvalidFieldError([f"{path}.cache.store: {_moved(before.cache.store)}"])
    return before.cache_password


def _address(store: str) -> tuple[str, str]:
    """Returns scheme, user, host and port, without the number of the database."""
    parts = urlsplit(store)
    return parts.scheme, parts.netloc


def _moved(before: str) -> str:
    scheme, netloc = _address(before)
    return (
        f"the stored password was given for {scheme}://{netloc} and would go to another address; give `password` "
        'again (--cache-password), or remove it (--no-cache-password; in a file `password: ""`)'
    )
