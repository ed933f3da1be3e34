"""Reads a multipart/form-data body, and finds the field that names the model."""

from __future__ import annotations

from translator.bodies import multipart
from translator.bodies.multipart import FormPart, malformed
from translator.bodies.names import INTERPRETED, bare, duplicate, taken_for
from translator.errors import Refusal

_TRUE, _FALSE = frozenset({b"true", b"1"}), frozenset({b"false", b"0", b""})
#: Charsets that clients state for text that is ASCII.
_SUPERSETS_OF_ASCII = frozenset({"iso-8859-1", "latin1", "iso-8859-15", "windows-1252"})
#: Most bytes that are read of a field with a number or a name.
_LONGEST_FIELD = 1_000


class FormBody:
    """A form with at most one field `model`. Any other form raises Refusal (400).

    `model` is empty if the field is missing or empty. `files` are the sizes in bytes of the form's files, by field
    name and in order. `size` is that of the whole body.
    """

    __slots__ = ("_body", "_boundary", "_fields", "_files", "files", "model", "size", "streams")

    def __init__(self, body: bytes, content_type: bytes) -> None:
        self._body = body
        self._boundary = multipart.boundary(content_type)
        self.size = len(body)
        self._fields: dict[str, FormPart] = {}
        self._files: dict[str, FormPart] = {}
        self.files: list[tuple[str, int]] = []
        for part in multipart.parts(body, self._boundary):
            self._take(part)
        model = self._fields.get("model")
        try:
            self.model = body[model.start : model.end].decode() if model is not None else ""
        except UnicodeDecodeError:
            raise malformed("the field 'model' is not UTF-8") from None
        streamed = (self.field("stream") or "").encode().lower()
        # Servers disagree about what else means true, and streams are billed differently.
        if streamed not in _TRUE | _FALSE:
            raise Refusal(400, "invalid_type", "The form's 'stream' must be true or false.", param="stream")
        self.streams = streamed in _TRUE

    def _take(self, part: FormPart) -> None:
        for spelling in part.spellings:
            name = bare(spelling)
            meant = name if name in INTERPRETED else taken_for(name)
            if name == "_charset_":
                raise malformed("the field '_charset_' would change how others are read")
            if meant is None:
                continue
            if spelling != part.name or spelling != meant or len(part.spellings) > 1:
                raise malformed(f"a field other than '{meant}' is read as '{meant}' by some servers")
            if part.file or part.encoded or not self._is_utf8(part):
                raise malformed(f"the field '{meant}' must be plain text in UTF-8, not a file")
            if meant in self._fields:
                raise duplicate("The form has the field", meant)
            self._fields[meant] = part
        if part.file:
            self._files.setdefault(part.name, part)
            self.files.append((part.name, part.end - part.start))

    def _is_utf8(self, part: FormPart) -> bool:
        """Returns whether the content is the same text in UTF-8 as in the charset that it states."""
        if not part.charset:
            return True
        return part.charset in _SUPERSETS_OF_ASCII and self._body[part.start : part.end].isascii()

    @property
    def has_model(self) -> bool:
        """Returns whether the field exists, even if it is empty."""
        return "model" in self._fields

    def model_value(self) -> tuple[int, int]:
        """Returns offset and length in bytes of the field's text."""
        model = self._fields["model"]
        return model.start, model.end - model.start

    def opening(self) -> tuple[int, int]:
        """Returns offset and length in bytes of the first boundary, before which a missing field can be
        inserted.
        """
        delimiter = b"--" + self._boundary
        return self._body.index(delimiter), len(delimiter)

    def field(self, name: str) -> str | None:
        """Returns the text of an interpreted field without surrounding blanks; at most its first 1,000 bytes."""
        part = self._fields.get(name)
        if part is None:
            return None
        return (
            self._body[part.start : min(part.end, part.start + _LONGEST_FIELD)].decode("utf-8", "replace").strip()
        )

    def file(self, name: str) -> bytes:
        """Returns the content of the first file of this name; empty if there is none."""
        part = self._files.get(name)
        return self._body[part.start : part.end] if part is not None else b""
