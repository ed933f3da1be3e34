"""The forms of routes and providers show every setting, also those without a control of their own."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from trunkline_proto.admin.v1 import accounts_pb2 as accounts, admin_pb2 as admin, jwt_pb2 as jwt
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.console.conftest import Window
from tests.console.tools import CONSOLE
from tests.parity.fields import is_output_only

SOURCES = CONSOLE / "src"
#: Where each message is edited.
FORMS: list[tuple[Descriptor, str]] = [
    (admin.Route.DESCRIPTOR, "routes/form.js"),
    (admin.RouteTarget.DESCRIPTOR, "routes/form.js"),
    (admin.Timeouts.DESCRIPTOR, "routes/form.js"),
    (admin.Provider.DESCRIPTOR, "forms/provider.js"),
    (admin.Organisation.DESCRIPTOR, "forms/organisation.js"),
    (admin.Key.DESCRIPTOR, "forms/key.js forms/key_fields.js pages/keys.js"),
    (policy.Limit.DESCRIPTOR, "limits.js"),
    (policy.Price.DESCRIPTOR, "routes/prices.js routes/form.js"),
    (policy.ServiceTier.DESCRIPTOR, "routes/prices.js"),
    (policy.ContextTier.DESCRIPTOR, "routes/prices.js"),
    (policy.ImagePrice.DESCRIPTOR, "routes/prices.js"),
    (admin.Gateway.DESCRIPTOR, "settings/sections.js settings/sso.js settings/jwt.js"),
    (admin.Cors.DESCRIPTOR, "settings/sections.js"),
    (admin.SharedCache.DESCRIPTOR, "settings/sections.js"),
    (admin.Alerting.DESCRIPTOR, "settings/sections.js"),
    (accounts.Accounts.DESCRIPTOR, "settings/sso.js"),
    (accounts.IdentityProvider.DESCRIPTOR, "settings/sso.js"),
    (jwt.JwtIssuer.DESCRIPTOR, "settings/jwt.js"),
]
#: Fields that forms do not offer, and why.
NOT_OFFERED = {
    "Key.pins_targets": "the playground's own keys have it",
}


def generated(name: str) -> dict[str, Any]:
    """Returns the exports of `src/generated/fields.js`."""
    text = (SOURCES / "generated" / "fields.js").read_text()
    found = re.search(rf"^export const {name} = (.*?^\}});$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    exported: dict[str, Any] = json.loads(found[1])
    return exported


def settings(message: Descriptor) -> list[FieldDescriptor]:
    return [each for each in message.fields if not is_output_only(each) and each.name not in {"id", "version"}]


@pytest.mark.parametrize(
    ("message", "field", "files"),
    [(message, field.name, files) for message, files in FORMS for field in settings(message)],
    ids=lambda given: getattr(given, "name", given),
)
def test_a_form_offers_a_field(message: Descriptor, field: str, files: str) -> None:
    source = "".join((SOURCES / each).read_text() for each in files.split())
    if field in generated("FIELDS").get(message.name, {}):
        assert f'<${{OtherFields}} message="{message.name}"' in source
    elif f"{message.name}.{field}" not in NOT_OFFERED:
        assert re.search(rf"\b{field}\b", source), (
            f"{message.name}.{field} is in no form: console/src/{files}, or NOT_OFFERED with the reason"
        )


def test_exceptions_are_fields() -> None:
    known = {f"{message.name}.{field.name}" for message, _ in FORMS for field in settings(message)}
    assert NOT_OFFERED.keys() <= known


def stored(window: Window, kind: str, **name: str) -> dict[str, Any]:
    """Returns an object as the Admin API lists it."""
    headers = {"authorization": f"Bearer {window.gateway.credentials['admin_token']}"}
    answer = httpx.get(f"{window.gateway.admin_url}/admin/v1/{kind}", headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = [each for each in answer.json()[kind] if name.items() <= each.items()]
    return found[0]


def test_a_setting_without_a_control_of_its_own_is_changed(admin: Window) -> None:
    page = admin.open("models")
    page.get_by_role("button", name="New route").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Model", exact=True).fill("with-options")
    dialog.get_by_label("Model there").fill("gpt-4.1")
    dialog.get_by_text("Time limits, cache, queue").click()
    dialog.get_by_label("Tokens reserved for an answer").fill("2048")
    dialog.get_by_text("the default of 1,024").wait_for()
    dialog.get_by_label("Stable order of tools").check()
    dialog.get_by_role("button", name="Review the changes").click()
    dialog.get_by_text("New: route with-options").wait_for()
    dialog.get_by_role("button", name="Apply").click()
    page.get_by_role("row", name=re.compile("with-options")).get_by_text("a/gpt-4.1").wait_for()
    route = stored(admin, "routes", model="with-options")
    assert (route["reserved_output_tokens"], route["prompt_cache_stable_order"]) == (2_048, True)
    assert "queue_size" not in route

    page = admin.open("models/with-options")
    page.get_by_text("2,048").wait_for()
    page.get_by_role("button", name="Change").click()
    dialog.get_by_text("Time limits, cache, queue").click()
    assert dialog.get_by_label("Tokens reserved for an answer").input_value() == "2048"
    dialog.get_by_label("Tokens reserved for an answer").fill("")
    dialog.get_by_label("Places in the queue").fill("7")
    dialog.get_by_role("button", name="Review the changes").click()
    dialog.get_by_role("button", name="Apply").click()
    dialog.wait_for(state="detached")
    route = stored(admin, "routes", model="with-options")
    assert (route["queue_size"], route["prompt_cache_stable_order"]) == (7, True)
    assert "reserved_output_tokens" not in route


def test_a_provider_keeps_its_seconds_between_health_checks(admin: Window) -> None:
    page = admin.open("providers")
    page.get_by_role("button", name="Add a provider").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("checked")
    dialog.get_by_label("Base URL").fill("http://127.0.0.1:9/v1")
    dialog.get_by_text("Quota, health check, CA").click()
    dialog.get_by_label("Path of a health check").fill("/models")
    dialog.get_by_label("Seconds between health checks").fill("45")
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")
    provider = stored(admin, "providers", name="checked")
    assert (provider["health_path"], provider["health_every_seconds"]) == ("/models", 45)
