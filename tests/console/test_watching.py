"""The pages for observing: usage, budgets, audit, nodes, running requests."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Route

from tests.console.conftest import Window
from tests.fakes.provider_process import ProviderProcess
from tests.gateway.process import GatewayProcess


@pytest.fixture
def asked(gateway: GatewayProcess) -> None:
    """Sends a request with acme's key, with a tag that a spreadsheet would take for a formula."""
    headers = {"authorization": "Bearer sk-acme-ci-0123456789", "x-trunkline-tag": "=1+1"}
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
    assert (
        httpx.post(f"{gateway.base_url}/chat/completions", json=body, headers=headers, timeout=60).status_code
        == 200
    )


def test_usage_by_two_dimensions_and_as_csv(window: Window, asked: None) -> None:
    window.stop_clock()  # an hour that turns is another request
    window.sign_in()
    page = window.open("usage?days=1&by=DIMENSION_MODEL&and=DIMENSION_TAG")
    row = page.get_by_role("row", name=re.compile("gpt-4.1.*=1\\+1"))
    while not row.count():  # the ledger follows
        page.reload()
        window.settled()
    page.locator(".chart canvas").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    text = download.value.path().read_text()
    assert text.startswith('"model","tag","requests"')
    assert '"gpt-4.1","\'=1+1"' in text
    window.requests.clear()
    page.get_by_label("Organisation").fill("acme")
    page.keyboard.press("Enter")
    window.settled()
    page.wait_for_url(re.compile("organisation=acme"))
    page.wait_for_load_state("networkidle")
    assert [each.partition("?")[0] for each in window.calls] == ["console/usage"]


def test_budgets_show_what_limits_have_counted(admin: Window, asked: None) -> None:
    page = admin.open("keys")
    admin.settled()
    page.get_by_role("tab", name="Budgets").click()
    row = page.get_by_role("row", name=re.compile("organisation acme"))
    row.wait_for()
    row.get_by_text("of $500.00").wait_for()


def test_the_audit_log_shows_what_was_and_what_is(admin: Window) -> None:
    page = admin.open("audit?type=organisation&name=acme")
    admin.settled()
    page.locator(".events summary").last.click()
    page.locator(".events .difference").last.get_by_text("limits").wait_for()
    page.get_by_role("button", name="Verify the chain").click()
    page.get_by_text(re.compile(r"The chain of \d+ events? is intact")).wait_for()


def test_work_in_the_background_and_problems_are_shown(admin: Window) -> None:
    """The task is like the one that follows the upgrade of a large database; the test adds it to the answer."""

    def with_task(route: Route) -> None:
        answer = route.fetch()
        task = {"description": "sums", "done": "73", "total": "365", "unit": "days"}
        task["description_code"] = {"code": "task.daily_sums"}  # type: ignore[assignment]
        problem = {"code": "object.unbuildable", "values": ["route", "gpt-4.1", "KeyError: 'x'"]}
        more = {"tasks": [task], "problems": ["said in English"], "problem_codes": [problem]}
        route.fulfill(response=answer, json={**answer.json(), **more})

    admin.page.route("**/admin/v1/status", with_task)
    page = admin.open("health")
    work = page.locator(".card", has=page.get_by_role("heading", name="Work in the background"))
    work.get_by_text("sums usage by day").wait_for()
    work.get_by_text("73 of 365 (20%)").wait_for()
    page.get_by_text("route \"gpt-4.1\" cannot be built (KeyError: 'x')").wait_for()
    page.get_by_role("radio", name="Русский").check()
    work = page.locator(".card", has=page.get_by_role("heading", name="Работа в фоне"))
    work.get_by_text("73 из 365").wait_for()
    page.get_by_text("маршрут «gpt-4.1»: не собирается (KeyError: 'x')").wait_for()
    assert "said in English" not in page.content()


def test_a_machine_is_invited_with_a_command_for_its_system(admin: Window) -> None:
    page = admin.open("nodes")
    admin.settled()
    page.get_by_role("button", name="Invite a machine").first.click()
    page.get_by_role("button", name="Make the command").click()
    command = page.locator("dialog").get_by_role("tabpanel").locator(".code pre")
    for system in ("Linux, macOS", "As a service", "Windows", "Docker"):
        page.get_by_role("tab", name=system).click()
        assert re.search(r"https://\S+ --token tlj_\w+", command.inner_text()), system


def test_a_search_that_is_not_complete_says_how_far_it_got(admin: Window) -> None:
    """The first page found nothing in its time; the next one ends the search."""
    pages = [{}, {"next_page_token": "1767225600000000:", "searched_since_us": "1767225600000000"}]
    admin.page.route("**/admin/v1/requests:search**", lambda route: route.fulfill(json=pages.pop()))
    page = admin.open("requests?show=finished&status=5xx")
    page.get_by_text("Nothing found so far").wait_for()
    page.get_by_text("Searched back to").wait_for()
    page.get_by_role("button", name="more", exact=False).click()
    page.get_by_text("No such request").wait_for()
    assert page.get_by_text("Searched back to").count() == 0
    admin.page.unroute("**/admin/v1/requests:search**")


def test_a_running_request_is_seen_and_cancelled(admin: Window, provider: ProviderProcess) -> None:
    """The request is a stream of ten minutes, which ends when it is cancelled."""
    gateway = admin.gateway
    headers = {"authorization": f"Bearer {gateway.credentials['admin_token']}"}
    model = "paced-6000-100"
    route = {"model": model, "targets": [{"provider": "a", "model": model}]}
    api = f"{gateway.admin_url}/admin/v1"
    assert httpx.post(f"{api}/routes", json={"route": route}, headers=headers, timeout=60).status_code == 200
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "secret question"}]}
    key = {"authorization": "Bearer sk-acme-ci-0123456789"}
    with (
        httpx.Client(timeout=60) as client,
        client.stream("POST", f"{gateway.base_url}/chat/completions", json=body, headers=key) as answer,
    ):
        pieces = answer.iter_raw()
        next(pieces)
        page = admin.open("requests")
        row = page.get_by_role("row", name=re.compile(model))
        row.get_by_text("streaming").wait_for()
        row.get_by_text(f"a/{model}").wait_for()
        assert "secret question" not in page.content()
        row.get_by_role("button", name="Cancel").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").last.click()
        row.wait_for(state="detached")
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)
    assert (
        httpx.post(f"{api}/routes:delete", json={"model": model}, headers=headers, timeout=60).status_code == 200
    )
