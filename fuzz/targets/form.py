"""A form: the part before the first line feed is its content type, the rest its body."""

from __future__ import annotations

from email.message import Message
from email.parser import BytesParser

from node_sidecar.serving.endpoints import BodyKind
from node_sidecar.serving.model import requested_model
from translator.bodies.form import FormBody
from translator.errors import Refusal

UNDER_TEST = ("translator.bodies.form", "node_sidecar.serving.model")
NEW = "vendor/other"


def check(data: bytes) -> bool:
    """Checks that a form is refused, or that the model is or can be at the reported position, the node agrees, and
    half of the form is refused.
    """
    content_type, _, body = data.partition(b"\n")
    try:
        form = FormBody(body, content_type)
    except Refusal as refusal:
        assert refusal.status in {400, 413}
        return False
    if not form.has_model:
        return _takes_a_model(form, body, content_type)
    offset, length = form.model_value()
    assert body[offset : offset + length].decode() == form.model
    spliced = body[:offset] + NEW.encode() + body[offset + length :]
    again = FormBody(spliced, content_type)
    assert (again.model, again.streams) == (NEW, form.streams)
    assert _fields_named_model(body, content_type) == [form.model.encode()]
    if form.model:
        assert requested_model(BodyKind.FORM, body, content_type) == form.model
    try:
        FormBody(body[: offset + length], content_type)
    except Refusal:
        return True
    raise AssertionError("a form that ends in its model was taken")


def _takes_a_model(form: FormBody, body: bytes, content_type: bytes) -> bool:
    """Inserts the model as the module in Envoy does."""
    assert form.model == ""
    assert _fields_named_model(body, content_type) == []
    offset, length = form.opening()
    opening = body[offset : offset + length]
    part = b'%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n%b' % (opening, NEW.encode(), opening)
    spliced = body[:offset] + part + body[offset + length :]
    again = FormBody(spliced, content_type)
    assert (again.model, again.streams, again.files) == (NEW, form.streams, form.files)
    assert _fields_named_model(spliced, content_type) == [NEW.encode()]
    assert requested_model(BodyKind.FORM, spliced, content_type) == NEW
    return True


def _fields_named_model(body: bytes, content_type: bytes) -> list[object]:
    """Finds the parts as a mail reader does, which accepts line feeds as line ends, and any case."""
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.strip() + b"\r\n\r\n" + body)
    parts = message.get_payload()
    if not isinstance(parts, list):  # a form may have no model
        return []
    return [
        part.get_payload(decode=True)
        for part in parts
        if isinstance(part, Message)
        and str(part.get_param("name", header="content-disposition")).lower() == "model"
    ]
