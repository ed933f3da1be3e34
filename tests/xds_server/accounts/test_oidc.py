"""Sign-in through an identity provider: a well-behaved one, and hostile ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.fakes.identity_provider import CLIENT_ID, SECRET, FakeProvider, identity_provider, new_key
from tests.xds_server.accounts.conftest import PASSWORD, Answer, Browser, Gateway, serving
from tests.xds_server.accounts.people import invite
from tests.xds_server.store.databases import new_sqlite
from xds_server.store import AuditQuery, Store

CONSOLE = "http://localhost:8081"
BOB = "bob@example.org"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """Runs the gateway only on SQLite: the tests of sessions cover the differences between databases."""
    store = Store.open(new_sqlite(tmp_path / "trunkline.db"), key_file=tmp_path / "secret.key")
    async for each in serving(store, tmp_path):
        for name in ("acme", "other"):
            await each.admin.PutOrganisation(pb.PutOrganisationRequest(organisation=pb.Organisation(name=name)))
        yield each
    store.close()


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with identity_provider() as running:
        yield running


async def configure(gateway: Gateway, *providers: pb.IdentityProvider, **accounts: Any) -> None:
    stored = (await gateway.admin.GetGateway(pb.GetGatewayRequest())).gateway
    wanted = pb.Gateway(
        oidc=providers, accounts=pb.Accounts(console_url=CONSOLE, **accounts), version=stored.version
    )
    await gateway.admin.PutGateway(pb.PutGatewayRequest(gateway=wanted))


def corp(provider: FakeProvider, name: str = "corp", **fields: Any) -> pb.IdentityProvider:
    return pb.IdentityProvider(
        name=name, issuer=provider.issuer, client_id=CLIENT_ID, client_secret=SECRET, **fields
    )


ANYBODY = pb.SignUp(domains=["example.org"], organisation="acme")


async def begin(browser: Browser, name: str = "corp", next_: str = "") -> str:
    answer = await browser("POST", "/admin/v1/oidc:begin", {"provider": name, "next": next_})
    assert answer.status == 200, answer.json
    return str(answer.json["url"])


async def come_back(browser: Browser, brought: dict[str, str], name: str = "corp") -> Answer:
    """Returns to the gateway as the provider sends the browser: by a navigation from another site."""
    headers = {"sec-fetch-site": "cross-site", "origin": "", "x-trunkline-csrf": "", "content-type": ""}
    return await browser("GET", f"/admin/v1/oidc/{name}:callback?{urlencode(brought)}", headers=headers)


async def sign_in(
    gateway: Gateway, provider: FakeProvider, browser: Browser | None = None
) -> tuple[Browser, Answer]:
    browser = browser or gateway.browser()
    return browser, await come_back(browser, provider.authorise(await begin(browser)))


async def me(browser: Browser) -> Any:
    return (await browser("GET", "/admin/v1/me")).json["user"]


async def test_who_signs_in_comes_where_they_were_going(gateway: Gateway, provider: FakeProvider) -> None:
    await configure(gateway, corp(provider, title="Corp", sign_up=ANYBODY))
    options = (await gateway.browser()("GET", "/admin/v1/sign-in:options")).json
    assert options["oidc"] == [{"name": "corp", "title": "Corp"}]
    browser = gateway.browser()
    url = await begin(browser, next_="/#keys")
    asked = parse_qs(urlsplit(url).query)
    assert asked["redirect_uri"] == [f"{CONSOLE}/admin/v1/oidc/corp:callback"]
    assert asked["scope"] == ["openid profile email"]
    answer = await come_back(browser, provider.authorise(url))
    assert (answer.status, answer.headers["location"]) == (303, "/#keys")
    assert set(browser.cookies) == {"trunkline_session"}
    user = await me(browser)
    assert (user["email"], user["name"], user.get("has_password")) == (BOB, "Bob", None)
    assert user["memberships"] == [{"organisation": "acme", "role": "ROLE_MEMBER"}]
    event = gateway.store.audit_events(AuditQuery(object_type="user"))[0]
    assert (event.actor, event.object_name) == ("oidc:corp", BOB)
    # The same person signs in again, with another name and address.
    provider.claims = {"email": "robert@example.org", "name": "Robert"}
    again, _ = await sign_in(gateway, provider)
    assert (await me(again))["id"] == user["id"]


async def test_nobody_comes_who_is_not_invited(gateway: Gateway, provider: FakeProvider) -> None:
    await configure(gateway, corp(provider))
    browser, answer = await sign_in(gateway, provider)
    assert (answer.status, answer.headers["location"]) == (303, "/#sign-in-error=refused")
    assert (await browser("GET", "/admin/v1/me")).status == 401
    await gateway.admin.InviteUser(pb.InviteUserRequest(email=BOB, organisation="acme", role=pb.ROLE_OPERATOR))
    browser, _ = await sign_in(gateway, provider)
    assert (await me(browser))["memberships"] == [{"organisation": "acme", "role": "ROLE_OPERATOR"}]
    assert not (await gateway.admin.ListInvitations(pb.ListInvitationsRequest())).invitations


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False}, {"email_verified": "true"}, {"email_verified": None}, {"email": None},
        {"email": "bob@evil.example"}, {"email": "bob@sub.example.org"}, {"email": "bob@example.org.evil.example"},
        {"email": "b\u043eb@example.org"}, {"email": ["bob@example.org"]},
    ],
    ids=str,
)  # fmt: skip
async def test_only_verified_addresses_of_the_domain_sign_up(
    gateway: Gateway, provider: FakeProvider, claims: dict[str, Any]
) -> None:
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    provider.claims = claims
    _, answer = await sign_in(gateway, provider)
    assert answer.headers["location"] == "/#sign-in-error=refused"
    assert not (await gateway.admin.ListUsers(pb.ListUsersRequest())).users


async def test_groups_decide_about_what_they_name(gateway: Gateway, provider: FakeProvider) -> None:
    groups = [
        pb.GroupRole(group="staff", organisation="acme", role=pb.ROLE_MEMBER),
        pb.GroupRole(group="leads", organisation="acme", role=pb.ROLE_OWNER),
        pb.GroupRole(group="ops", admin=True),
    ]
    await configure(gateway, corp(provider, groups=groups, groups_claim="roles"))
    provider.claims = {"roles": ["staff", "leads", "ops", 5]}
    browser, _ = await sign_in(gateway, provider)
    user = await me(browser)
    assert (user["admin"], user["memberships"][0]["role"]) == (True, "ROLE_OWNER")
    await gateway.set_up()  # another admin
    provider.claims = {"roles": "staff"}
    browser, _ = await sign_in(gateway, provider)
    user = await me(browser)
    assert ("admin" not in user, user["memberships"][0]["role"]) == (True, "ROLE_MEMBER")
    member = gateway.calling(browser.cookies["trunkline_session"])
    await member.CreateKey(pb.CreateKeyRequest(key=pb.Key(organisation="acme", name="mine")))
    provider.claims = {"roles": []}
    browser, _ = await sign_in(gateway, provider)
    assert "memberships" not in await me(browser)
    assert not gateway.store.load().keys


@pytest.mark.slow
async def test_an_account_under_the_same_address_is_taken_over_whole(
    gateway: Gateway, provider: FakeProvider
) -> None:
    """The creator of the account, who knows its password, may be somebody other than the owner of the address."""
    await configure(gateway, corp(provider))
    squatter = await invite(gateway, BOB, "acme", pb.ROLE_MEMBER)
    token = (await squatter("POST", "/admin/v1/me/tokens", {"name": "x"})).json["value"]
    browser, _ = await sign_in(gateway, provider)
    assert (await me(browser))["memberships"] == [{"organisation": "acme", "role": "ROLE_MEMBER"}]
    assert (await squatter("GET", "/admin/v1/me")).status == 401
    assert (await gateway.browser().sign_in(BOB)).status == 401
    headers = {"authorization": f"Bearer {token}"}
    assert (await gateway.browser()("GET", "/admin/v1/me", headers=headers)).status == 401
    # An address that the provider has not verified takes over nothing.
    provider.claims = {"sub": "sub-2", "email_verified": False}
    _, answer = await sign_in(gateway, provider)
    assert answer.headers["location"] == "/#sign-in-error=refused"


async def test_who_is_disabled_stays_out(gateway: Gateway, provider: FakeProvider) -> None:
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    browser, _ = await sign_in(gateway, provider)
    await gateway.admin.UpdateUser(pb.UpdateUserRequest(user=BOB, disabled=True))
    assert (await browser("GET", "/admin/v1/me")).status == 401
    _, answer = await sign_in(gateway, provider)
    assert answer.headers["location"] == "/#sign-in-error=refused"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"}, {"iss": None}, {"aud": "another-client"}, {"aud": ["another-client"]},
        {"aud": None}, {"aud": [CLIENT_ID, "another-client"]}, {"azp": "another-client"}, {"nonce": "another"},
        {"nonce": None}, {"exp": 1_700_000_000}, {"exp": None}, {"exp": "never"}, {"exp": True},
        {"iat": 4_000_000_000},
        {"iat": None}, {"nbf": 4_000_000_000}, {"sub": None}, {"sub": ""}, {"sub": 5},
    ],
    ids=str,
)  # fmt: skip
async def test_a_token_that_is_not_ours_signs_in_nobody(
    gateway: Gateway, provider: FakeProvider, claims: dict[str, Any]
) -> None:
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    provider.claims = claims
    browser, answer = await sign_in(gateway, provider)
    assert answer.headers["location"] == "/#sign-in-error=refused"
    assert "trunkline_session" not in browser.cookies


@pytest.mark.parametrize("how", ["none", "hmac", "another key", "cut", "no token"])
async def test_a_signature_that_does_not_hold(gateway: Gateway, provider: FakeProvider, how: str) -> None:
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    await sign_in(gateway, provider)
    provider.spoil = {
        "none": provider.unsigned,
        "hmac": provider.signed_by_public_key,
        "another key": provider.signed_by_another,
        "cut": lambda token: token.rpartition(".")[0] + ".",
        "no token": lambda token: "",
    }[how]
    browser, answer = await sign_in(gateway, provider)
    assert answer.headers["location"].startswith("/#sign-in-error=")
    assert "trunkline_session" not in browser.cookies


async def test_a_new_key_of_the_provider_is_looked_for(
    gateway: Gateway, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xds_server.accounts.oidc.client._LOOK_AGAIN", -1.0)
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    await sign_in(gateway, provider)
    provider.key = new_key()
    browser, _ = await sign_in(gateway, provider)
    assert (await me(browser))["email"] == BOB
    assert provider.calls.count("/keys") == 2


async def test_an_answer_comes_once_to_the_browser_that_asked(gateway: Gateway, provider: FakeProvider) -> None:
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    victim, attacker = gateway.browser(), gateway.browser()
    brought = provider.authorise(await begin(attacker))
    # An answer is used in a browser that began no sign-in, or another one.
    assert (await come_back(victim, brought)).headers["location"] == "/#sign-in-error=refused"
    await begin(victim)
    assert (await come_back(victim, brought)).headers["location"] == "/#sign-in-error=refused"
    assert provider.exchanged == []
    kept = dict(attacker.cookies)
    assert (await come_back(attacker, brought)).headers["location"] == "/"
    # The same answer is used again, with the browser's original cookie.
    attacker.cookies.update(kept)
    again = {**brought, "code": provider.authorise(await begin(gateway.browser()))["code"]}
    for replayed in (brought, again):
        assert (await come_back(attacker, replayed)).headers["location"] == "/#sign-in-error=refused"
    assert len(provider.exchanged) == 1


async def test_a_sign_in_takes_ten_minutes_at_most(
    gateway: Gateway, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    browser = gateway.browser()
    brought = provider.authorise(await begin(browser))
    monkeypatch.setattr("xds_server.accounts.oidc.flow.SECONDS", -1)
    assert (await come_back(browser, brought)).headers["location"] == "/#sign-in-error=refused"


async def test_one_providers_answer_is_not_another_ones(gateway: Gateway, provider: FakeProvider) -> None:
    """RFC 9207: a hostile provider forwards the browser to an honest one to get its code."""
    async with identity_provider() as hostile:
        await configure(gateway, corp(provider, sign_up=ANYBODY), corp(hostile, "evil"))
        browser = gateway.browser()
        url = await begin(browser, "evil")
        state = parse_qs(urlsplit(url).query)["state"][0]
        honest = provider.authorise(await begin(gateway.browser()))
        for brought in (
            {**honest, "state": state}, {"state": state, "code": honest["code"]},
        ):  # fmt: skip
            answer = await come_back(browser, brought, "evil")
            assert answer.headers["location"] == "/#sign-in-error=refused"
        # The request goes to the honest provider's redirect URI, with the hostile provider's state.
        answer = await come_back(browser, {**honest, "state": state})
        assert answer.headers["location"] == "/#sign-in-error=refused"
        assert "/token" not in hostile.calls
        assert provider.codes
        # Metadata with another issuer is not accepted.
        hostile.metadata = {"issuer": provider.issuer}
        await configure(gateway, corp(hostile, "worse"))
        gateway.service._oidc._metadata.clear()
        assert (await gateway.browser()("POST", "/admin/v1/oidc:begin", {"provider": "worse"})).status == 503


async def test_user_info_is_about_the_same_person(gateway: Gateway, provider: FakeProvider) -> None:
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    provider.claims = {"email": None, "email_verified": None, "groups": None}
    provider.userinfo = {"sub": "somebody-else", "email": BOB, "email_verified": True}
    _, answer = await sign_in(gateway, provider)
    assert answer.headers["location"] == "/#sign-in-error=refused"
    provider.userinfo = {"sub": "sub-1", "email": BOB, "email_verified": True}
    browser, _ = await sign_in(gateway, provider)
    assert (await me(browser))["email"] == BOB


@pytest.mark.parametrize(
    ("token", "user_info"),
    [
        ({"email": BOB, "email_verified": None}, {"email": "mallory@example.org", "email_verified": True}),
        ({"email": None, "email_verified": True}, {"email": BOB, "email_verified": False}),
        ({"email": BOB, "email_verified": None}, {"email": BOB, "email_verified": False}),
        ({"email": BOB, "email_verified": True, "groups": None}, {"email": "mallory@example.org"}),
        ({"email": BOB, "email_verified": None}, {"email_verified": True}),
        ({"email": None, "email_verified": True}, {"email": BOB}),
        ({"email": BOB, "email_verified": None}, {"email": "mallory@example.org"}),
    ],
    ids=["another", "denied", "denied again", "both", "apart", "apart again", "unverified"],
)
async def test_one_answer_verifies_no_address_of_the_other(
    gateway: Gateway, provider: FakeProvider, token: dict[str, Any], user_info: dict[str, Any], request: Any
) -> None:
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    provider.claims, provider.userinfo = token, {"sub": "sub-1", **user_info}
    browser, _ = await sign_in(gateway, provider)
    expected = {"another": "mallory@example.org", "both": BOB, "apart": BOB, "apart again": BOB}
    found = await browser("GET", "/admin/v1/me")
    assert found.json.get("user", {}).get("email") == expected.get(request.node.callspec.id)


@pytest.mark.parametrize(
    "next_",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "evil",
     "/a\r\nset-cookie: x",
     "/\u2028", "/a\\b", "/" + "a" * 600, "\\/evil.example", "/%5cevil\n"],
)  # fmt: skip
async def test_nobody_is_sent_elsewhere(gateway: Gateway, provider: FakeProvider, next_: str) -> None:
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    answer = await gateway.browser()("POST", "/admin/v1/oidc:begin", {"provider": "corp", "next": next_})
    assert (answer.status, answer.json["error"]["param"]) == (400, "next")


async def test_a_provider_that_is_away_or_says_nonsense(gateway: Gateway, provider: FakeProvider) -> None:
    await configure(gateway, corp(provider, sign_up=ANYBODY))
    for wrong in ({"token_endpoint": None}, {"jwks_uri": "file:///etc/passwd"}, {"authorization_endpoint": 5}):
        provider.metadata = wrong
        answer = await gateway.browser()("POST", "/admin/v1/oidc:begin", {"provider": "corp"})
        assert (answer.status, answer.code) == (503, "unavailable")
    provider.metadata = {}
    browser = gateway.browser()
    brought = provider.authorise(await begin(browser))
    for query in (
        {"error": "access_denied", "error_description": "<script>"},
        {"state": "x"},
        {**brought, "iss": ""},
    ):
        answer = await come_back(browser, query)
        assert answer.headers["location"] in {
            "/#sign-in-error=denied", "/#sign-in-error=failed", "/#sign-in-error=refused",
        }  # fmt: skip
    assert (await gateway.browser()("POST", "/admin/v1/oidc:begin", {"provider": "none"})).status == 404


async def test_passwords_open_nothing_where_only_providers_do(gateway: Gateway, provider: FakeProvider) -> None:
    admin = await gateway.set_up()
    await configure(gateway, corp(provider), sso_only=True)
    assert "password" not in (await gateway.browser()("GET", "/admin/v1/sign-in:options")).json
    assert (await gateway.browser().sign_in(password=PASSWORD)).status == 401
    assert (await admin("GET", "/admin/v1/me")).status == 200


async def test_the_secret_goes_in_and_never_comes_out(gateway: Gateway, provider: FakeProvider) -> None:
    await configure(gateway, corp(provider))
    admin = await gateway.set_up()
    shown = [
        str((await admin("GET", path)).json)
        for path in ("/admin/v1/gateway", "/admin/v1/export", "/admin/v1/audit")
    ]
    rows = str(gateway.store.read(lambda view: view.rows("SELECT * FROM gateway")))
    assert not any(SECRET in each for each in (*shown, rows))
    # The secret stays with its issuer, and is sent nowhere else.
    await configure(
        gateway, pb.IdentityProvider(name="corp", issuer=provider.issuer, client_id=CLIENT_ID, title="x")
    )
    assert (await gateway.admin.GetGateway(pb.GetGatewayRequest())).gateway.oidc[0].has_secret
    moved = pb.IdentityProvider(name="corp", issuer="https://evil.example", client_id=CLIENT_ID)
    await configure(gateway, moved)
    assert not (await gateway.admin.GetGateway(pb.GetGatewayRequest())).gateway.oidc[0].has_secret


async def test_a_console_behind_https_has_secure_cookies(gateway: Gateway, provider: FakeProvider) -> None:
    wanted = pb.Gateway(accounts=pb.Accounts(console_url="https://console.example"))
    await gateway.admin.PutGateway(pb.PutGatewayRequest(gateway=wanted))
    link = (await gateway.admin.CreateSetupLink(pb.CreateSetupLinkRequest())).url
    assert link.startswith("https://console.example/#setup=")
    browser = gateway.browser(host="console.example", origin="https://console.example")
    body = {"token": link.partition("=")[2], "email": BOB, "password": PASSWORD}
    said = (await browser("POST", "/admin/v1/setup:redeem", body)).headers["set-cookie"]
    assert said.startswith("__Host-trunkline_session=")
    assert "Secure" in said
