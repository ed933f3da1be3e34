"""Where the model is in a form, and which forms are refused."""

from __future__ import annotations

import pytest

from translator.errors import Refusal
from translator.form import FormBody

TYPE = b"multipart/form-data; boundary=XyZ"


def part(head: bytes, body: bytes) -> bytes:
    return b"--XyZ\r\n" + head + b"\r\n\r\n" + body + b"\r\n"


def field(name: bytes, body: bytes) -> bytes:
    return part(b'Content-Disposition: form-data; name="' + name + b'"', body)


FILE = part(
    b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav',
    b'\r\n--Xy\x00\xff\r\nContent-Disposition: form-data; name="model"\r\n\r\nfake\r\n',
)
END = b"--XyZ--\r\n"


def test_the_model_is_found_behind_a_file_that_looks_like_it() -> None:
    body = FILE + field(b"model", b"whisper-1") + field(b"stream", b"true") + END
    form = FormBody(body, TYPE)
    offset, length = form.model_value()
    assert body[offset : offset + length] == b"whisper-1"
    assert (form.model, form.streams) == ("whisper-1", True)


def test_empty_fields_and_a_quoted_boundary() -> None:
    body = field(b"prompt", b"") + field(b"model", "é".encode()) + END
    form = FormBody(body, b'multipart/form-data; boundary="XyZ"')
    assert (form.model, form.streams) == ("é", False)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (FILE + END, "missing_model"),
        (field(b"model", b"a") + field(b"model", b"b") + END, "duplicate_parameter"),
        (field(b"model", b"") + END, "invalid_form"),
        (field(b"model", b"\xff") + END, "invalid_form"),
        (field(b"model", b"a"), "invalid_form"),  # no end
        (b"preamble\r\n" + field(b"model", b"a") + END, "invalid_form"),
        (field(b"model", b"a") + b"--XyZmore\r\n" + END, "invalid_form"),
        ((field(b"model", b"a") + END).replace(b"\r\n", b"\n"), "invalid_form"),
        (part(b"Content-Type: text/plain", b"a") + END, "invalid_form"),
        (part(b'Content-Disposition: form-data; name="model"; filename="m"', b"a") + END, "invalid_form"),
        (part(b'Content-Disposition: form-data; name="model"; name="x"', b"a") + END, "invalid_form"),
        (part(b'Content-Disposition: form-data; name="mod\\"el"', b"a") + END, "invalid_form"),
        (part(b'Content-Disposition: form-data;\r\n name="model"', b"a") + END, "invalid_form"),
        (part(b"Content-Disposition: form-data; name=x\r\nContent-Disposition: form-data; name=model", b"a") + END,
         "invalid_form"),
        (part(b'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64', b"YQ==") + END,
         "invalid_form"),
        (b"", "invalid_form"),
    ],
)  # fmt: skip
def test_what_two_parsers_might_read_differently_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        FormBody(body, TYPE)
    assert (caught.value.status, caught.value.code) == (400, code)


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"application/json",
        b"multipart/form-data",
        b"multipart/form-data; boundary=a; boundary=XyZ",
        b"multipart/mixed; boundary=XyZ",
    ],
)
def test_other_content_types_are_refused(content_type: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        FormBody(field(b"model", b"a") + END, content_type)
    assert caught.value.code == "invalid_content_type"
