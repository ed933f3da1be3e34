"""Access tokens of identity providers as API keys, through the whole gateway."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.clients import environments
from tests.fakes.identity_provider import FakeProvider, identity_provider
from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import exported, settled
from tests.waiting import until_answered

#: A resource of OAuth (RFC 8707), which is a URL.
AUDIENCE = "https://gateway.example/v1"
CLIENT_ID, SECRET = "batch", "a-secret-of-the-client"
VALUE = "sk-test-jwt-people-0123"
PATIENCE = 90.0


@pytest.fixture(scope="module")
def certified() -> Iterator[str]:
    """The issuer of npm's `oidc-provider`."""
    directory = environments.identity_provider()
    process = subprocess.Popen(
        [
            environments.node_program(),
            str(directory / "provider.mjs"),
            "https://app.example/cb",
            CLIENT_ID,
            SECRET,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=directory,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.stdin.close()
    process.stdout.close()
    assert process.wait() == 0


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, certified: str) -> dict[str, Any]:
    target = {"provider": "a", "model": "gpt-4.1"}
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            {"model": "gpt-4.1", "targets": [target]},
            {"model": "large", "targets": [target]},
            {"model": "by-key", "cache": {"ttl": "1h", "scope": "key"}, "targets": [target]},
            {"model": "by-user", "cache": {"ttl": "1h", "scope": "user"}, "targets": [target]},
        ],
        "organisations": [
            {
                "name": "acme",
                "limits": [
                    {"metric": "requests", "per": "366d", "amount": 12, "each": "user", "model": "gpt-4.1"}
                ],
                # A key that only tokens act as needs no value.
                "keys": [
                    {"name": "services", "models": ["gpt-*"]},
                    {"name": "people", "value": VALUE},
                    {"name": "leaving", "value": "sk-test-jwt-leaving-0123"},
                ],
            }
        ],
        "jwt": [
            {
                "name": "certified",
                "issuer": certified,
                "audiences": [AUDIENCE],
                "grants": [{"claim": "scope", "value": "chat", "organisation": "acme", "key": "services"}],
            }
        ],
    }


@pytest.fixture(autouse=True)
def behave_well(provider_a: ProviderProcess) -> None:
    provider_a.behave("ok")
    provider_a.clear()


@pytest.fixture
async def fake(gateway: GatewayProcess, config: dict[str, Any]) -> AsyncIterator[FakeProvider]:
    """An issuer whose tokens the gateway accepts as the key `people`."""
    async with identity_provider() as running:
        issuer = {
            "name": "fake",
            "issuer": running.issuer,
            "audiences": [AUDIENCE],
            "grants": [{"organisation": "acme", "key": "people"}],
        }
        gateway.config_file.write_text(json.dumps({**config, "jwt": [*config["jwt"], issuer]}))
        # A test before this one may have changed the issuers by a command.
        apply = ("apply", "-f", str(gateway.config_file), "--take-over")
        await asyncio.to_thread(gateway.run, *apply)
        await accepted(gateway, token(running, "somebody"))
        yield running


def token(provider: FakeProvider, user: str, *, key: RSAKey | None = None, **other: Any) -> str:
    now = int(time.time())
    said = {"iss": provider.issuer, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + 600, **other}
    signs = key or provider.key
    return jwt.encode({"alg": "RS256", "kid": signs.kid}, said, signs)


async def ask(gateway: GatewayProcess, value: str, model: str = "gpt-4.1", **more: Any) -> tuple[int, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
    headers = {"authorization": f"Bearer {value}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.base_url}/chat/completions", json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def accepted(gateway: GatewayProcess, value: str) -> None:
    """Waits until the issuer's keys have been read, with a request that costs nothing."""

    async def known() -> bool:
        return (await models(gateway, value))[0] == 200

    await until_answered(known, PATIENCE)


async def models(gateway: GatewayProcess, value: str) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {value}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.base_url}/models", headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def issued(issuer: str) -> str:
    """Returns an access token of the certified provider for the gateway, as a service gets it."""
    form = {"grant_type": "client_credentials", "scope": "chat", "resource": AUDIENCE}
    async with (
        aiohttp.ClientSession(headers={"authorization": aiohttp.encode_basic_auth(CLIENT_ID, SECRET)}) as session,
        session.post(f"{issuer}/token", data=form) as answer,
    ):
        said = await answer.json()
        assert answer.status == 200, said
        return str(said["access_token"])


async def test_a_token_of_the_certified_provider(
    gateway: GatewayProcess, provider_a: ProviderProcess, certified: str
) -> None:
    value = await issued(certified)
    await accepted(gateway, value)
    status, answer = await ask(gateway, value, user="somebody else")
    assert status == 200, answer
    (received,) = provider_a.requests()
    assert value not in json.dumps(received.headers)
    assert (await ask(gateway, value, "large"))[0] == 404
    assert [each["id"] for each in (await models(gateway, value))[1]["data"]] == ["gpt-4.1"]
    await settled(gateway)
    (record,) = [each for each in await exported(gateway) if each.get("end_user", "").startswith("certified:")]
    listed = json.loads((await asyncio.to_thread(gateway.run, "keys", "list", "--output", "json")).stdout)
    assert record["key_id"] == next(each["id"] for each in listed if each["name"] == "services")
    assert record["end_user"] == f"certified:{CLIENT_ID}"
    # Neither the token nor its signing key appears.
    _, payload, signature = value.split(".")
    texts = [path for path in gateway.data_dir.rglob("*") if path.is_file()] + [gateway.errors_file]
    for path in texts:
        with suppress(FileNotFoundError):  # the gateway replaces its files
            content = path.read_bytes()
            assert signature.encode() not in content, path
            assert payload.encode() not in content, path


async def test_what_is_not_accepted(gateway: GatewayProcess, fake: FakeProvider) -> None:
    foreign = RSAKey.generate_key(2048, {"kid": "one"})
    good = token(fake, "alice")
    assert good.count(".") == 2
    for value, code in (
        (token(fake, "alice", aud="trunkline"), "invalid_token"),
        (token(fake, "alice", iss="https://evil.example"), "invalid_token"),
        (token(fake, "alice", exp=int(time.time()) - 60), "token_expired"),
        (token(fake, "alice", key=foreign), "invalid_token"),
        (fake.unsigned(good), "invalid_token"),
        (fake.signed_by_public_key(good), "invalid_token"),
        (token(fake, "alice", padding="x" * 20_000), "invalid_api_key"),
    ):
        status, answer = await ask(gateway, value)
        assert (status, answer["error"]["code"]) == (401, code)
        assert answer["error"]["type"] == "invalid_request_error"
        assert value not in json.dumps(answer)


async def test_a_long_token_is_a_token(gateway: GatewayProcess, fake: FakeProvider) -> None:
    groups = [f"group-{number}-{secrets.token_hex(8)}" for number in range(200)]
    assert (await ask(gateway, token(fake, "long", groups=groups)))[0] == 200


async def test_limits_count_by_the_tokens_user(gateway: GatewayProcess, fake: FakeProvider) -> None:
    value = token(fake, "limited")
    # A `user` in the body is ignored, and another token of the same person identifies the same person.
    statuses = [(await ask(gateway, value, user=f"u{number}"))[0] for number in range(11)]
    statuses += [(await ask(gateway, token(fake, "limited", jti="2"), user="u"))[0] for _ in range(2)]
    assert statuses == [200] * 12 + [429]
    assert (await ask(gateway, token(fake, "other")))[0] == 200


@pytest.mark.parametrize("model", ["by-key", "by-user"])
async def test_kept_answers_are_the_persons_own(
    gateway: GatewayProcess, fake: FakeProvider, provider_a: ProviderProcess, model: str
) -> None:
    async def is_kept(user: str = "anne") -> bool:
        before = len(await provider_a.arequests())
        status, _ = await ask(gateway, token(fake, user, jti=secrets.token_hex(4)), model, user="fake:anne")
        assert status == 200
        return len(await provider_a.arequests()) == before

    assert not await is_kept()
    await until_answered(is_kept, PATIENCE)  # the copy of the answer arrives a moment after it
    assert not await is_kept("bert")


async def test_another_key_of_the_issuer_is_looked_for(gateway: GatewayProcess, fake: FakeProvider) -> None:
    old = token(fake, "alice")
    previous, fake.key = fake.key, RSAKey.generate_key(2048, {"kid": "two"})
    assert (await models(gateway, token(fake, "alice")))[0] == 401
    await accepted(gateway, token(fake, "alice"))
    # From then on, tokens of a key that is no longer published are refused.
    assert (await models(gateway, old))[0] == 401
    assert (await models(gateway, token(fake, "alice", key=previous)))[0] == 401


async def test_an_issuer_that_goes_takes_its_tokens_with_it(gateway: GatewayProcess, fake: FakeProvider) -> None:
    value = token(fake, "alice")
    assert (await ask(gateway, value))[0] == 200
    listed = json.loads((await asyncio.to_thread(gateway.run, "jwt", "list", "--output", "json")).stdout)
    assert [each["name"] for each in listed] == ["certified", "fake"]
    await asyncio.to_thread(gateway.run, "jwt", "remove", "fake", "--take-over")
    status, answer = await ask(gateway, value)
    assert (status, answer["error"]["code"]) == (401, "invalid_token")
    given = ("--issuer", fake.issuer, "--audience", AUDIENCE, "--grant", "sub=alice:acme/leaving")
    await asyncio.to_thread(gateway.run, "jwt", "set", "again", *given)
    await accepted(gateway, value)
    assert (await ask(gateway, token(fake, "bob")))[0] == 401
    await asyncio.to_thread(gateway.run, "keys", "revoke", "acme/leaving")
    assert (await ask(gateway, value))[0] == 401
    shown = await asyncio.to_thread(gateway.run, "audit", "list", "--type", "gateway", check=False)
    assert value not in shown.stdout
