"""Each setting of trunkline.yaml has a control in the console, and a form changes only what was changed in it.

The objects below have every field, with a value that no other field of the object has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from playwright.sync_api import Locator, Page, Route
from trunkline_proto.admin.v1 import admin_pb2 as admin_api

from tests.console.conftest import Window
from tests.parity.fields import is_output_only

#: Fields that no form shows, and why.
EXCEPTIONS = {
    **dict.fromkeys(
        ("Route.version", "Provider.version", "Organisation.version", "Key.version", "Gateway.version"),
        "the form sends it back",
    ),
    "Price.version": "the gateway sets it",
    **dict.fromkeys(
        ("Route.organisation", "Route.model", "Provider.name", "Organisation.name", "Key.organisation"),
        "is chosen at the creation, and final",
    ),
    **dict.fromkeys(
        ("Provider.credentials", "SharedCache.password", "Alerting.secret", "IdentityProvider.client_secret"),
        "is never shown: see the other tests of forms",
    ),
    **dict.fromkeys(
        ("Provider.clear_credentials", "SharedCache.clear_password"), "an order, not a setting",
    ),
    "Provider.dialect": "there is only one",
    "Key.pins_targets": "only the playground's keys have it",
    "CredentialQuota.credential": "stands in the title of the quota",
    "IdentityProvider.name": "is chosen at the creation, and final",
    "JwtIssuer.name": "is chosen at the creation, and final",
}  # fmt: skip

_VALUES = """all => all.map(
    each => each.type !== "checkbox" ? each.value.trim() : each.checked ? "checked" : "not checked")"""
FUTURE = int(datetime(2041, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp())


def rates(first: int) -> dict[str, str]:
    names = ("input", "output", "cached_input", "cache_write", "cache_write_1h", "reasoning", "audio_input")
    return {name: str(first + at * 10_001) for at, name in enumerate((*names, "audio_output"))}


def limits(first: int, **more: Any) -> list[dict[str, Any]]:
    alerts = {"alerts_permille": [555, first], "each": "EACH_TAG", "soft": True}
    windows = ({"per_seconds": str(first + 1)}, {"calendar": "CALENDAR_WEEK", "time_zone": "Asia/Tokyo"})
    return [
        {"metric": "METRIC_TOKENS", "amount": str(first + 2), **windows[0], **alerts, **more},
        {"metric": "METRIC_COST_USD", "amount": str(first * 1_001), **windows[1]},
    ]


PRICE = {
    **rates(1_000_003), "request": "1101", "audio_second_input": "1202", "audio_second_output": "1303",
    "character": "1404", "search_unit": "1505", "valid_from": str(FUTURE),
    "images": [{"name": "512x512/low", "price": "1606"}, {"name": "default", "price": "1707"}],
    "tiers": [{"above": "210001", "rates": rates(2_000_003)}],
    "service_tiers": [
        {"name": "slow-tier", "rates": rates(3_000_003), "tiers": [{"above": "220001", "rates": rates(4_000_003)}]}
    ],
}  # fmt: skip
ROUTE: dict[str, Any] = {
    "model": "every-setting", "organisation": "acme", "strategy": "STRATEGY_BALANCED", "balance": 37,
    "targets": [
        {"provider": "a", "model": "every-model", "weight": 41, "context": 300_007, "price": PRICE},
        {"nodes": "every-node", "tier": 3, "paused": True},
    ],
    "timeouts": {"first_byte_ms": 11_500, "idle_ms": 12_250, "connect_ms": 1_750},
    "cache_ttl_seconds": 613, "cache_scope": "CACHE_SCOPE_KEY", "cache_most_bytes": str(1_572_864),
    "privacy": "PRIVACY_ANY", "reserved_output_tokens": 717, "affinity": "AFFINITY_USER",
    "queue_longest_ms": 8_250, "queue_size": 19, "prompt_cache_key": "PROMPT_CACHE_KEY_USER",
    "prompt_cache_stable_order": True, "limits": limits(611),
}  # fmt: skip
PROVIDER: dict[str, Any] = {
    "name": "every-provider", "base_url": "https://every.example/v1", "credentials": ["sk-1", "sk-2"],
    "ca_file": "/etc/ssl/certs/ca-certificates.crt", "stream_usage": False, "health_path": "/models",
    "health_every_seconds": 29, "health_statuses": [204, 207],
    "quota": [{"metric": "METRIC_TOKENS", "per_seconds": "7", "amount": "909"}],
    "credential_quotas": [
        {"credential": 2, "quota": [{"metric": "METRIC_REQUESTS", "per_seconds": "11", "amount": "808"}]}
    ],
}  # fmt: skip
KEY: dict[str, Any] = {
    "name": "every-key", "organisation": "acme", "models": ["every-*", "gpt-*"], "expires_at": str(FUTURE),
    "max_price": "1234567", "priority": "PRIORITY_LOW", "limits": limits(621, model="every-model"),
}  # fmt: skip
ORGANISATION: dict[str, Any] = {"name": "every-org", "weight": 57, "limits": limits(631, model="m-9")}
GATEWAY: dict[str, Any] = {
    "cors": {"origins": ["https://every.example.org"], "max_age_seconds": 5_400},
    "defaults": [{"endpoint": "embeddings", "model": "every-default"}],
    "cache": {"store": "redis://every.example:6379/3", "most_bytes": str(3_670_016), "ca_file": "/etc/ca-2.pem"},
    "alerts": {"webhook": "https://hooks.example.org/every"},
    "accounts": {"console_url": "https://console.every.example", "sso_only": True},
    "oidc": [{
        "name": "every-idp", "issuer": "https://idp.every.example", "client_id": "every-client",
        "title": "Every title", "scopes": ["every_scope", "other_scope"], "groups_claim": "every_groups",
        "groups": [
            {"group": "every-group", "organisation": "acme", "role": "ROLE_OPERATOR"},
            {"group": "every-admins", "admin": True},
        ],
        "sign_up": {"domains": ["every.example"], "organisation": "acme", "role": "ROLE_VIEWER"},
    }],
    "jwt": [{
        "name": "every-jwt", "issuer": "https://jwt.every.example", "audiences": ["every-audience"],
        "jwks_url": "https://jwt.every.example/keys", "user_claim": "every_user",
        "grants": [{"organisation": "acme", "key": "ci", "claim": "every_claim", "value": "every-value"}],
    }],
}  # fmt: skip


def leaves(message: Descriptor, of: Any, path: str = "") -> Iterator[tuple[str, str, FieldDescriptor, Any]]:
    """Yields path, name as in EXCEPTIONS, descriptor and value (None: not set) of each field with a value."""
    for field in message.fields:
        name = f"{message.name}.{field.name}"
        if is_output_only(field):
            continue
        values = of.get(field.name) if isinstance(of, dict) else None
        yield f"{path}{field.name}", name, field, values
        if field.message_type is None or values is None:
            continue
        for index, each in enumerate(values if field.is_repeated else [values]):
            inner = f"{path}{field.name}[{index}]." if field.is_repeated else f"{path}{field.name}."
            yield from leaves(field.message_type, each, inner)


def notations(field: FieldDescriptor, value: Any) -> set[str]:
    """Returns how a form may show a value: as it is, in other units, or as a checked box."""
    if field.enum_type is not None:
        return {value, value.rpartition("_")[2].lower()}
    if isinstance(value, str) and not value.isdigit():
        return {value}
    if isinstance(value, list):
        return {joined.join(map(str, value)) for joined in (", ", "\n", " ")} | {
            ", ".join(f"{float(each) / 10:g}" for each in value if str(each).isdigit())
        }
    if isinstance(value, bool):
        return {"checked" if value else "not checked"}
    number = int(value)
    if number == FUTURE:
        return {datetime.fromtimestamp(number).astimezone().strftime("%Y-%m-%dT%H:%M:%S")}
    units = (1, 1_000, 1_000_000, 1_048_576, 3_600)
    return {f"{number / unit:.10f}".rstrip("0").rstrip(".") for unit in units}


def api(window: Window, verb: str, path: str, body: Any = None) -> Any:
    headers = {"authorization": f"Bearer {window.gateway.credentials['admin_token']}"}
    answer = httpx.request(
        verb, f"{window.gateway.admin_url}/admin/v1/{path}", json=body, headers=headers, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def stored(window: Window, kind: str, name: str) -> dict[str, Any]:
    """Returns an object as the API lists it, without its version."""
    (found,) = [each for each in api(window, "GET", kind)[kind] if name in {each.get("name"), each.get("model")}]
    return {key: value for key, value in found.items() if key != "version"}


def shown(form: Locator) -> set[str]:
    """Returns the values of all controls."""
    form.evaluate("each => each.querySelectorAll('details').forEach(one => (one.open = true))")
    return set(form.locator("input, select, textarea").evaluate_all(_VALUES))


def missing(message: Descriptor, of: Any, values: set[str]) -> list[str]:
    """Returns the fields of an object that no control shows."""
    return [
        f"{path} = {value}"
        for path, name, field, value in leaves(message, of)
        if value is not None
        and field.message_type is None
        and name not in EXCEPTIONS
        and not notations(field, value) & values
    ]


def test_the_objects_have_every_setting() -> None:
    objects = (
        (admin_api.Route.DESCRIPTOR, ROUTE), (admin_api.Provider.DESCRIPTOR, PROVIDER),
        (admin_api.Key.DESCRIPTOR, KEY), (admin_api.Organisation.DESCRIPTOR, ORGANISATION),
        (admin_api.Gateway.DESCRIPTOR, GATEWAY),
    )  # fmt: skip
    found = [leaf for message, of in objects for leaf in leaves(message, of)]
    known = {name for _, name, _, _ in found}
    filled = {name for _, name, field, value in found if value is not None}
    assert sorted(known - filled - EXCEPTIONS.keys()) == []
    assert sorted(EXCEPTIONS.keys() - known) == []


def edit(page: Page, name: str) -> Locator:
    page.get_by_role("row", name=re.compile(name)).get_by_role("button", name="Edit").first.click()
    return page.get_by_role("dialog")


def test_the_form_of_a_route(admin: Window) -> None:
    api(admin, "POST", "routes", {"route": ROUTE})
    before = stored(admin, "routes", "every-setting")
    page = admin.open("models/every-setting?org=acme")
    page.get_by_role("button", name="Change").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Review the changes").wait_for()
    assert missing(admin_api.Route.DESCRIPTOR, ROUTE, shown(dialog)) == []
    dialog.get_by_label("Places in the queue").fill("20")
    dialog.get_by_role("button", name="Review the changes").click()
    dialog.get_by_role("button", name="Apply").click()
    dialog.wait_for(state="detached")
    assert stored(admin, "routes", "every-setting") == {**before, "queue_size": 20}
    api(admin, "POST", "routes:delete", {"model": "every-setting", "organisation": "acme"})


def save(dialog: Locator, label: str, value: str) -> None:
    """Changes one field of the form, and saves it."""
    dialog.get_by_label(label).fill(value)
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")


def test_the_form_of_a_provider(admin: Window) -> None:
    api(admin, "PUT", "providers/every-provider", {"provider": PROVIDER})
    before = stored(admin, "providers", "every-provider")
    dialog = edit(admin.open("providers"), "every-provider")
    assert missing(admin_api.Provider.DESCRIPTOR, PROVIDER, shown(dialog)) == []
    save(dialog, "Seconds between health checks", "30")
    assert stored(admin, "providers", "every-provider") == {**before, "health_every_seconds": 30}
    api(admin, "DELETE", "providers/every-provider")


def test_the_form_of_a_key(admin: Window) -> None:
    api(admin, "POST", "keys", {"key": KEY})
    before = stored(admin, "keys", "every-key")
    dialog = edit(admin.open("keys"), "every-key")
    assert missing(admin_api.Key.DESCRIPTOR, KEY, shown(dialog)) == []
    save(dialog, "Most per request, USD", "2.5")
    assert stored(admin, "keys", "every-key") == {**before, "max_price": "2500000"}
    api(admin, "POST", f"keys/{before['id']}:revoke", {})


def test_a_new_key_has_what_its_form_says(admin: Window) -> None:
    page = admin.open("keys")
    page.get_by_role("button", name="New key").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("bounded")
    dialog.get_by_label("Most per request, USD").fill("0.05")
    dialog.get_by_label("Priority").select_option("PRIORITY_HIGH")
    dialog.get_by_role("button", name="Add a limit").click()
    dialog.get_by_label("Per", exact=True).select_option("seconds")
    dialog.get_by_label("Seconds").fill("90")
    dialog.get_by_role("button", name="Create the key").click()
    dialog.get_by_role("button", name="I have copied it").click()
    made = stored(admin, "keys", "bounded")
    assert (made["max_price"], made["priority"]) == ("50000", "PRIORITY_HIGH")
    assert [each["per_seconds"] for each in made["limits"]] == ["90"]
    api(admin, "POST", f"keys/{made['id']}:revoke", {})


def test_the_form_of_an_organisation(admin: Window) -> None:
    api(admin, "PUT", "organisations/every-org", {"organisation": ORGANISATION})
    before = stored(admin, "organisations", "every-org")
    dialog = edit(admin.open("keys?tab=organisations"), "every-org")
    assert missing(admin_api.Organisation.DESCRIPTOR, ORGANISATION, shown(dialog)) == []
    save(dialog, "Weight", "58")
    assert stored(admin, "organisations", "every-org") == {**before, "weight": 58}
    api(admin, "DELETE", "organisations/every-org")


def plain(value: Any) -> Any:
    """Returns a JSON value without what is as good as absent."""
    if isinstance(value, dict):
        return {
            key: each for key, one in value.items() if (each := plain(one)) not in ("", None, False, [], {}, "0")
        }
    return [plain(each) for each in value] if isinstance(value, list) else value


def test_the_forms_of_the_gateway(admin: Window) -> None:
    """The page gets settings that the gateway of these tests must not have, and its changes go nowhere."""
    page, sent = admin.page, []
    view = {"gateway": GATEWAY, "organisations": ["acme"], "models": [], "endpoints": ["embeddings"]}
    page.route("**/admin/v1/console/settings", lambda route: route.fulfill(json=view))

    def put(route: Route) -> None:
        sent.append(json.loads(route.request.post_data or "")["gateway"])
        route.fulfill(json={})

    page.route("**/admin/v1/gateway", put)
    admin.open("settings")
    values = shown(page.locator("main"))
    dialog = page.get_by_role("dialog")
    for name in ("every-idp", "every-jwt"):
        page.get_by_role("button", name=f"Edit: {name}").click()
        values |= shown(dialog)
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")
    assert missing(admin_api.Gateway.DESCRIPTOR, GATEWAY, values) == []

    def saved(form: Locator) -> dict[str, Any]:
        with page.expect_response("**/admin/v1/gateway"):
            form.get_by_role("button", name="Save").click()
        return dict(plain(sent[-1]))

    expected = plain(GATEWAY)
    card = page.locator(".card", has=page.get_by_role("heading", name="Browser apps (CORS)", exact=True))
    card.get_by_label("Browsers remember the answer").fill("2")
    assert saved(card) == {**expected, "cors": {**expected["cors"], "max_age_seconds": 7_200}}
    for title in ("Default models", "Alerts", "Cached answers", "Sign-in"):
        assert saved(page.locator(".card", has=page.get_by_role("heading", name=title, exact=True))) == expected
    for name, section, label, field in (
        ("every-idp", "oidc", "Text of the button", "title"),
        ("every-jwt", "jwt", "Audiences", "audiences"),
    ):
        page.get_by_role("button", name=f"Edit: {name}").click()
        dialog.get_by_label(label).fill("changed")
        changed = "changed" if field == "title" else ["changed"]
        assert saved(dialog) == {**expected, section: [{**expected[section][0], field: changed}]}
        page.keyboard.press("Escape") if dialog.count() else None
        dialog.wait_for(state="detached")
