"""The headers that an attempt's filter prepares for a target."""

from __future__ import annotations

import pytest

from tests.envoy.filters import (
    REQUEST,
    Decisions,
    asked,
    attempt,
    authorised,
    copies,
    decisions,
    driver,
    ends,
    heads,
)
from tests.envoy.native import Driver
from translator.checks.answers import Allowed

__all__ = ["asked", "copies", "decisions", "driver", "ends", "heads"]


@pytest.mark.parametrize(
    ("kind", "bound", "becomes"),
    [
        ("j:m", "", "application/json"),
        ("o:{", "", "application/json"),
        ("f:m", "", None),
        ("p:--b", "", None),
        ("j:", "<- cluster", None),  # a fetch has no body
    ],
)
@pytest.mark.parametrize(
    "sent",
    ["application/x-www-form-urlencoded", "application/json; charset=utf-7", "multipart/form-data; boundary=b"],
)
def test_what_was_read_as_json_is_sent_as_json(
    driver: Driver, decisions: Decisions, sent: str, kind: str, bound: str, becomes: str | None
) -> None:
    decision = Allowed("route", "", "note", "/chat", "-", f"0:1:{kind}", {}, affinity=bound)
    with authorised(driver, decisions, decision) as request:
        request.add(REQUEST, **{"content-type": sent})
        with attempt(request) as first:
            first.call("request_headers", 0)
            assert first.headers(REQUEST)["content-type"] == (becomes or sent)
