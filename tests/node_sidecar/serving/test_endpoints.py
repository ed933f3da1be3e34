from __future__ import annotations

import pytest

from node_sidecar.serving.endpoints import BodyKind, find


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/chat/completions", BodyKind.JSON),
        ("/v1/completions", BodyKind.JSON),
        ("/v1/responses", BodyKind.JSON),
        ("/v1/embeddings", BodyKind.JSON),
        ("/v1/rerank", BodyKind.JSON),
        ("/v1/images/generations", BodyKind.JSON),
        ("/v1/images/edits", BodyKind.FORM),
        ("/v1/images/variations", BodyKind.FORM),
        ("/v1/audio/speech", BodyKind.JSON),
        ("/v1/audio/transcriptions", BodyKind.FORM),
        ("/v1/audio/translations", BodyKind.FORM),
    ],
)
def test_what_is_passed_on(path: str, kind: BodyKind) -> None:
    assert find(b"POST", path.encode()) == (kind, path.removeprefix("/v1"))
    assert find(b"GET", path.encode()) is None


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/responses/resp_1", [b"GET", b"HEAD", b"DELETE"]),
        ("/v1/responses/resp_bGl0ZQ==", [b"GET", b"HEAD", b"DELETE"]),
        ("/v1/responses/resp_1/input_items", [b"GET", b"HEAD"]),
        ("/v1/responses/resp_1/cancel", [b"POST"]),
    ],
)
def test_a_stored_response_is_passed_on(path: str, methods: list[bytes]) -> None:
    for method in (b"GET", b"HEAD", b"DELETE", b"POST", b"PUT", b"PATCH"):
        expected = (BodyKind.NONE, path.removeprefix("/v1")) if method in methods else None
        assert find(method, path.encode()) == expected


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/responses/",
        b"/v1/responses/..",
        b"/v1/responses/a/b",
        b"/v1/responses/a%2Fb",
        b"/v1/responses/a/cancel/",
    ],
)
def test_no_other_path_below_responses_is(path: bytes) -> None:
    assert all(find(method, path) is None for method in (b"GET", b"DELETE", b"POST"))


def test_the_query_goes_along() -> None:
    assert find(b"POST", b"/v1/completions?a=b&c=%20") == (BodyKind.JSON, "/completions?a=b&c=%20")


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"*",
        b"/",
        b"/v1/models",
        b"/pause",
        b"/update_weights",
        b"/models/load",
        b"/api/pull",
        b"/v1/chat/completions/",
        b"/v1/chat/completions/../../pause",
        b"/v1/chat//completions",
        b"//v1/chat/completions",
        b"/v1/chat%2fcompletions",
        b"/v1/chat/completions;x",
        b"/V1/chat/completions",
        b"/v1/chat/completions#x",
        b"/v1/completions?a=\xff",
        b"/v1/completions?a= HTTP/1.1\r\nx: y",
        b"http://other/v1/completions",
    ],
)
def test_what_is_not(path: bytes) -> None:
    assert find(b"POST", path) is None
