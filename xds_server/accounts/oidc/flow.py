"""Keeps the state between a sign-in's two halves in the browser, sealed. Beginning a sign-in stores nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from urllib.parse import urlencode

from xds_server.accounts.errors import SignInError

#: Seconds to sign in at the provider.
SECONDS = 600
#: A path of our own: no scheme, no host, and nothing that a browser takes for the beginning of one.
_NEXT = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")
_BEGIN_AGAIN = "begin again on the sign-in page"


@dataclass(frozen=True, slots=True)
class OidcFlow:
    """A sign-in in progress. Nobody can guess the fields other than `provider` and `next`."""

    provider: str
    next: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)

    @classmethod
    def begin(cls, provider: str, next_: str) -> OidcFlow:
        """Returns a new flow with secrets of its own; an empty `next_` is the console's first page."""
        return cls(provider, next_ or "/", *(secrets.token_urlsafe(32) for _ in range(3)))

    @property
    def challenge(self) -> str:
        """Returns PKCE's challenge, S256."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    @property
    def state_hash(self) -> bytes:
        """The SHA-256 by which a used state is recognised."""
        return hashlib.sha256(self.state.encode()).digest()


def is_own_path(text: str) -> bool:
    """Returns whether a browser that is sent to `text` stays on our site."""
    return _NEXT.fullmatch(text) is not None


def url(endpoint: str, flow: OidcFlow, *, client_id: str, redirect_uri: str, scopes: str) -> str:
    """Returns where the browser goes; the endpoint may have a query of its own."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scopes,
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": flow.challenge,
        "code_challenge_method": "S256",
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def seal(flow: OidcFlow, key: bytes) -> str:
    """Returns what the browser keeps, and can neither read nor forge."""
    from cryptography.fernet import Fernet  # noqa: PLC0415  # only where identity providers are used

    return Fernet(base64.urlsafe_b64encode(key)).encrypt(json.dumps(asdict(flow)).encode()).decode()


def unseal(sealed: str, key: bytes, *, provider: str, state: str) -> OidcFlow:
    """Returns the flow that this browser began with this provider and state.

    Raises SignInError if it began none or another one, or took too long.
    """
    from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415

    try:
        found = OidcFlow(**json.loads(Fernet(base64.urlsafe_b64encode(key)).decrypt(sealed.encode(), ttl=SECONDS)))
    except (InvalidToken, ValueError, TypeError) as error:
        raise SignInError(
            f"this browser has begun no sign-in, or began it too long ago: {_BEGIN_AGAIN}"
        ) from error
    if found.provider != provider or not secrets.compare_digest(found.state.encode(), state.encode()):
        raise SignInError(f"this is the answer to a sign-in of another browser: {_BEGIN_AGAIN}")
    return found
