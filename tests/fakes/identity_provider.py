"""An OpenID provider with the behaviour that a test needs, right or wrong, over HTTP on a free port of this
machine.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from joserfc import jws, jwt
from joserfc.jwk import RSAKey

CLIENT_ID, SECRET = "trunkline", "a-secret-of-the-client"


def new_key() -> RSAKey:
    """Returns a new key; all keys have the same id."""
    return RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


@dataclass
class FakeProvider:
    """A provider. `claims` override the ID token's valid claims, and `metadata` the valid metadata; `spoil`
    changes a finished token. `codes` are the issued codes that were not exchanged yet.
    """

    issuer: str = ""
    key: RSAKey = field(default_factory=new_key)
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    spoil: Callable[[str], str] = field(default=lambda token: token)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    exchanged: list[dict[str, str]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def authorise(self, url: str) -> dict[str, str]:
        """Returns the parameters that the browser brings back from the authorization endpoint after a sign-in."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT_ID)
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        return {"state": asked["state"], "code": code, "iss": self.issuer}

    def token(self, asked: dict[str, str]) -> str:
        """Returns an ID token for the sign-in."""
        now = int(time.time())
        right = {
            "iss": self.issuer, "aud": CLIENT_ID, "sub": "sub-1", "iat": now, "exp": now + 300,
            "nonce": asked["nonce"], "email": "bob@example.org", "email_verified": True, "name": "Bob",
            "groups": [],
        }  # fmt: skip
        claims = {name: value for name, value in {**right, **self.claims}.items() if value is not None}
        return self.spoil(jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key))

    def unsigned(self, token: str) -> str:
        """Returns the same claims with `alg: none`."""
        header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
        return f"{header}.{token.split('.')[1]}."

    def signed_by_another(self, token: str) -> str:
        """Returns the same claims, signed with an unpublished key."""
        payload = base64.urlsafe_b64decode(token.split(".")[1] + "==")
        return jws.serialize_compact({"alg": "RS256", "kid": "one"}, payload, new_key())

    def signed_by_public_key(self, token: str) -> str:
        """Returns the same claims, with an HMAC whose key is public."""
        header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=").decode()
        content = f"{header}.{token.split('.')[1]}"
        # Signed by hand, because no library signs with such a key.
        digest = hmac.digest(self.key.as_pem(private=False), content.encode(), "sha256")
        return f"{content}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append(request.path)
        if request.path == "/.well-known/openid-configuration":
            paths = {"authorization_endpoint": "/auth", "token_endpoint": "/token", "jwks_uri": "/keys"}
            right = {name: f"{self.issuer}{path}" for name, path in paths.items()}
            right |= {"issuer": self.issuer, "userinfo_endpoint": f"{self.issuer}/me"}
            right["authorization_response_iss_parameter_supported"] = True  # type: ignore[assignment]
            return web.json_response({k: v for k, v in {**right, **self.metadata}.items() if v is not None})
        if request.path == "/keys":
            return web.json_response({"keys": [self.key.as_dict(private=False)]})
        if request.path == "/me":
            return web.json_response(self.userinfo or {"sub": "sub-1"})
        return await self._exchange(request)

    async def _exchange(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked = self.codes.pop(form["code"], None)
        expected = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or request.headers.get("authorization") != f"Basic {expected}"
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.exchanged.append(form)
        answer = {"access_token": "at", "token_type": "Bearer", "id_token": self.token(asked)}
        return web.Response(text=json.dumps(answer), content_type="application/json")


@asynccontextmanager
async def identity_provider() -> AsyncIterator[FakeProvider]:
    """Listens until the block ends."""
    provider = FakeProvider()
    runner = web.ServerRunner(web.Server(provider.handle))  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    provider.issuer = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    yield provider
    await runner.cleanup()
