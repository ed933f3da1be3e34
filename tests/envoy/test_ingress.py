"""`envoy/module/ingress.c`: what no client may send."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given, strategies as st

from tests.envoy.native import Driver

_OF_CLIENTS = {"x-trunkline-tag", "x-trunkline-max-price"}
_HARMLESS = ["authorization", "x-request-ids", "x-", "x", "x-envo", "x-trunkline", "xx-trunkline-route"]
_CHOOSING = [
    *(
        "proxy-authorization",
        "ocp-apim-subscription-key",
        "helicone-",
        "helicone-target-url",
        "cf-aig-authorization",
    ),
    *("cf-access-client-secret", "range", "if-range", "if-none-match", "x-auth-token", "x-access-token"),
    *("x-amz-security-token", "x-goog-user-project", "x-goog-iam-authorization-token", "x-hf-bill-to"),
    *("x-litellm-api-key", "x-portkey-virtual-key", "x-portkey-custom-host", "x-original-url", "x-rewrite-url"),
    *("x-http-method-override", "x-method-override", "x-forwarded-host"),
]
_SIMILAR = ["ranges", "rang", "if", "helicone", "x-auth-tokens", "x-portkey", "x-forwarded-hosts", "x-amz-date"]
_letters = st.text("tagmxpriceusd-", max_size=16)
names = st.one_of(
    _letters.map("x-trunkline-".__add__),
    _letters.map("x-envoy-".__add__),
    st.sampled_from(["x-request-id", *_HARMLESS, *_CHOOSING, *_SIMILAR]),
)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("filters") as running:
        yield running


def left(driver: Driver, sent: list[str]) -> list[str]:
    """The names that pass, in their order."""
    goes_on, *headers = driver.ask("ingress", *sent)
    assert goes_on == b"1"
    assert headers[1::2] == [b"value"] * (len(headers) // 2)
    return [name.decode() for name in headers[::2]]


def is_unwanted(name: str) -> bool:
    own = name.startswith("x-trunkline-") and name not in _OF_CLIENTS
    return own or name.startswith("x-envoy-") or name == "x-request-id" or name in _CHOOSING


@given(st.lists(names, max_size=80))
@example(["x-trunkline-tag", "x-trunkline-max-price"])
@example(
    ["x-trunkline-", "x-trunkline-max-pric", "x-trunkline-max-price2", "x-trunkline-tagm", "x-trunkline-route"]
)
@example(["x-envoy-", "x-envoy-original-path", "x-request-id", "x-request-id"])
@example(["x-trunkline-route", "a"] * 40)
@example([*_CHOOSING, *_SIMILAR])
def test_clients_send_nothing_of_the_gateways_own_and_choose_nothing_for_a_target(
    driver: Driver, sent: list[str]
) -> None:
    assert left(driver, sent) == [name for name in sent if not is_unwanted(name)]


def test_what_every_client_sends_passes(driver: Driver) -> None:
    sent = [":method", ":path", "host", *_HARMLESS, *_SIMILAR]
    assert left(driver, sent) == sent
