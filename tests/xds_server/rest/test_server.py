"""Behaviour common to all bindings: bodies, names, statuses and shapes."""

from __future__ import annotations

import asyncio
import io
import json
from urllib.parse import quote

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.xds_server.rest.conftest import TOKEN, Rest
from xds_server.accounts.permissions import MAX_BYTES
from xds_server.rest.server import OTHER_PATHS

KEYS = "/admin/v1/keys"


@pytest.mark.parametrize("path", ["/admin", "/admin/v1", "/admin/v1/", "/admin/v2/keys", "/v1/models", "//"])
async def test_unknown_paths(rest: Rest, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "PATCH", "PUT", "OPTIONS"):
        assert (await rest(method, path, token=None)).status == 401
        answer = await rest(method, path)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "not_found", None)


@pytest.mark.parametrize("path", OTHER_PATHS)
async def test_paths_that_others_serve_have_their_methods(rest: Rest, path: str) -> None:
    answer = await rest("POST", path)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert (await rest("OPTIONS", path)).status == 204


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not JSON: Expecting property name enclosed in double quotes at line 1 column 2"),
        (b'{"key": }', "at line 1 column 9"),
        (b"\xff{}", "is not UTF-8 (byte 0)"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"key": NaN}', "a number that is not valid in JSON"),
        (b'{"key": -Infinity}', "a number that is not valid in JSON"),
        (b'{"key": ' + b"9" * 5_000 + b"}", "too long"),
        (b"{} {}", "Extra data"),
    ],
)
async def test_what_is_no_json(rest: Rest, content: bytes, said: str) -> None:
    answer = await rest("POST", KEYS, content)
    assert (answer.status, answer.error["code"]) == (400, "malformed_json")
    assert said in answer.error["message"]


@pytest.mark.parametrize("content", [b"[]", b"5", b'"text"', b"null", b"true"])
async def test_json_that_is_no_object(rest: Rest, content: bytes) -> None:
    answer = await rest("POST", KEYS, content)
    assert (answer.status, answer.error["code"]) == (400, "invalid_argument")
    assert "accepted: an object" in answer.error["message"]


async def test_an_empty_body_is_an_object_without_members(rest: Rest) -> None:
    for content in (None, b"", b" \n"):
        answer = await rest("POST", "/admin/v1/apply", content)
        assert (answer.status, answer.error["message"]) == (400, "document: missing")
        assert (await rest("PATCH", "/admin/v1/nodes/gpu", content)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "text/json"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/grpc"},
        {"content-type": ""},
        {"content-encoding": "br"},
    ],
)
async def test_other_types_of_content(rest: Rest, headers: dict[str, str]) -> None:
    answer = await rest("PATCH", "/admin/v1/nodes/gpu", b"{}", headers=headers)
    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")
    assert rest.admin.calls == []


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON", 'application/json; charset="UTF-8"', "application/json;"]
)
async def test_the_types_that_are_taken(rest: Rest, kind: str) -> None:
    assert (await rest("PATCH", "/admin/v1/nodes/gpu", b"{}", headers={"content-type": kind})).status == 200


async def test_a_body_that_is_too_large(rest: Rest) -> None:
    assert (await rest("POST", KEYS, _long(MAX_BYTES + 1))).error["code"] == "request_too_large"

    async def pieces() -> object:
        for _ in range(17):
            yield b" " * 1024 * 1024

    sent = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    async with rest.session.post(f"http://rest{KEYS}", data=pieces(), headers=sent) as response:
        assert response.status == 413
    assert (await rest("PATCH", "/admin/v1/nodes/gpu", _long(MAX_BYTES))).status == 200


def _long(size: int) -> io.BytesIO:
    return io.BytesIO(b" " * (size - 2) + b"{}")


async def test_percent_encoding_in_a_path(rest: Rest) -> None:
    assert (await rest("PATCH", "/admin/v1/nodes/acme%2Fgpu%2D1", {})).status == 200
    assert rest.admin.calls.pop()[1] == pb.UpdateNodeRequest(node_id="acme/gpu-1")
    assert (await rest("POST", "/admin/v1/keys/acme%2Fci:rotate", {"graceSeconds": "0"})).status == 200
    assert rest.admin.calls.pop()[1] == pb.RotateKeyRequest(id="acme/ci", grace_seconds=0)
    assert (await rest("DELETE", "/admin/v1/nodes/a%3Ab?version=3")).status == 200
    assert rest.admin.calls.pop()[1] == pb.RemoveNodeRequest(node_id="a:b", version=3)
    for wrong in ("%", "%zz", "%ff", "%00"):
        answer = await rest("DELETE", f"/admin/v1/nodes/{wrong}")
        assert (answer.status, answer.error["param"]) == (400, "node_id")
    for wrong in ("a:b", "a/b", ""):
        assert (await rest("DELETE", f"/admin/v1/nodes/{wrong}")).status == 404
    answer = await rest("PATCH", "/admin/v1/keys/abc:rotate", {})
    assert (answer.status, answer.headers["allow"]) == (405, "OPTIONS, POST")


async def test_queries(rest: Rest) -> None:
    assert (await rest("GET", "/admin/v1/keys?organisation=a+b%26c&includeRevoked=true&")).status == 200
    assert rest.admin.calls.pop()[1] == pb.ListKeysRequest(organisation="a b&c", include_revoked=True)
    path = "/admin/v1/usage:report?by=DIMENSION_DAY&by=5&filter.since=-1"
    assert (await rest("GET", path)).status == 200
    expected = pb.ReportUsageRequest(by=[pb.DIMENSION_DAY, pb.DIMENSION_KEY], filter=pb.UsageFilter(since=-1))
    assert rest.admin.calls.pop()[1] == expected


@pytest.mark.parametrize("given", ["2026-11-01", "1e9", "+5", "24h"])
async def test_what_a_query_has_in_place_of_a_number_is_quoted(rest: Rest, given: str) -> None:
    answer = await rest("GET", f"/admin/v1/usage:report?filter.since={quote(given, safe='')}")
    assert (answer.status, answer.error["param"]) == (400, "filter.since")
    assert answer.error["message"] == f'filter.since: "{given}" is not accepted; accepted: a whole number'


async def test_several_problems_are_reported_together(rest: Rest) -> None:
    answer = await rest("POST", KEYS, {"key": {"nam": "x", "models": [1]}, "value": False})
    assert answer.error["message"].splitlines() == [
        f'key: "nam" is not known; did you mean `name`? accepted: {", ".join(pb.Key.DESCRIPTOR.fields_by_name)}',
        "key.models[0]: a number is not accepted; accepted: a string",
        "key.name: missing",
        "value: true or false is not accepted; accepted: a string",
    ]


async def test_answers_can_be_sent_back(rest: Rest) -> None:
    provider = pb.Provider(name="p", base_url="https://é.example", credential_count=2, version=2**60)
    rest.admin.answers["ListProviders"] = pb.ListProvidersResponse(providers=[provider])
    (listed,) = (await rest("GET", "/admin/v1/providers")).json["providers"]
    assert (listed["version"], listed["base_url"]) == (str(2**60), "https://é.example")
    assert (await rest("PUT", "/admin/v1/providers/p", {"provider": listed})).status == 200
    assert rest.admin.calls.pop()[1] == pb.PutProviderRequest(provider=provider)


@pytest.mark.parametrize(
    ("code", "status", "word"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 400, "invalid_argument"),
        (grpc.StatusCode.FAILED_PRECONDITION, 400, "failed_precondition"),
        (grpc.StatusCode.NOT_FOUND, 404, "not_found"),
        (grpc.StatusCode.ALREADY_EXISTS, 409, "already_exists"),
        (grpc.StatusCode.ABORTED, 409, "aborted"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429, "resource_exhausted"),
        (grpc.StatusCode.UNAVAILABLE, 503, "unavailable"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "deadline_exceeded"),
        (grpc.StatusCode.INTERNAL, 500, "internal"),
        (grpc.StatusCode.DATA_LOSS, 500, "internal"),
    ],
)
async def test_what_the_service_refuses(rest: Rest, code: grpc.StatusCode, status: int, word: str) -> None:
    rest.admin.failure = (code, "limits[0].amount: “too” large\nand more")
    answer = await rest("GET", KEYS)
    assert (answer.status, answer.error["code"]) == (status, word)
    assert answer.error["message"] == "limits[0].amount: “too” large\nand more"
    assert answer.error["param"] == ("limits[0].amount" if word == "invalid_argument" else None)


async def test_no_answer_is_kept_by_anybody(rest: Rest) -> None:
    for answer in (await rest("GET", KEYS), await rest("GET", "/nothing"), await rest("OPTIONS", KEYS)):
        assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == (
            "no-store",
            "nosniff",
        )


@pytest.mark.parametrize("header", ["Basic eDp5", "Bearer", f"Bearer {TOKEN} x", f"Bearer  {TOKEN}", TOKEN])
async def test_other_credentials(rest: Rest, header: str) -> None:
    assert (await rest("GET", KEYS, token=None, headers={"authorization": header})).status == 401


@pytest.mark.slow
async def test_a_large_answer_keeps_no_other_call_waiting(rest: Rest) -> None:
    keys = [pb.Key(id=f"key{number}", name="n", models=["*"]) for number in range(20_000)]
    rest.admin.answers["ListKeys"] = pb.ListKeysResponse(keys=keys)
    large = asyncio.create_task(rest("GET", KEYS))
    small = [await rest("GET", "/nothing") for _ in range(3)]
    assert [each.status for each in small] == [404] * 3
    assert len((await large).json["keys"]) == 20_000


async def test_a_control_plane_that_does_not_answer(rest: Rest) -> None:
    await rest.server._channel.close(None)
    answer = await rest("GET", KEYS)
    assert answer.status >= 500
    assert json.dumps(answer.error)


async def test_who_acts_and_what_is_taken_over_from_files_is_passed_on(rest: Rest) -> None:
    sent = {"x-trunkline-actor": "alice", "x-trunkline-take-over": "true", "x-trunkline-other": "no"}
    await rest("GET", KEYS, headers=sent)
    assert {name: value for name, value in rest.admin.metadata.items() if name.startswith("x-")} == {
        "x-trunkline-actor": "alice",
        "x-trunkline-take-over": "true",
    }
    answer = await rest("GET", KEYS, headers={"x-trunkline-actor": "é"})
    assert (answer.status, answer.error["code"]) == (400, "invalid_argument")
