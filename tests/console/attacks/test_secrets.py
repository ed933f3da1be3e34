"""A secret is in the answer that makes it, and nowhere afterwards: no call, file, log or process shows it."""

from __future__ import annotations

import base64
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trunkline_proto.admin.v1 import admin_pb2

from tests.console.attacks.answers import TABLE
from tests.console.attacks.conftest import PASSWORD, Caller, signed_in
from tests.gateway.process import GatewayProcess

#: Fields of requests and answers whose names are those of secrets.
_SECRET = re.compile(r"(^|_)(secret|password|token|value|credentials?|code|current|state|url)$")
#: By the field's full name below the package: the secret of `_made` that it is.
COVERED = {
    "Provider.credentials": "credential",
    "KeyDocument.value": "applied key",
    "CreateKeyRequest.value": "given key",
    "CreateKeyResponse.value": "key",
    "RotateKeyRequest.value": "given key",
    "RotateKeyResponse.value": "rotated key",
    "SharedCache.password": "cache",
    "Alerting.secret": "webhook",
    "IdentityProvider.client_secret": "client",
    "InviteNodeResponse.token": "node",
    "CreateSetupLinkResponse.url": "setup",
    "RedeemSetupLinkRequest.token": "setup",
    "RedeemSetupLinkRequest.password": "password",
    "SignInRequest.password": "wrong password",
    "ChangePasswordRequest.current": "password",
    "ChangePasswordRequest.password": "changed password",
    "InviteUserResponse.url": "invitation",
    "ShowLinkRequest.token": "invitation",
    "AcceptInvitationRequest.token": "invitation",
    "AcceptInvitationRequest.password": "password",
    "ResetUserResponse.url": "reset",
    "RedeemResetRequest.token": "reset",
    "RedeemResetRequest.password": "password",
    "CreateTokenResponse.value": "personal",
    "BeginDeviceLoginResponse.device_code": "device",
    "PollDeviceLoginRequest.device_code": "device",
    "PollDeviceLoginResponse.value": "approved",
}
#: Fields that are none, and why.
NO_SECRETS = {
    "Provider.base_url": "an address",
    "JwtIssuer.jwks_url": "an address",
    "Accounts.console_url": "an address",
    "BeginOidcResponse.url": "of the identity provider; its state is sealed in the browser's cookie",
    "FinishOidcRequest.code": "used once, and never stored",
    "FinishOidcRequest.state": "used once, as a hash",
    "BeginDeviceLoginResponse.url": "has the code that people compare",
    "JwtGrant.value": "a claim's",
    "BeginDeviceLoginResponse.user_code": "people compare it; it opens nothing by itself",
    "InviteNodeResponse.join_url": "an address",
    "Rejection.type_url": "a type",
    "TypeStatus.type_url": "a type",
    "Node.state": "a word",
    "trunkline.node.v1.IdleRule.state": "a word",
    "ReasonCode.code": "a word",
    "trunkline.limits.v1.Alert.value": "a user or tag",
    "SearchRequestsRequest.page_token": "a place in a list",
    "SearchRequestsResponse.next_page_token": "a place in a list",
    "ShowDeviceLoginRequest.user_code": "as above",
    "DecideDeviceLoginRequest.user_code": "as above",
}


#: Files that are there to keep a secret, for their owner alone.
KEPT = ("credentials.json", "secret.key", "admin-token")
_QUESTION = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "What is a trunk line?"}]}


def _fields(descriptor: object, seen: set[str]) -> Iterator[str]:
    message: object = descriptor
    if message.full_name in seen:  # type: ignore[attr-defined]
        return
    seen.add(message.full_name)  # type: ignore[attr-defined]
    for each in message.fields:  # type: ignore[attr-defined]
        if each.message_type is not None:
            yield from _fields(each.message_type, seen)
        elif each.type == each.TYPE_STRING and _SECRET.search(each.name):
            yield each.full_name.removeprefix("trunkline.admin.v1.")


def test_every_field_that_looks_like_a_secret_is_decided_about() -> None:
    service = admin_pb2.DESCRIPTOR.services_by_name["Admin"]
    seen: set[str] = set()
    found = {
        each
        for method in service.methods
        for of in (method.input_type, method.output_type)
        for each in _fields(of, seen)
    }
    assert found == set(COVERED) | set(NO_SECRETS)


def _made(machine: Caller) -> dict[str, str]:
    """Makes one of each kind."""
    gateway = machine.gateway
    made = {"credential": "sk-credential-0123456789", "applied key": "sk-applied-key-0123456789"}
    made |= {
        "given key": "sk-given-key-0123456789",
        "cache": "password-of-the-cache",
        "webhook": "secret-of-the-webhook",
    }
    made |= {"client": "secret-of-the-client", "password": PASSWORD, "changed password": "another battery staple"}
    made |= {"wrong password": "typed where it is wrong", "wrong token": "tl-pat-of-somebody-0123456789"}
    made |= {"wrong key": "sk-tl-0123456789-of-somebody-else", "admin token": gateway.credentials["admin_token"]}
    made["first key"] = gateway.api_key
    provider = {"name": "secretive", "base_url": "http://127.0.0.1:9/v1", "credentials": [made["credential"]]}
    machine.get("PUT", "providers/secretive", {"provider": provider})
    stored = machine.get("GET", "gateway")["gateway"]
    settings = {
        "cache": {"store": "redis://127.0.0.1:9/0", "password": made["cache"]},
        "alerts": {"webhook": "https://hooks.example.org/", "secret": made["webhook"]},
        "oidc": [
            {
                "name": "corp",
                "issuer": "https://login.example.org",
                "client_id": "x",
                "client_secret": made["client"],
            }
        ],
    }
    machine.get("PUT", "gateway", {"gateway": {**stored, **settings}})
    key = {"organisation": "acme", "name": "made"}
    created = machine.get("POST", "keys", {"key": key})
    made["key"] = created["value"]
    machine.get("POST", "keys", {"key": {**key, "name": "given"}, "value": made["given key"]})
    made["rotated key"] = machine.get("POST", f"keys/{created['key']['id']}:rotate", {"grace_seconds": 3600})[
        "value"
    ]
    document = {
        "organisations": [
            {
                "organisation": {"name": "applied"},
                "keys": [{"key": {"organisation": "applied", "name": "x"}, "value": made["applied key"]}],
            }
        ]
    }
    machine.get("POST", "apply", {"document": document, "managed_by": "api"})
    made["node"] = machine.get("POST", "nodes:invite", {"organisation": "acme"})["token"]
    made["session"], made["invitation"] = signed_in(
        machine, "secret@example.org", organisation="acme", role="ROLE_OWNER"
    )
    made["reset"] = machine.get("POST", "users/secret@example.org:reset", {})["url"].partition("#reset=")[2]
    made["setup"] = machine.get("POST", "setup:link", {})["url"].partition("#setup=")[2]
    browser = Caller(gateway, session=made["session"])
    made["personal"] = browser.get("POST", "me/tokens", {"name": "laptop"})["value"]
    begun = browser.get("POST", "device:begin", {"client": "laptop"})
    made["device"] = begun["device_code"]
    browser.get("POST", "device:decide", {"user_code": begun["user_code"], "approve": True})
    made["approved"] = browser.get("POST", "device:poll", {"device_code": made["device"]})["value"]
    body = {"current": PASSWORD, "password": made["changed password"]}
    answer = browser("POST", "/admin/v1/me:password", body)
    assert answer.status == 200
    made["next session"] = answer.cookies["trunkline_session"]
    browser.close()
    # What people mistype, and what a stranger tries.
    stranger = Caller(gateway)
    for email in ("secret@example.org", made["wrong password"]):
        assert (
            stranger("POST", "/admin/v1/sign-in", {"email": email, "password": made["wrong password"]}).status
            == 401
        )
    stranger.close()
    for name in ("wrong token", "wrong key", "key"):
        thief = Caller(gateway, token=made[name])
        assert thief("GET", "/admin/v1/keys").status == 401
        answer = thief("POST", "/console/v1/chat/completions", _QUESTION)
        assert answer.status == (401 if "wrong" in name else 200), answer.json
        thief.close()
    return made


def _shown(machine: Caller) -> Iterator[tuple[str, bytes]]:
    """Everything that can be read afterwards, by where it is."""
    gateway = machine.gateway
    ids = [
        each["id"]
        for kind, path in (("keys", "keys"), ("users", "users"))
        for each in machine.get("GET", path)[kind]
    ]
    for binding in TABLE.bindings:
        if binding.verb != "GET":
            continue
        query = "?filter.since=1&by=DIMENSION_KEY" if binding.method.name == "GetUsageView" else ""
        for each in ids if "{" in binding.template else [""]:
            path = re.sub(r"\{[a-z_.]+\}", each, binding.template)
            yield path, str(machine("GET", f"{path}{query}").json).encode()
    for path in ("/metrics", "/metrics/translator", "/metrics/control", "/readyz", "/admin/v1/openapi.json", "/"):
        yield path, str(machine("GET", path).json).encode()
    yield "export", gateway.run("export").stdout.encode()
    yield "audit", gateway.run("audit", "list", "--output", "json").stdout.encode()
    yield "status", gateway.run("status", "--output", "json").stdout.encode()
    for file in [gateway.errors_file, *gateway.data_dir.rglob("*")]:
        if file.is_file() and file.name not in KEPT:
            with suppress(FileNotFoundError):  # the gateway removes files that it has finished with
                yield str(file), file.read_bytes()
    for pid in _children(gateway):
        for name in ("cmdline", "environ"):
            yield f"/proc/{pid}/{name}", Path(f"/proc/{pid}/{name}").read_bytes()


def _children(gateway: GatewayProcess) -> list[int]:
    return [gateway.service_pid(name) for name in ("envoy", "xds_server", "translator")]


def _forms(value: str) -> list[bytes]:
    """Returns a text as it may be written down."""
    raw = value.encode()
    encoded = base64.b64encode(raw).rstrip(b"=")
    return [raw, raw.hex().encode(), raw.hex().upper().encode(), encoded[:-2], raw.decode().encode("utf-16-le")]


def test_no_secret_is_shown_after_its_creation(machine: Caller) -> None:
    made = _made(machine)
    found = [
        (kind, where)
        for where, content in _shown(machine)
        for kind, value in made.items()
        if any(form in content for form in _forms(value))
    ]
    assert found == []
    for file in machine.gateway.data_dir.rglob("*"):
        if file.name in KEPT:  # none of these is ever removed
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_client_does_not_choose_the_address_that_it_is_known_by(machine: Caller) -> None:
    """Failed sign-ins count by it, and people see it when a program waits for them."""
    session, _ = signed_in(machine, "watched@example.org", organisation="acme")
    browser, stranger = Caller(machine.gateway, session=session), Caller(machine.gateway)
    told = {"x-forwarded-for": "10.0.0.1", "x-trunkline-client-address": "10.0.0.1"}
    begun = stranger("POST", "/admin/v1/device:begin", {"client": "x"}, told).json
    assert browser.get("POST", "device:show", {"user_code": begun["user_code"]})["address"] == "127.0.0.1"
    browser.close()
    stranger.close()
