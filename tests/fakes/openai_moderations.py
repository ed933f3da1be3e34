"""The answers of an OpenAI-compatible provider to moderations, in the format of omni-moderation-latest."""

from __future__ import annotations

from tests.fakes.behaviour import Behaviour
from tests.fakes.openai_parts import Answer, Json, RefusedError, json_answer

#: Categories that are judged for text only; the others for images too.
_TEXT = ("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent")
_TEXT_ONLY = frozenset({*_TEXT, "sexual/minors"})
_CATEGORIES = (
    *_TEXT,
    *("self-harm", "self-harm/intent", "self-harm/instructions"),
    *("sexual", "sexual/minors", "violence", "violence/graphic"),
)


def moderations(body: Json, name: str, _behaviour: Behaviour) -> Answer:
    """Returns a result for each text, or one for all parts of an input. Flags text with the word "violence"."""
    given = body.get("input")
    if not given or not isinstance(given, str | list):
        raise RefusedError(400, "'$.input' is invalid.", param="input")
    parts = isinstance(given, list) and isinstance(given[0], dict)
    inputs = [given] if isinstance(given, str) or parts else given
    results = [_result(each) for each in inputs]
    return json_answer({"id": f"modr-{name}", "model": body["model"], "results": results})


def _result(given: object) -> Json:
    parts = given if isinstance(given, list) else [{"type": "text", "text": given}]
    kinds = {"image" if part["type"] == "image_url" else "text" for part in parts}
    flagged = any("violence" in str(part.get("text", "")) for part in parts)
    return {
        "flagged": flagged,
        "categories": {each: flagged and each == "violence" for each in _CATEGORIES},
        "category_scores": {each: 0.9 if flagged and each == "violence" else 0.0001 for each in _CATEGORIES},
        "category_applied_input_types": {
            each: sorted(kinds - {"image"} if each in _TEXT_ONLY else kinds) for each in _CATEGORIES
        },
    }
