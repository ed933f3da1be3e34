"""Answers that are none: the next target is tried, or the client gets words of our own."""

from __future__ import annotations

import pytest

from tests.envoy.filters import (
    RESPONSE,
    RETRY,
    STOP,
    Attempts,
    asked,
    attempt,
    attempts,
    copies,
    decisions,
    driver,
    ends,
    failed,
    heads,
    request_,
)

__all__ = ["asked", "attempts", "copies", "decisions", "driver", "ends", "heads", "request_"]


class TestNoAnswer:
    """An invalid answer is retried; if it is the last one, the client gets words of our own."""

    @pytest.mark.parametrize(
        ("status", "kind", "body", "end"),
        [
            *(
                (status, "text/plain", b"x", False)
                for status in ("100", "150", "204", "206", "301", "307", "600", "999")
            ),
            *((status, "text/html; charset=utf-8", b"<html>", False) for status in ("200", "302", "404", "400")),
            ("200", "Text/HTML", b"<html>", False),
            *((status, "application/json", b"", True) for status in ("200", "204", "205")),
            ("200", "application/json", b"", False),
            ("200", "application/json", b" ", False),
            ("200", "text/event-stream", b"", False),
            ("200", "text/event-stream", b"\r\n\n", False),
            ("200", "audio/mpeg", b"", True),
        ],
    )
    def test_it_is_replaced(self, attempts: Attempts, status: str, kind: str, body: bytes, end: bool) -> None:
        attempts.choose()
        with attempt(attempts.request) as first:
            first.call("request_headers", 1)
            first.add(RESPONSE, **{":status": status, "content-type": kind})
            _, given = first.call("response_headers", int(end))
            if not end:
                given += first.call("response_body", 1, body)[1]
            headers = first.headers(RESPONSE)
        assert (headers[":status"], headers["content-type"]) == (RETRY, "application/json")
        assert headers["content-length"] == str(len(given))
        assert b'"code":"upstream_invalid_answer"' in given
        assert attempts.seen_by_client(RETRY) == "502"
        attempts.driver.ask("complete", attempts.request.slot)
        assert failed(attempts.request) == f"target={status}".encode()

    @pytest.mark.parametrize(
        ("kind", "body", "given"),
        [
            ("application/json", b'{"error":{"message":"no"}}', b'{"error":{"message":"no"}}'),
            ("text/event-stream", b'event: error\ndata: {"error":{"code":1}}\n\n', b'{"error":{"code":1}}'),
            ("text/event-stream", b'data: {"error":"no"}\n\ndata: [DONE]\n\n', b'{"error":"no"}'),
        ],
    )
    @pytest.mark.parametrize("size", [1, 100])
    def test_an_error_with_an_answers_status(
        self, attempts: Attempts, kind: str, body: bytes, given: bytes, size: int
    ) -> None:
        attempts.choose()
        with attempt(attempts.request) as first:
            first.call("request_headers", 1)
            first.add(RESPONSE, **{":status": "200", "content-type": kind})
            assert first.call("response_headers", 0)[0] == STOP
            pieces = [first.call("response_body", 0, body[at : at + size])[1] for at in range(0, len(body), size)]
            pieces.append(first.call("response_body", 1)[1])
            headers = first.headers(RESPONSE)
        assert b"".join(pieces) == given
        assert (headers[":status"], headers["content-length"]) == (RETRY, str(len(given)))

    @pytest.mark.parametrize("status", ["401", "402", "403", "498"])
    def test_the_gateways_account_is_not_the_clients(self, attempts: Attempts, status: str) -> None:
        attempts.choose()
        assert attempts.attempt(status) == RETRY
        assert attempts.seen_by_client(RETRY) == "502"

    @pytest.mark.parametrize(
        ("body", "unknown"),
        [
            (b'{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}', True),
            (
                b'{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","code":404}',
                True,
            ),
            (b'{"error":{"message":"model \\"x\\" not found, try pulling it first"}}', True),
            (b'{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist"}}', True),
            (b'{"error":{"message":"No endpoints found for x/y."}}', True),
            (b'{"error":{"message":"Previous response with id \'resp_1\' not found.","type":"x"}}', False),
            (b'{"error":{"message":"No such File object: file-1","param":"id"}}', False),
            (b'{"detail":"Not Found"}', False),
        ],
    )
    def test_a_model_that_the_target_does_not_know(self, attempts: Attempts, body: bytes, unknown: bool) -> None:
        attempts.choose()
        with attempt(attempts.request) as first:
            first.call("request_headers", 1)
            first.add(RESPONSE, **{":status": "404", "content-type": "application/json"})
            assert first.call("response_headers", 0)[0] == STOP
            assert first.call("response_body", 0, body[:9])[1] == b""
            given = first.call("response_body", 1, body[9:])[1]
            shown = first.headers(RESPONSE)[":status"]
        assert shown == (RETRY if unknown else "404")
        assert (b'"upstream_model_not_found"' in given) == unknown
        assert unknown or given == body

    @pytest.mark.parametrize(
        ("body", "unknown"),
        [
            (b'{"error":{"message":"Model Not Exist","type":"invalid_request_error"}}', True),
            (b'{"error":{"message":"n is too large","code":"invalid_value"}}', False),
        ],
    )
    def test_a_400_because_of_the_model(self, attempts: Attempts, body: bytes, unknown: bool) -> None:
        attempts.choose()
        with attempt(attempts.request) as first:
            first.call("request_headers", 1)
            first.add(RESPONSE, **{":status": "400", "content-type": "application/json"})
            assert first.call("response_headers", 0)[0] == STOP
            given = first.call("response_body", 1, body)[1]
            shown = first.headers(RESPONSE)[":status"]
        assert shown == (RETRY if unknown else "400")
        assert unknown or given == body
        attempts.request.driver.ask("complete", attempts.request.slot)
        assert failed(attempts.request).endswith(b"=404") == unknown
