"""The headers that an attempt's filter prepares for a target."""

from __future__ import annotations

import pytest

from tests.envoy.filters import (
    BODY,
    CONTINUE,
    REQUEST,
    Decisions,
    Filter,
    asked,
    attempt,
    authorised,
    copies,
    decisions,
    driver,
    ends,
    heads,
    request_,
)
from tests.envoy.native import Driver
from translator.checks.answers import Allowed

__all__ = ["asked", "copies", "decisions", "driver", "ends", "heads", "request_"]


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


def test_an_unedited_body_has_its_own_length_after_an_edited_one(request_: Filter) -> None:
    with attempt(request_, 'x - key target "a longer name"') as first:
        first.call("request_headers", 0)
        _, edited = first.call("request_body", 1, BODY)
        assert first.headers(REQUEST)["content-length"] == str(len(edited)) != str(len(BODY))
    for _ in range(2):
        with attempt(request_, 'x - key target "gpt"') as other:
            assert other.call("request_headers", 0)[0] == CONTINUE
            assert other.headers(REQUEST)["content-length"] == str(len(BODY))
