"""The position of the model in a form, and the forms that are refused."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from translator.bodies.form import FormBody
from translator.errors import Refusal

TYPE = b"multipart/form-data; boundary=XyZ"


def part(head: bytes, body: bytes) -> bytes:
    return b"--XyZ\r\n" + head + b"\r\n\r\n" + body + b"\r\n"


def named(name: bytes, rest: bytes = b"") -> bytes:
    return b"Content-Disposition: form-data; name=" + name + rest


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


FORMS = sorted((Path(__file__).parent / "forms").iterdir())


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_what_common_clients_send(path: Path) -> None:
    """The files hold clients' own bytes: the content-type, a line feed, the body."""
    content_type, _, body = path.read_bytes().partition(b"\n")
    form = FormBody(body, content_type)
    assert form.model == "речь-1"
    offset, length = form.model_value()
    assert body[offset : offset + length].decode() == "речь-1"
    assert sum(name in {"file", "image[]"} for name, _ in form.files) == (2 if "images" in path.stem else 1)


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data;boundary=XyZ",
        b"Multipart/Form-Data; Boundary=XyZ",
        b"multipart/form-data; charset=utf-8; boundary=XyZ",
        b'multipart/form-data; boundary="XyZ"; charset=UTF-8',
        b"multipart/form-data; boundary=XyZ;",
        b"multipart/form-data ; boundary=XyZ ; ",
        b'multipart/form-data; type="a;b"; boundary=XyZ',
    ],
)
def test_parameters_of_the_content_type(content_type: bytes) -> None:
    assert FormBody(field(b"model", b"a") + END, content_type).model == "a"


@pytest.mark.parametrize("name", [b"=_a:b=", b"a b", b"(a)/b?", b"-" * 70])
def test_every_boundary_of_rfc_2046(name: bytes) -> None:
    body = (field(b"model", b"a") + END).replace(b"XyZ", name)
    assert FormBody(body, b'multipart/form-data; boundary="' + name + b'"').model == "a"


@pytest.mark.parametrize(
    "body",
    [
        b"This is a preamble.\r\n" + field(b"model", b"a") + END,
        b"\r\n" + field(b"model", b"a") + END,
        field(b"model", b"a") + b"--XyZ--",
        field(b"model", b"a") + b"--XyZ-- \t\r\nThis is an epilogue.\n",
        (field(b"x", b"") + field(b"model", b"a")).replace(b"--XyZ\r", b"--XyZ \t\r") + END,
        part(b"content-disposition:form-data;name=model;", b"a") + END,
        part(b'Content-Disposition: form-data; name="model"\r\nContent-Type: text/plain; charset=ISO-8859-1', b"a")
        + END,
        field(b"model", b"a") + part(b'Content-Disposition: form-data; filename="a.wav"; name="file"', b"") + END,
        field(b"model", b"a") + part(b"Content-Disposition: form-data; name*=utf-8''%D0%B0", b"") + END,
    ],
)
def test_what_rfc_2046_allows(body: bytes) -> None:
    assert FormBody(body, TYPE).model == "a"


@pytest.mark.parametrize("model", ["речь-1", "D:\\models\\w", 'a "b" %22', "x\\u0041"])
def test_a_models_name_stands_as_it_is(model: str) -> None:
    assert FormBody(field(b"model", model.encode()) + END, TYPE).model == model


def lenient(body: bytes) -> list[bytes]:
    """Returns the models found by a reader that splits at every boundary and at every semicolon."""
    models = []
    for piece in body.split(b"--XyZ")[1:]:
        head, _, content = re.sub(rb"^[ \t]*\r?\n", b"", piece).replace(b"\r\n", b"\n").partition(b"\n\n")
        for line in head.split(b"\n"):
            names = [each.partition(b"=") for each in line.partition(b":")[2].split(b";")]
            models += [
                content.removesuffix(b"\n")
                for name, _, value in names
                if name.strip().lower() == b"name" and value.strip().strip(b'"').lower() == b"model"
            ]
    return models


PIECES = st.lists(
    st.sampled_from(
        [
            b"--XyZ",
            b"--",
            b"XyZ",
            b"\r\n",
            b"\n",
            b"\r",
            b'"',
            b";",
            b" ",
            b"\\",
            b"a",
            b"model",
            b"name=",
            b"filename=",
            b"Content-Disposition: form-data; name=",
            b'"model"',
            b"; filename=",
            b'"x"',
            b"\r\n\r\n",
            b"--XyZ\r\n",
        ]
    ),
    max_size=12,
).map(b"".join)


@given(PIECES, PIECES, PIECES)
def test_a_lenient_reader_finds_the_same_model(first: bytes, second: bytes, third: bytes) -> None:
    disposition = b'Content-Disposition: form-data; name="x' + second + b'"'
    body = first + field(b"model", b"a") + part(disposition, third) + END
    try:
        form = FormBody(body, TYPE)
    except Refusal:
        return
    assert lenient(body) == ([form.model.encode()] if form.has_model else [])


@given(st.binary(max_size=40) | PIECES)
def test_anything_else_is_a_refusal(body: bytes) -> None:
    with suppress(Refusal):
        FormBody(body, TYPE)
    with suppress(Refusal):
        FormBody(field(b"model", b"a") + END, body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (field(b"model", b"a") + field(b"model", b"b") + END, "duplicate_parameter"),
        (field(b"model", b"") + field(b"model", b"a") + END, "duplicate_parameter"),
        (field(b"model", b"\xff") + END, "invalid_form"),
        (field(b"model", b"a"), "invalid_form"),  # no end
        (b"preamble\n" + field(b"model", b"a") + END, "invalid_form"),
        (b"preamble --XyZ\r\n" + field(b"model", b"a") + END, "invalid_form"),
        (field(b"model", b"a") + END + b"epilogue\r\n--XyZ", "invalid_form"),
        (field(b"model", b"a") + b"--XyZ--more\r\n", "invalid_form"),
        # Some readers accept a boundary anywhere.
        (field(b"model", b"a") + field(b"x", b"b--XyZ\r\n" + named(b"model") + b"\r\n\r\nc") + END,
         "invalid_form"),
        (field(b"model", b"a") + field(b"x", b"b\n--XyZ\n" + named(b"model") + b"\n\nc\n") + END,
         "invalid_form"),
        (field(b"model", b"a--XyZ") + END, "invalid_form"),
        (field(b"model", b"a") + part(named(b'"x--XyZ"'), b"") + END, "invalid_form"),
        # Others do not accept a boundary directly after the part's headers.
        (b"--XyZ\r\n" + named(b"x") + b"\r\n\r\n" + field(b"model", b"a") + END, "invalid_form"),
        # Some split at every semicolon, some look for the first or the last `name=`.
        (part(named(b"file", b'; filename="a; name=model; b"'), b"a") + END, "invalid_form"),
        (part(b'Content-Disposition: form-data; filename="model"; name="x"', b"a") + END, "invalid_form"),
        (part(b'Content-Type: x/y; name="model"\r\nContent-Disposition: form-data; name="x"', b"a") + END,
         "invalid_form"),
        (part(b"Content-Disposition: form-data; name=\"x\"; name*=utf-8''model", b"a") + END, "invalid_form"),
        (part(b"Content-Disposition: form-data; name*=utf-8''mod%65l", b"a") + END, "invalid_form"),
        (part(b"Content-Disposition: form-data; name*0=mod; name*1=el", b"a") + END, "invalid_form"),
        (part(b'Content-Disposition: form-data; name="mod%65l"', b"a") + END, "invalid_form"),
        (part(b'Content-Disposition: form-data; name="Model"', b"a") + END, "invalid_form"),
        (part('Content-Disposition: form-data; name="\u017ftream"'.encode(), b"1") + field(b"model", b"a") + END,
         "invalid_form"),
        (field(b"model", b"a") + field(b"model[]", b"b") + END, "invalid_form"),
        (field(b"model", b"a") + field(b"models", b"b") + END, "invalid_form"),
        (field(b"model", b"a") + part(named(b"'model'"), b"b") + END, "invalid_form"),
        (part(named(b"model", b'; filenameY="a"'), b"a") + END, "invalid_form"),
        (part(named(b"model", b'; x="FileName"'), b"a") + END, "invalid_form"),
        (field(b"model", b"a") + field(b"\xef\xbb\xbfmodel", b"b") + END, "invalid_form"),
        (field(b"model", b"a") + field(b"=?utf-8?Q?model?=", b"b") + END, "invalid_form"),
        (field(b"model", b"a") + field(b"=?UTF-8?b?bW9kZWw=?=", b"b") + END, "invalid_form"),
        (field(b"model", b"a") + field(b"=?utf-8?Q?mod?= =?utf-8?Q?el?=", b"b") + END, "invalid_form"),
        (field(b"model", b"a") + field(b"=?none?Q?model?=", b"b") + END, "invalid_form"),
        (field(b"model", b"a") + field(b"fallbacks[0]", b"b") + END, "invalid_form"),
        (field(b"model", b"a") + field(b" model", b"b") + END, "invalid_form"),
        (field(b"model", b"a") + field(b"_charset_", b"utf-16") + END, "invalid_form"),
        (field(b"model", b"a") + field(b"n", b"1") + field(b"n", b"9") + END, "duplicate_parameter"),
        (field(b"model", b"a") + field(b"stream", b"yes") + END, "invalid_type"),
        (part(named(b"model", b"\r\nContent-Type: text/plain; charset=utf-16"), b"a") + END,
         "invalid_form"),
        (part(b'Content-Disposition: form-data; name="model"\nX: y', b"a") + END, "invalid_form"),
        (part(b'Content-Disposition : form-data; name="model"', b"a") + END, "invalid_form"),
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
        b"multipart/form-data; boundary=XyZ, multipart/form-data; boundary=a",
        b"multipart/form-data; boundary*=utf-8''XyZ",
        b"multipart/form-data; boundary*0=Xy; boundary*1=Z",
        b"multipart/form-data; boundary=XyZ; charset=utf-16",
        b'multipart/form-data; boundary="Xy\\Z"',
        b'multipart/form-data; boundary="XyZ "',
        b'multipart/form-data; boundary=""',
        b"multipart/form-data; boundary=XyZ foo",
        b"multipart/form-data; boundary=XyZ" + b";" * 1_000,
    ],
)
def test_other_content_types_are_refused(content_type: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        FormBody(field(b"model", b"a") + END, content_type)
    assert caught.value.code == "invalid_content_type"
