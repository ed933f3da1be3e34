"""A route's form: prices other than those of tokens, and the rarer fields of limits."""

from __future__ import annotations

import httpx

from tests.console.conftest import Window


def test_a_route_with_a_cache_price_and_a_limit_per_user(admin: Window) -> None:
    page = admin.open("models")
    page.get_by_role("button", name="New route").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Model", exact=True).fill("priced")
    dialog.get_by_label("Model there").fill("gpt-4.1")
    dialog.get_by_label("USD / 1M in", exact=True).fill("2")
    dialog.get_by_label("USD / 1M out", exact=True).fill("8")
    dialog.get_by_text("More prices").click()
    dialog.get_by_label("Tokens from the cache").fill("0.5")
    dialog.get_by_text("Time limits, cache, queue and limits").click()
    dialog.get_by_role("button", name="Add a limit").click()
    dialog.get_by_text("For whom, alerts").click()
    dialog.get_by_label("Counted for").select_option("EACH_USER")
    dialog.get_by_label("Alert at, percent").fill("100, 80")
    dialog.get_by_label("Only alert").check()
    dialog.get_by_role("button", name="Review the changes").click()
    dialog.get_by_text("cached_input").first.wait_for()
    dialog.get_by_role("button", name="Apply").click()
    dialog.wait_for(state="detached")
    headers = {"authorization": f"Bearer {admin.gateway.credentials['admin_token']}"}
    api = f"{admin.gateway.admin_url}/admin/v1"
    routes = httpx.get(f"{api}/routes", headers=headers, timeout=60).json()["routes"]
    (route,) = [each for each in routes if each["model"] == "priced"]
    price, (limit,) = route["targets"][0]["price"], route["limits"]
    assert (price["input"], price["output"], price["cached_input"]) == ("2000000", "8000000", "500000")
    assert "reasoning" not in price
    assert (limit["each"], limit["alerts_permille"], limit["soft"]) == ("EACH_USER", [800, 1000], True)
    assert (
        httpx.post(f"{api}/routes:delete", json={"model": "priced"}, headers=headers, timeout=60).status_code
        == 200
    )
