"""Responses as bytes."""

from __future__ import annotations

from translator.message import Response


def test_a_response_with_a_body() -> None:
    response = Response.json(404, b'{"a":1}', {"allow": "GET"})
    assert response.encode() == (
        b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\nallow: GET\r\ncontent-length: 7\r\n\r\n"
        b'{"a":1}'
    )


def test_the_answer_to_head_has_its_length_but_no_body() -> None:
    assert Response(405, {}, b"xyz").encode(head_only=True) == (
        b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 3\r\n\r\n"
    )
