"""Estimates how many tokens a request may use before it is served, which is what is reserved for it.

The estimate deliberately uses no tokeniser; the tokens actually used are settled afterwards. Every byte of a
request counts as text, except for media where the endpoint accepts media. So nothing that a target might read as
text escapes, wherever it stands. Values that no target would accept make the estimate large, never small.
"""

from __future__ import annotations

import math
import re
from binascii import Error as Base64Error, a2b_base64
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec
import orjson

from translator.bodies.form import FormBody

#: The default without other information.
DEFAULT_OUTPUT = 1_024
#: Prompt tokens of a large image in high detail; other media count at least as much.
MEDIUM = 765
BYTES_PER_TOKEN = 4
#: Bytes of text per token, on average over texts and tokenisers.
_MAX_BYTES_PER_TOKEN = 16
#: Bytes of sound and video per token: ten tokens a second of speech at 32 kbit/s.
_BYTES_PER_STREAMED_TOKEN = 400
#: Bytes per token of a document with layout and pictures (PDF).
_BYTES_PER_PAGED_TOKEN = 40
#: The largest estimate.
MAX_TOKENS = 1_000_000_000

#: Bytes up to which a body counts as text without being examined.
_SMALL = 8_192
#: Most messages, parts and prompts that are examined; the rest counts as dense text.
_MAX_VALUES = 10_000
#: Endpoints that generate no tokens.
_NO_OUTPUT = frozenset({"/v1/embeddings", "/v1/moderations", "/v1/rerank", "/v1/audio/speech"})
#: The members that state a maximum for one answer, by the endpoints at which every server honours them.
_MAXIMA = {
    "/v1/chat/completions": frozenset({"max_completion_tokens", "max_tokens"}),
    "/v1/completions": frozenset({"max_tokens"}),
    "/v1/responses": frozenset({"max_output_tokens"}),
}
#: All names that some server treats as a maximum. Outside the endpoints above they can only raise the estimate.
_ANY_MAXIMA = frozenset(
    {
        *("max_completion_tokens", "max_tokens", "max_output_tokens"),
        *("max_new_tokens", "n_predict", "num_predict", "min_tokens"),
    }
)
#: The places of parts with media: a list, and a member of its items.
_PLACES: dict[str, tuple[tuple[str, str | None], ...]] = {
    "/v1/chat/completions": (("messages", "content"),),
    "/v1/responses": (("input", None), ("input", "content"), ("input", "output")),
    "/v1/embeddings": (("input", None), ("messages", "content")),
    "/v1/moderations": (("input", None), ("input", "content"), ("messages", "content")),
}
_CHAT = "/v1/chat/completions"
_content_of, _ONLY_TEXT = itemgetter("content"), {str}
#: Top-level members that contain images.
_IMAGES = {"/v1/images/generations": ("image", "images", "image_url", "mask")}
#: Types of parts, the members that contain their medium, and the kind of medium.
_TYPES = {
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "image_generation_call": "image",
    "computer_screenshot": "image",
    "input_audio": "audio",
    "audio": "audio",
    "audio_url": "audio",
    "video_url": "video",
    "input_video": "video",
    "file": "file",
    "input_file": "file",
}
_HOLDERS = (
    *("image_url", "image", "result", "input_audio", "audio", "audio_url", "video_url", "input_video"),
    *("file", "file_data", "data"),
)
#: Members by which the target adds something to the prompt; the client's own tools do not.
_ADDING = frozenset(
    {
        *("previous_response_id", "conversation", "web_search_options", "search_parameters", "data_sources"),
        *("plugins", "web_search", "enable_search", "connectors", "search_domain_filter", "search_mode"),
    }
)
_OWN_TOOLS = ("function", "custom")
#: Members by which the target shortens a prompt that is too long.
_SHORTENING = frozenset({"truncation", "truncate_prompt_tokens"})
#: Members that may change the estimate of text and media. Most requests have none of them.
_TELLING = _ADDING | _ANY_MAXIMA | _SHORTENING | {"n", "best_of", "prompt", "input", "query", "tools"}
_INNER = ("url", "data", "file_data")
_DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+\-]+)(?:;[a-z0-9\-]+=[^;,\"\s]{0,100})*;base64,", re.IGNORECASE)
_BASE64 = bytes(range(65, 91)) + bytes(range(97, 123)) + b"0123456789+/-_=\r\n"
_STANDARD = str.maketrans("-_", "+/", "=\r\n")
_TEXT = bytes(range(32, 127)) + b"\t\r\n"
_NUMBER = re.compile(r"\s*[+\-]?[0-9]{1,19}(?:\.[0-9]{0,19})?(?:[eE][+\-]?[0-9]{1,2})?\s*")


class Estimate(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An estimate. `prompt` is in tokens.

    A request has `answers`, each of at most `stated` tokens; 0 if it states no maximum. `loose` says that not
    every server treats the stated value as a maximum, so the route's default is the minimum then. `least` is the
    minimum in any case. `outside` says that the prompt may contain more than the request's own bytes.

    `media` are the prompt's tokens for media. A request is `divisible` if it has several prompts, each with a
    context of its own, or if the target shortens its prompt to the context.
    """

    prompt: int
    answers: int
    stated: int = 0
    loose: bool = False
    least: int = 0
    outside: bool = False
    media: int = 0
    divisible: bool = False

    @property
    def certain(self) -> int:
        """The tokens that the prompt has at least, in any tokeniser; those of media are uncertain and left out."""
        return max(0, self.prompt - self.media) * BYTES_PER_TOKEN // _MAX_BYTES_PER_TOKEN

    @property
    def most(self) -> int:
        """The most tokens of all answers by the request's own maximum; 0 if it states none."""
        if self.loose or not self.stated:
            return 0
        return min(max(self.stated, self.least) * self.answers, MAX_TOKENS)

    def output(self, default: int) -> int:
        """Returns the tokens to reserve for all answers. Each answer without a maximum gets `default`, or
        `DEFAULT_OUTPUT` if that is 0.
        """
        # Comparisons, because calls of built-in functions would take three times as long as all the rest.
        stated, least = self.stated, self.least
        if not stated and not least:
            each = default or DEFAULT_OUTPUT
        else:
            each = stated if stated > least else least  # noqa: FURB136
            if not stated or self.loose:
                default = default or DEFAULT_OUTPUT
                each = default if default > each else each  # noqa: FURB136
        total = each * self.answers
        return total if total < MAX_TOKENS else MAX_TOKENS  # noqa: FURB136


NO_TOKENS = Estimate(0, 0)


def of_json(path: str, body: bytes, values: Mapping[str, Any], *, escapes: bool = True) -> Estimate:
    """Estimates a request to the endpoint `path` whose `body` is the JSON object `values`.

    `escapes` says that some characters of the body may be written as `\\uXXXX`.
    """
    text, tokens, elsewhere = _text(body, values) if escapes else len(body), 0, False
    for kind, content in _media(path, values):
        taken, cost = _weighed(kind, content)
        elsewhere = elsewhere or not taken
        text -= taken
        tokens += cost
    media = tokens
    if _TELLING.isdisjoint(values):
        # The hot path: nothing below applies.
        answers = 0 if path in _NO_OUTPUT else 1
        if not media:
            return Estimate(_prompt(text, 0), answers)
        return Estimate(_prompt(text, tokens), answers, outside=elsewhere, media=media)
    for name in ("prompt", "input"):
        value = values.get(name)
        if type(value) is list:
            taken, cost = _tokens(value)
            text -= taken
            tokens += cost
    if path == "/v1/rerank":
        tokens += _repeated_query(values)
    stated, loose, least = _stated(path, values)
    outside = elsewhere or _outside(values)
    divisible = path == "/v1/rerank" or _divisible(values)
    return Estimate(_prompt(text, tokens), _answers(path, values), stated, loose, least, outside, media, divisible)


def of_form(path: str, form: FormBody) -> Estimate:
    """Estimates a form: files that the endpoint accepts are media, everything else is text."""
    sound = path.startswith("/v1/audio/")
    holders = {"file"} if sound else {"image", "image[]", "mask"}
    sizes = [size for name, size in form.files if name in holders]
    media = sum(_medium("audio" if sound else "image", size) for size in sizes)
    text = form.size - sum(sizes)
    prompt = _prompt(text, media)
    answers = max(1, _number(form.field("n")))
    # Speech has fewer tokens as text than as sound.
    return Estimate(prompt, answers, least=media // 2 if sound else 0, media=media, divisible=True)


def _text(body: bytes, values: Mapping[str, Any]) -> int:
    """Returns the bytes of the body with its text unescaped: clients that write ASCII only need six bytes for a
    character of two or three.
    """
    size = len(body)
    escapes = body.count(b"\\u") if size >= _SMALL else 0
    if not escapes:
        return size
    # A member that a later one of the same name replaced is in the body but not in `values`; it counts as well.
    return max(len(orjson.dumps(values)), size - 5 * escapes)


def _prompt(text: int, tokens: int) -> int:
    """Returns the tokens of a number of bytes of text, plus `tokens` for everything that is not text."""
    tokens += text // BYTES_PER_TOKEN
    return tokens if 0 < tokens < MAX_TOKENS else max(1, min(tokens, MAX_TOKENS))


def _outside(values: Mapping[str, Any]) -> bool:
    """Returns whether the target adds something to the prompt that is not in the request."""
    if not _ADDING.isdisjoint(values):
        return True
    tools = values.get("tools")
    if type(tools) is list:
        return any(type(each) is dict and each.get("type") not in _OWN_TOOLS for each in tools[:_MAX_VALUES])
    return type(values.get("prompt")) is dict


def _divisible(values: Mapping[str, Any]) -> bool:
    """Returns whether no single context has to contain the whole prompt."""
    if not _SHORTENING.isdisjoint(values):
        return (
            values.get("truncation") not in {None, "disabled"} or values.get("truncate_prompt_tokens") is not None
        )
    lists = (value for name in ("prompt", "input") if type(value := values.get(name)) is list)
    return any(len(prompts) > 1 and not {str, list}.isdisjoint(map(type, prompts)) for prompts in lists)


def _tokens(prompts: list[Any]) -> tuple[int, int]:
    """Returns the bytes and the number of tokens that `prompts` gives as token numbers.

    Lists that no target understands count as if every second byte were a token: they cannot be written more
    densely.
    """
    kinds = set(map(type, prompts))
    if kinds == {int}:
        return len(orjson.dumps(prompts)), len(prompts)
    if list not in kinds and int not in kinds:
        return 0, 0
    taken = tokens = 0
    for each in prompts[:_MAX_VALUES]:
        if type(each) is list and set(map(type, each)) == {int}:
            taken += len(orjson.dumps(each))
            tokens += len(each)
    if kinds != {list} or len(prompts) > _MAX_VALUES or any(set(map(type, each)) - {int} for each in prompts):
        whole = len(orjson.dumps(prompts))
        return whole, whole // 2
    return taken, tokens


def _repeated_query(values: Mapping[str, Any]) -> int:
    """Returns the bytes of the query's repetitions: a reranker reads the query again with every document."""
    query, documents = values.get("query"), values.get("documents")
    if type(query) is not str or type(documents) is not list:
        return 0
    return len(query.encode()) * max(0, len(documents) - 1) // BYTES_PER_TOKEN


def _media(path: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the kind and the content or address of everything in a place where media may occur."""
    found: list[tuple[str, str]] = []
    if path == _CHAT and _is_text(values.get("messages")):
        return found
    for member in _IMAGES.get(path, ()):
        value = values.get(member)
        for each in value[:_MAX_VALUES] if type(value) is list else (value,):
            found += [("image", content) for content in _contents(each, (*_INNER, "image_url"))]
    for part in _parts(path, values):
        said = part.get("type")
        kind = _TYPES.get(said) if type(said) is str else None
        if kind is not None:
            contents = [content for name in _HOLDERS for content in _contents(part.get(name), _INNER)]
            found += [(kind, content) for content in contents or ("",)]
    return found


def _is_text(messages: object) -> bool:
    """Returns whether the content of every message is text; in one pass, because conversations are long."""
    try:
        return set(map(type, map(_content_of, messages))) == _ONLY_TEXT  # type: ignore[call-overload]
    except (KeyError, TypeError):
        return False  # some have no content, or are no objects


def _contents(value: object, names: Sequence[str]) -> list[str]:
    """Returns the value itself if it is text, or its members of these names that are text."""
    if type(value) is str:
        return [value]
    return [value[name] for name in names if type(value.get(name)) is str] if type(value) is dict else []


def _parts(path: str, values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns the parts of the request's messages that are objects."""
    found: list[Mapping[str, Any]] = []
    for outer, inner in _PLACES.get(path, ()):
        items = values.get(outer)
        if type(items) is not list:
            continue
        for item in items[:_MAX_VALUES]:
            if type(item) is not dict:
                continue
            value = item if inner is None else item.get(inner)
            if type(value) is str:
                continue
            if type(value) is dict:
                found.append(value)
            elif type(value) is list:
                found += [part for part in value[:_MAX_VALUES] if type(part) is dict]
            if len(found) > _MAX_VALUES:
                return found[:_MAX_VALUES]
    return found


def _weighed(kind: str, content: str) -> tuple[int, int]:
    """Returns how many bytes of `content` are not text, and the tokens that they count as.

    Media at an address, and text that is declared to be media, count both as text and as media.
    """
    url = _DATA_URL.match(content)
    encoded = content[url.end() :] if url is not None else content
    if not encoded.isascii() or encoded.encode().translate(None, _BASE64) or _reads_as_text(encoded):
        return 0, MEDIUM
    said = url[1].lower() if url is not None else ""
    size = len(encoded) * 3 // 4
    if kind in {"audio", "video"} or said.startswith(("audio/", "video/")):
        return len(content), _medium("audio", size)
    if said.startswith("image/") or (kind == "image" and not said):
        return len(content), MEDIUM
    if encoded.startswith("JVBERi"):  # %PDF
        return len(content), max(MEDIUM, size // _BYTES_PER_PAGED_TOKEN)
    return 0, MEDIUM


def _reads_as_text(encoded: str) -> bool:
    """Returns whether the decoded content begins with printable ASCII only; no common media format except PDF
    does.
    """
    try:
        head = encoded[:256].translate(_STANDARD)
        begin = a2b_base64(head[: len(head) // 4 * 4])
    except Base64Error:
        return True  # no target could decode it
    return not begin.translate(None, _TEXT) and not begin.startswith(b"%PDF")


def _medium(kind: str, size: int) -> int:
    """Returns the tokens of a medium of `size` bytes."""
    return max(MEDIUM, size // _BYTES_PER_STREAMED_TOKEN) if kind == "audio" else MEDIUM


def _answers(path: str, values: Mapping[str, Any]) -> int:
    if path in _NO_OUTPUT:
        return 0
    answers = 1
    if "n" in values or "best_of" in values:
        answers = max(1, _number(values.get("n")), _number(values.get("best_of")))
    prompts = values.get("prompt")
    if type(prompts) is list and prompts and set(map(type, prompts)) != {int}:
        answers *= len(prompts)  # completions: each prompt has its answers
    return min(answers, MAX_TOKENS)


def _stated(path: str, values: Mapping[str, Any]) -> tuple[int, bool, int]:
    """Returns `stated`, `loose` and `least` of an Estimate."""
    honoured = _MAXIMA.get(path, ())
    stated = least = 0
    loose = False
    for name in _ANY_MAXIMA.intersection(values):
        value = values[name]
        if value is None:
            continue
        number = _number(value)
        if not number:
            loose = True  # some servers read -1 and 0 as no maximum
        elif name in honoured:
            stated = max(stated, number)
        else:
            least = max(least, number)
    return stated, loose, least


def _number(value: object) -> int:
    """Reads a number as leniently as a target might, rounded up; returns 0 for anything but a positive number."""
    if type(value) is str and _NUMBER.fullmatch(value):
        value = float(value)
    if type(value) is not int and type(value) is not float:
        return 0
    return math.ceil(min(value, MAX_TOKENS)) if value > 0 else 0
