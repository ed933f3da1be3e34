"""What a client stores through the API as any text that it accepts, the console shows as that text: on every page,
to an admin and to an owner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.console.attacks.answers import arm, shown, wrongs
from tests.console.attacks.conftest import PASSWORD, Caller, signed_in
from tests.console.attacks.storing import ATTACK, BINDINGS, Base, Storing
from tests.console.conftest import Window
from tests.console.test_pages import PAGES
from tests.gateway.process import GatewayProcess
from tests.waiting import eventually

OWNER = "owner@example.org"
#: Methods that change something and store no text of their own.
NOTHING = {
    **dict.fromkeys(
        ("DeleteProvider", "DeleteRoute", "DeleteOrganisation", "RevokeKey", "RemoveNode", "CancelRequest",
         "RevokeInvitation", "RemoveMember", "RemoveUser", "RevokeToken", "PutMember", "ResetUser"),
        "names what exists",
    ),
    **dict.fromkeys(
        ("SignIn", "SignOut", "BeginOidc", "FinishOidc", "ShowLink", "PollDeviceLogin", "ShowDeviceLogin",
         "DecideDeviceLogin", "ChangePassword", "RedeemReset", "CreateSetupLink"),
        "stores no text but a secret's hash",
    ),
    "SimulateRoutes": "stores nothing", "UpdateNode": "needs a node, whose texts test_hostile_answers.py has",
}  # fmt: skip
#: Texts that are neither accepted nor refused as a value, and why.
UNFILLED = {
    **dict.fromkeys(
        ("UpdateKey.id", "RotateKey.id", "UpdateUser.user", "InviteUser.organisation"), "names what exists"
    ),
    **dict.fromkeys(
        ("AcceptInvitation.token", "RedeemSetupLink.token"), "a link's value, which the gateway makes"
    ),
}
#: Texts that are stored and on no page, and why.
NOT_SHOWN = {
    **dict.fromkeys(
        (
            "PutGateway.gateway.jwt.audiences",
            "PutGateway.gateway.jwt.grants.value",
            "PutGateway.gateway.oidc.client_id",
            "PutGateway.gateway.oidc.groups.group",
            "PutGateway.gateway.oidc.groups_claim",
            "PutOrganisation.organisation.limits.model",
        ),
        "in a dialog, which test_hostile_answers.py opens",
    ),
    "BeginDeviceLogin.client": "on the page of its code, shown to users who enter it",
    "UpdateKey.models": "replaced, so that the key serves",
    **dict.fromkeys(
        ("PutGateway.gateway.oidc.client_secret", "AcceptInvitation.password", "RedeemSetupLink.password"),
        "secret",
    ),
}

_LIMIT = {"metric": "METRIC_REQUESTS", "calendar": "CALENDAR_DAY", "amount": 5}
_PRICE = {
    "input": 1, "output": 1, "images": [{"name": "hd", "price": 1}, {"name": "default", "price": 1}],
    "service_tiers": [{"name": "flex", "rates": {"input": 1, "output": 1}}],
}  # fmt: skip
_APPLIED = {"managed_by": "api", "wait_ms": 1}
_ISSUER = {"issuer": "https://login.example.org"}
_GATEWAY = {
    "defaults": [{"endpoint": "embeddings", "model": "gpt-4.1"}],
    "oidc": [{**_ISSUER, "name": "corp", "client_id": "console", "groups": [{"group": "g", "admin": True}]}],
    "jwt": [{**_ISSUER, "name": "corp", "audiences": ["api"], "grants": [
        {"organisation": "acme", "key": "ci", "claim": "groups", "value": "x"}]}],
}  # fmt: skip


def _provider(number: int) -> dict[str, Any]:
    return {"name": f"stored-{number}", "base_url": "http://127.0.0.1:9/v1"}


def _route(number: int, **target: Any) -> dict[str, Any]:
    return {"model": f"stored-{number}", "targets": [target], "limits": [{**_LIMIT}]}


def _organisation(number: int) -> dict[str, Any]:
    return {"name": f"stored-{number}", "limits": [_LIMIT]}


def _key(number: int, organisation: str = "acme") -> dict[str, Any]:
    return {"organisation": organisation, "name": f"stored-{number}", "limits": [_LIMIT]}


def _document(number: int, **target: Any) -> dict[str, Any]:
    key = {"key": _key(number, f"stored-{number}"), "value": f"sk-0123456789abcdef-{number}"}
    return {
        "providers": [_provider(number)],
        "routes": [_route(number, **target)],
        "organisations": [{"organisation": _organisation(number), "keys": [key]}],
        "gateway": _GATEWAY,
    }


def bases(caller: Caller, key: str) -> dict[str, list[Base]]:
    """Requests of every method that stores something. `key` is a key's id."""

    def gateway(_: int) -> Mapping[str, Any]:
        return {"gateway": {**_GATEWAY, "version": caller.get("GET", "gateway")["gateway"].get("version", 0)}}

    def invitation(number: int) -> str:
        body = {"organisation": "acme", "email": f"accepted-{number}@example.org"}
        return str(caller.get("POST", "users:invite", body)["url"]).partition("=")[2]

    def setup() -> str:
        return str(caller.get("POST", "setup:link", {})["url"]).partition("=")[2]

    return {
        "Apply": [
            lambda number: {"document": _document(number, provider="a", model="m", price=_PRICE), **_APPLIED},
            lambda number: {"document": _document(number, nodes="m"), **_APPLIED},
        ],
        "PutProvider": [lambda number: {"provider": _provider(number)}],
        "PutRoute": [
            lambda number: {"route": _route(number, provider="a", model="m", price=_PRICE)},
            lambda number: {"route": _route(number, nodes="m")},
        ],
        "PutOrganisation": [lambda number: {"organisation": _organisation(number)}],
        "PutGateway": [gateway],
        "CreateKey": [lambda number: {"key": _key(number)}],
        "UpdateKey": [lambda _: {"id": key, "limits": [_LIMIT]}],
        "RotateKey": [lambda _: {"id": key}],
        "InviteNode": [lambda _: {"organisation": "acme"}],
        "InviteUser": [lambda number: {"organisation": "acme", "email": f"invited-{number}@example.org"}],
        "UpdateUser": [lambda _: {"user": OWNER}],
        "BeginDeviceLogin": [lambda _: {}],
        "AcceptInvitation": [lambda number: {"token": invitation(number), "name": "x", "password": PASSWORD}],
        "RedeemSetupLink": [
            lambda number: {
                "token": setup(),
                "email": f"admin-{number}@example.org",
                "name": "x",
                "password": PASSWORD,
            }
        ],
    }


@pytest.fixture(scope="module")
def stored(gateway: GatewayProcess) -> tuple[Storing, str]:
    """Everything that can be stored, and a session of an owner of `acme`."""
    storing = Storing()
    machine = Caller(gateway, token=gateway.credentials["admin_token"])
    session, _ = signed_in(machine, OWNER, organisation="acme", role="ROLE_OWNER")
    made = machine.get("POST", "keys", {"key": {"organisation": "acme", "name": "ci"}})
    for method, requests in bases(machine, made["key"]["id"]).items():
        storing.store(machine, method, *requests)
    owner = Caller(gateway, session=session)
    storing.store(owner, "CreateToken", lambda number: {"name": f"token-{number}"})
    owner.close()
    machine(
        "PUT", "/admin/v1/organisations/acted", {"organisation": {"name": "acted"}}, {"x-trunkline-actor": _of(1)}
    )
    body = {"model": "gpt-4.1", "user": _of(2), "messages": [{"role": "user", "content": "x"}]}
    sent = {"authorization": f"Bearer {made['value']}", "x-trunkline-tag": _of(3)}
    machine.get("PATCH", f"keys/{made['key']['id']}", {"models": ["*"]})
    asked = httpx.post(f"{gateway.base_url}/chat/completions", json=body, headers=sent, timeout=60)
    assert asked.status_code == 200, asked.text
    _wait_for_its_record(machine, asked.headers["x-request-id"])
    storing.accepted |= {"actor": 1, "user": 2, "tag": 3}
    machine.close()
    return storing, session


def _wait_for_its_record(machine: Caller, request: str) -> None:
    eventually(lambda: machine.get("GET", f"requests:search?id={request}").get("requests"))


def _of(number: int) -> str:
    return ATTACK.format(number)


def test_every_text_is_accepted_refused_or_explained(stored: tuple[Storing, str]) -> None:
    storing, _ = stored
    changing = {name for name, each in BINDINGS.items() if each.verb != "GET"}
    tried = {each.partition(".")[0] for each in storing.accepted.keys() | storing.refused} & changing
    assert tried | NOTHING.keys() == changing
    assert not tried & NOTHING.keys()
    assert storing.unfilled.keys() == UNFILLED.keys()
    assert NOT_SHOWN.keys() <= storing.accepted.keys()


@pytest.mark.parametrize("who", ["admin", "owner", "nobody"])
def test_what_is_stored_is_shown_as_it_is(window: Window, stored: tuple[Storing, str], who: str) -> None:
    storing, session = stored
    page, gateway = window.page, window.gateway
    arm(page)
    if who == "admin":
        window.sign_in()
    elif who == "owner":
        page.context.add_cookies([{"name": "trunkline_session", "value": session, "url": gateway.admin_url}])
    window.expected += ["404", "400"]  # addresses that are attacks themselves
    seen: set[int] = set()
    addresses = [
        *PAGES,
        "account",
        "requests?show=finished",
        "usage?by=DIMENSION_TAG",
        f"models/{quote(_of(1), safe='')}",
    ]
    for view in addresses if who != "nobody" else [""]:
        window.open(view)
        texts = shown(page)
        assert wrongs(page) == [], view
        seen |= {int(number) for number in re.findall(re.escape(ATTACK).replace(r"\{0\}", r"(\d+)"), texts)}
    missing = {name for name, number in storing.accepted.items() if number not in seen}
    if who == "admin":
        assert {name for name in missing if not name.startswith("Apply.")} == NOT_SHOWN.keys()
    elif who == "owner":
        assert not {"UpdateUser.name", "PutRoute.route.model", "tag"} & missing
    else:
        assert "PutGateway.gateway.oidc.title" not in missing
