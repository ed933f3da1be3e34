"""Sign-in through npm's `oidc-provider`, which is certified by the OpenID Foundation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import aiohttp
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.clients import environments
from tests.xds_server.accounts.conftest import Gateway, serving
from tests.xds_server.accounts.test_oidc import CONSOLE, begin, come_back, configure, me
from xds_server.store import DatabaseUrl, Store

CLIENT_ID, SECRET = "trunkline", "a secret: of +the/client%"
REDIRECT_URI = f"{CONSOLE}/admin/v1/oidc/certified:callback"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    store = Store.open(DatabaseUrl.of_file(tmp_path / "trunkline.db"), key_file=tmp_path / "secret.key")
    async for each in serving(store, tmp_path):
        yield each
    store.close()


@pytest.fixture
async def issuer() -> AsyncIterator[str]:
    directory = await asyncio.to_thread(environments.identity_provider)
    process = await asyncio.create_subprocess_exec(
        environments.node_program(), str(directory / "provider.mjs"), REDIRECT_URI, CLIENT_ID, SECRET,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=directory,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(240):
        said = (await process.stdout.readline()).decode().strip()
    assert said.startswith("http://127.0.0.1:")
    yield said
    process.stdin.close()
    assert await process.wait() == 0


async def _at_the_provider(url: str) -> dict[str, str]:
    """Follows the provider's own redirects like a browser. Returns the parameters that it brings back to the
    gateway.
    """
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        for _ in range(10):
            async with session.get(url, allow_redirects=False) as response:
                assert response.status in {302, 303}, await response.text()
                url = urljoin(url, response.headers["location"])
            if url.startswith(REDIRECT_URI):
                return dict(parse_qsl(urlsplit(url).query))
    raise AssertionError("the provider never came to an end")


async def test_the_certified_provider(gateway: Gateway, issuer: str) -> None:
    await gateway.admin.PutOrganisation(pb.PutOrganisationRequest(organisation=pb.Organisation(name="acme")))
    groups = [pb.GroupRole(group="staff", organisation="acme", role=pb.ROLE_OPERATOR)]
    provider = pb.IdentityProvider(
        name="certified", issuer=issuer, client_id=CLIENT_ID, client_secret=SECRET, groups=groups
    )
    await configure(gateway, provider)
    browser = gateway.browser()
    brought = await _at_the_provider(await begin(browser, "certified", "/#usage"))
    assert brought["iss"] == issuer
    kept = dict(browser.cookies)
    answer = await come_back(browser, brought, "certified")
    assert answer.headers["location"] == "/#usage"
    user = await me(browser)
    assert (user["email"], user["name"]) == ("bob@example.org", "Bob")
    assert user["memberships"] == [{"organisation": "acme", "role": "ROLE_OPERATOR"}]
    # A second use is refused by the gateway and, with another state, by the provider.
    browser.cookies.update(kept)
    assert (await come_back(browser, brought, "certified")).headers["location"] == "/#sign-in-error=refused"
    other = gateway.browser()
    fresh = await _at_the_provider(await begin(other, "certified"))
    answer = await come_back(other, {**fresh, "code": brought["code"]}, "certified")
    assert answer.headers["location"] == "/#sign-in-error=failed"
