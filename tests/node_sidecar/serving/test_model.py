from __future__ import annotations

import aiohttp
import pytest

from node_sidecar.serving.endpoints import BodyKind
from node_sidecar.serving.model import requested_model
from node_sidecar.serving.refusal import Refusal

JSON = b"application/json"


def form(*parts: tuple[str, str], boundary: str = "b0", quoted: bool = True) -> tuple[bytes, bytes]:
    """Returns body and content type of a form."""
    mark = '"' if quoted else ""
    lines = [
        f"--{boundary}\r\nContent-Disposition: form-data; name={mark}{name}{mark}\r\n\r\n{value}\r\n"
        for name, value in parts
    ]
    return f"{''.join(lines)}--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}".encode()


def test_json() -> None:
    assert (
        requested_model(BodyKind.JSON, b'{"messages": [{"model": "x"}], "model": "llama3:70b"}', JSON)
        == "llama3:70b"
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"[]", "missing_model"),
        (b"{}", "missing_model"),
        (b'{"model": 1}', "missing_model"),
        (b'{"model": ""}', "missing_model"),
    ],
)
def test_json_without_a_model(body: bytes, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        requested_model(BodyKind.JSON, body, JSON)
    assert (refused.value.status, refused.value.code) == (400, code)


def test_the_gateway_names_the_model_of_a_request_without_one() -> None:
    assert requested_model(BodyKind.NONE, b"", b"", '"llama \\"3\\" é"'.encode()) == 'llama "3" é'


@pytest.mark.parametrize("named", [b"", b"llama", b'""', b"1", b'["llama"]', b"[" * 100_000, b"\xff"])
def test_without_a_name_from_the_gateway_there_is_no_model(named: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        requested_model(BodyKind.NONE, b'{"model":"x"}', JSON, named)
    assert (refused.value.status, refused.value.code) == (400, "missing_model")


@pytest.mark.parametrize(
    "member",
    [
        b'"Model":"y"',
        b'"MODEL":"y"',
        b'"mod\\u0045l":"y"',
        b'"model":"y"',
        b'"mo\\u0064el":"y"',
        b'"model\\u0000":"y"',
        b'"mo_del":"y"',
        '"\uff4d\uff4f\uff44\uff45\uff4c":"y"'.encode(),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_second_name_that_a_local_server_reads_as_the_model(member: bytes, *, first: bool) -> None:
    members = [member, b'"model":"x"'] if first else [b'"model":"x"', member]
    with pytest.raises(Refusal) as refused:
        requested_model(BodyKind.JSON, b"{" + b",".join(members) + b"}", JSON)
    assert (refused.value.status, refused.value.code) == (400, "ambiguous_parameter")


def test_the_same_name_deeper_in_the_document() -> None:
    body = b'{"x": {"Model": 1, "model": 2, "model": 3}, "model": "x", "modelling": 4}'
    assert requested_model(BodyKind.JSON, body, JSON) == "x"


@pytest.mark.parametrize(
    "kind",
    [
        b"multipart/form-data; charset=utf-8; boundary=b0",
        b"multipart/form-data; boundary=b0; charset=utf-8",
        b"multipart/form-data; boundary=b0;",
        b'multipart/form-data; a="x; boundary=no"; boundary="b0"; b=c',
    ],
)
def test_what_the_gateway_accepts_in_a_forms_type(kind: bytes) -> None:
    assert requested_model(BodyKind.FORM, form(("model", "x"))[0], kind) == "x"


def test_a_preamble_and_padding() -> None:
    body = b"preamble\r\n" + form(("file", "y"), ("model", "x"))[0].replace(b"--b0\r", b"--b0 \t\r")
    assert requested_model(BodyKind.FORM, body, form()[1]) == "x"


@pytest.mark.parametrize(
    "parameters", [b'name="model"; charset=utf-8', b'charset="utf-8"; name=model', b'x=y ;name="model" ; z']
)
def test_other_parameters_of_a_part(parameters: bytes) -> None:
    body = form(("model", "x"))[0].replace(b'name="model"', parameters)
    assert requested_model(BodyKind.FORM, body, form()[1]) == "x"


@pytest.mark.parametrize("quoted", [True, False])
def test_a_form(quoted: bool) -> None:
    body, kind = form(("file", "x--b0 model\r\n\r\n"), ("empty", ""), ("model", "whisper"), quoted=quoted)
    assert requested_model(BodyKind.FORM, body, kind) == "whisper"


async def test_a_form_as_aiohttp_writes_it() -> None:
    writer = aiohttp.MultipartWriter("form-data")
    audio = writer.append(bytes(range(256)), {"content-type": "audio/wav"})
    audio.set_content_disposition("form-data", name="file", filename="model.wav")
    writer.append("whisper-1").set_content_disposition("form-data", name="model")
    body = await writer.as_bytes()
    assert requested_model(BodyKind.FORM, body, writer.content_type.encode()) == "whisper-1"


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (form(("file", "x"))[0], form()[1], "missing_model"),
        (form(("model", "x"))[0][:-9], form()[1], "missing_model"),
        (b"", form()[1], "missing_model"),
        (b"x" + form(("model", "x"))[0], form()[1], "missing_model"),
        (b"x\n" + form(("model", "x"))[0], form()[1], "missing_model"),
        (form(("model", "x"))[0], b"multipart/form-data; boundary=other", "missing_model"),
        (form(("model", "x"))[0], b"application/json", "invalid_content_type"),
        (b"--b0\r\n" * 3_000, form()[1], "missing_model"),
    ],
)
def test_a_form_without_a_model(body: bytes, kind: bytes, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        requested_model(BodyKind.FORM, body, kind)
    assert (refused.value.status, refused.value.code) == (400, code)


def test_a_file_called_model_is_not_the_model() -> None:
    body = b'--b0\r\ncontent-disposition: form-data; name="model"; filename="x"\r\n\r\nevil\r\n--b0--\r\n'
    with pytest.raises(Refusal):
        requested_model(BodyKind.FORM, body, form()[1])


@pytest.mark.parametrize("query", ["model=big", "a=1&Model=big", "mo%64el=big", "model"])
@pytest.mark.parametrize("kind", [BodyKind.JSON, BodyKind.NONE])
def test_the_query_names_no_model(kind: BodyKind, query: str) -> None:
    with pytest.raises(Refusal) as refused:
        requested_model(kind, b'{"model": "small"}', JSON, b'"small"', query)
    assert (refused.value.status, refused.value.code) == (400, "ambiguous_parameter")
    assert requested_model(kind, b'{"model": "small"}', JSON, b'"small"', "api-version=1&x=model") == "small"
