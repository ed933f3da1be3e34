"""The listeners' own rules."""

from __future__ import annotations

import re

from hypothesis import example, given, strategies as st

from xds_server.resources.listeners import FORGED_HEADERS

_OF_CLIENTS = {"x-trunkline-tag", "x-trunkline-max-price"}


@given(st.text("tagmxpriceusd-", max_size=16).map("x-trunkline-".__add__))
@example("x-trunkline-tag")
@example("x-trunkline-max-price")
@example("x-trunkline-")
@example("x-trunkline-max-pric")
@example("x-trunkline-max-price2")
@example("x-trunkline-tagm")
@example("x-trunkline-route")
def test_clients_send_nothing_of_the_gateways_own_but_two_headers(name: str) -> None:
    removed = any(re.fullmatch(pattern, name) for pattern in FORGED_HEADERS)
    assert removed == (name not in _OF_CLIENTS)
