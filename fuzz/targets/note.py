"""What Envoy's log carries for us: what is read of it is written again as it was."""

from __future__ import annotations

from urllib.parse import quote

from translator import note

UNDER_TEST = ("translator.note",)


def check(data: bytes) -> bool:
    """No note, or one that a second writing and reading leaves as it is."""
    held = note.read(data.decode("utf-8", "replace").replace("\0", ""))  # which the log's reader does too
    if held is None:
        return False
    again = note.read(note.written(held, quote(held.model, safe="")))
    assert again is not None
    assert note.written(again, "") == note.written(held, "")
    return True
