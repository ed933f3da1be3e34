from __future__ import annotations

from node_sidecar.serving.headers import for_gateway, for_local_server


def test_a_local_server_gets_the_clients_headers_and_nothing_of_the_gateway() -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"accept", b"text/event-stream"),
        (b"x-stainless-lang", b"python"),
        (b"x-request-id", b"r1"),
        (b"authorization", b"Bearer sk-client"),
        (b"cookie", b"a=b"),
        (b"host", b"gw"),
        (b"content-length", b"5"),
        (b"te", b"trailers"),
        (b"x-trunkline-own", b"1"),
        (b"x-trunkline-node", b"nd-a"),
        (b"x-envoy-attempt-count", b"1"),
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"x-odd", b"\xff"),
        (b"x-split", b"a\r\nb: c"),
        (b"x-name", "Zoë".encode()),
    ]
    passed = [
        ("content-type", "application/json"),
        ("accept", "text/event-stream"),
        ("x-stainless-lang", "python"),
        ("x-request-id", "r1"),
        ("x-name", "Zoë"),
    ]
    assert for_local_server(headers, "") == passed
    assert for_local_server(headers, "sk-local") == [*passed, ("authorization", "Bearer sk-local")]


def test_the_gateway_gets_the_answers_headers_and_no_orders() -> None:
    headers = [
        (b"Content-Type", b"text/event-stream"),
        (b"Content-Length", b"5 "),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"keep-alive, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Keep-Alive", b"timeout=5"),
        (b"X-Envoy-Overloaded", b"true"),
        (b"X-Trunkline-Target", b"forged"),
        (b"X-RateLimit", b"1"),
        (b"X-RateLimit", b"2"),
    ]
    assert for_gateway(headers) == [
        (b"content-type", b"text/event-stream"),
        (b"content-length", b"5"),
        (b"x-ratelimit", b"1"),
        (b"x-ratelimit", b"2"),
    ]
