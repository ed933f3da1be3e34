"""The billed units of a request other than text: images, speech, transcriptions, reranks.

It travels with the reservation as one word, because answers do not say everything: the bytes of an image do not
give its size, nor those of a sound how many characters were spoken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from translator.bodies import audio
from translator.bodies.form import FormBody

IMAGES, SPEECH, TRANSCRIPTION, RERANK = "i", "s", "t", "r"
#: Marks a sound whose length was only guessed from its bytes.
ABOUT = "about"
#: The kinds, by the paths of the endpoints.
KINDS = {
    "/v1/images/generations": IMAGES,
    "/v1/images/edits": IMAGES,
    "/v1/images/variations": IMAGES,
    "/v1/audio/speech": SPEECH,
    "/v1/audio/transcriptions": TRANSCRIPTION,
    "/v1/audio/translations": TRANSCRIPTION,
    "/v1/rerank": RERANK,
}
_KNOWN = frozenset(KINDS.values())
#: Names that are compared with those of prices, and stand between the colons of the word.
_NAME = re.compile(r"[0-9A-Za-z._+\-]{1,32}")
_MAX_IMAGES = 1_000
#: The documents of one search unit of a rerank.
DOCUMENTS_PER_SEARCH = 100


class RequestedUnits(msgspec.Struct, frozen=True, gc=False):
    """The requested units. `count` is the number of images, the characters of speech, the milliseconds of sound to
    transcribe, or the documents to rank.

    `size` and `quality` belong to images; for speech, `size` is the format. Both are empty if the request leaves
    them open. `size` is `ABOUT` for a sound of uncertain length.
    """

    kind: str
    count: int
    size: str = ""
    quality: str = ""


def of_json(path: str, values: Mapping[str, Any], answers: int) -> str:
    """Returns the word for a request to the endpoint `path`, one of `KINDS`, whose body is the JSON object
    `values`.
    """
    kind = KINDS[path]
    if kind == SPEECH:
        spoken = values.get("input")
        # Some servers also speak lists and objects; all of their text counts.
        length = len(spoken) if type(spoken) is str else len(orjson.dumps(spoken)) if spoken else 0
        return f"{kind}{length}:{_name(values.get('response_format'))}"
    if kind == RERANK:
        documents = values.get("documents")
        return f"{kind}{len(documents) if type(documents) is list else 1}"
    return f"{kind}{min(answers, _MAX_IMAGES)}:{_name(values.get('size'))}:{_name(values.get('quality'))}"


def of_form(path: str, form: FormBody, answers: int) -> str:
    """Returns the word for a form, as `of_json` does."""
    kind = KINDS[path]
    if kind == TRANSCRIPTION:
        length, exact = audio.milliseconds(form.file("file"))
        return f"{kind}{length}:{'' if exact else ABOUT}"
    return f"{kind}{min(answers, _MAX_IMAGES)}:{_name(form.field('size'))}:{_name(form.field('quality'))}"


def read(word: str) -> RequestedUnits | None:
    """Reads a word; returns None for anything else."""
    count, _, names = word[1:].partition(":")
    size, _, quality = names.partition(":")
    if word[:1] not in _KNOWN or not count.isdecimal():
        return None
    return RequestedUnits(word[0], int(count), size, quality)


def _name(value: object) -> str:
    return value.lower() if type(value) is str and _NAME.fullmatch(value) else ""
