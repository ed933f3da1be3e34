from __future__ import annotations

import aiohttp
import pytest

from node_sidecar.serving.endpoints import BodyKind
from node_sidecar.serving.model import requested_model
from node_sidecar.serving.refusal import Refusal

JSON = b"application/json"


def form(*parts: tuple[str, str], boundary: str = "b0", quoted: bool = True) -> tuple[bytes, bytes]:
    """Body and content type."""
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


@pytest.mark.parametrize("quoted", [True, False])
def test_a_form(quoted: bool) -> None:
    body, kind = form(("file", "x--b0 model\r\n\r\n"), ("empty", ""), ("model", "whisper"), quoted=quoted)
    assert requested_model(BodyKind.FORM, body, kind) == "whisper"


async def test_a_form_as_aiohttp_writes_it() -> None:
    writer = aiohttp.MultipartWriter("form-data")
    audio = writer.append(bytes(range(256)), {"content-type": "audio/wav"})  # type: ignore[arg-type]
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
