"""`python -m tests.console`: takes the pictures of docs/console.md from a gateway with two fake providers and some
weeks of generated usage.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
from playwright.sync_api import Browser, Page, sync_playwright
from trunkline_proto.ledger.v1 import ledger_pb2, ledger_pb2_grpc

from scripts.locked_environment import ROOT
from tests.console.tools import chromium
from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import GatewayProcess

IMAGES = ROOT / "docs" / "images"
DAYS = 14
#: Model → provider and price, USD per million tokens.
MODELS = {"gpt-4.1": ("a", 2.0, 8.0), "gpt-4.1-mini": ("a", 0.4, 1.6), "llama3:70b": ("b", 0.6, 0.8)}
DESK = {"width": 1200, "height": 780}
PHONE = {"width": 360, "height": 700}


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        ProviderProcess("a", api_keys=["sk-provider-a"]) as a,
        ProviderProcess("b", api_keys=["sk-provider-b"]) as b,
        GatewayProcess(Path(directory) / "data", _config(a, b), environment=PROVIDER_CREDENTIALS) as gateway,
        sync_playwright() as playwright,
    ):
        _fill(gateway)
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = _signed_in(browser, gateway, DESK, "light")
        _picture(page, gateway, "start", "start")
        _picture(page, gateway, "usage?days=7", "usage")
        _picture(page, gateway, "models/gpt-4.1", "route")
        page.goto(f"{gateway.admin_url}/#/playground")
        page.get_by_role("button", name="Make a key for a day").click()
        page.get_by_role("button", name="Compare the targets of gpt-4.1").click()
        page.get_by_label("Question").fill("What is a trunk line?")
        page.get_by_role("button", name="Send").click()
        page.get_by_text("Explain this request").nth(2).wait_for()
        page.locator(".announcement").wait_for(state="detached")
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=IMAGES / "console-playground.png")
        _picture(_signed_in(browser, gateway, PHONE, "dark"), gateway, "keys", "phone")
        browser.close()


def _config(a: ProviderProcess, b: ProviderProcess) -> dict[str, Any]:
    def target(model: str, **more: Any) -> dict[str, Any]:
        provider, price_in, price_out = MODELS[model]
        return {"provider": provider, "model": model, "price": {"input": price_in, "output": price_out}, **more}

    main_route = [target("gpt-4.1", weight=80), target("gpt-4.1-mini", weight=20), target("llama3:70b", tier=1)]
    limit = {"metric": "cost_usd", "per": "month", "amount": 500}
    per_minute = {"metric": "requests", "per": "60s", "amount": 600}
    keys = [
        {"name": "ci", "value": "sk-acme-ci-0123456789", "limits": [per_minute]},
        {"name": "assistant", "value": "sk-acme-assistant-0123456789", "models": ["gpt-*"]},
    ]
    return {
        "version": 1,
        "providers": [provider_entry(a), provider_entry(b)],
        "routes": [
            {"model": "gpt-4.1", "targets": main_route},
            *({"model": each, "targets": [target(each)]} for each in ("gpt-4.1-mini", "llama3:70b")),
        ],
        "organisations": [{"name": "acme", "limits": [limit], "keys": keys}],
    }


def _fill(gateway: GatewayProcess) -> None:
    """Fills the ledger with two weeks of usage, more on working days."""
    token = [("authorization", f"Bearer {gateway.credentials['admin_token']}")]
    listed = json.loads(gateway.run("keys", "list", "--json").stdout)
    keys = [each["id"] for each in listed]
    chance, now = random.Random(7), time.time()
    records = []
    for number in range(2 * DAYS * 150):
        at = now - chance.random() * 2 * DAYS * 86_400
        if time.gmtime(at).tm_wday > 4 and chance.random() < 0.7:
            continue
        model = chance.choices(list(MODELS), weights=[5, 3, 2])[0]
        provider, price_in, price_out = MODELS[model]
        prompt, completion = chance.randrange(200, 6_000), chance.randrange(50, 1_500)
        failed = chance.random() < 0.02
        records.append(
            ledger_pb2.UsageRecord(
                id=f"{number:08x}-0000-4000-8000-000000000000",
                format=1,
                started_at_us=int(at * 1e6),
                organisation_id="org",
                key_id=chance.choice(keys),
                model=model,
                provider=provider,
                target_id=f"{provider}/{model}",
                attempts=1,
                status=502 if failed else 200,
                stream=True,
                first_byte_us=chance.randrange(200_000, 900_000),
                duration_us=chance.randrange(1_000_000, 9_000_000),
                prompt_tokens=prompt,
                completion_tokens=completion,
                cost_nano_usd=round((prompt * price_in + completion * price_out) * 1_000),
            )
        )
    with grpc.insecure_channel(gateway.credentials["control"].removeprefix("http://")) as channel:
        stub = ledger_pb2_grpc.LedgerStub(channel)
        for begin in range(0, len(records), 1_000):
            request = ledger_pb2.AppendRequest(source="pictures", records=records[begin : begin + 1_000])
            stub.Append(request, metadata=tuple(token))


def _signed_in(browser: Browser, gateway: GatewayProcess, size: dict[str, int], scheme: Any) -> Page:
    page = browser.new_context(viewport=size, color_scheme=scheme, locale="en").new_page()  # type: ignore[arg-type]
    page.goto(gateway.admin_url)
    page.get_by_label("Admin token").fill(gateway.credentials["admin_token"])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Start", level=1).wait_for()
    return page


def _picture(page: Page, gateway: GatewayProcess, address: str, name: str) -> None:
    page.goto(f"{gateway.admin_url}/#/{address}")
    page.wait_for_selector(f"main[data-view='#/{address}']:not([aria-busy='true'])")
    if address.startswith("usage"):
        page.wait_for_selector(".chart canvas")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"console-{name}.png")


if __name__ == "__main__":
    main()
