"""Endpoints of OpenAI and other APIs that clients know and that this gateway does not serve.

A refusal names the endpoint and says what to do instead; docs/endpoints.md has the same list.
"""

from __future__ import annotations

from dataclasses import dataclass

from translator import endpoints
from translator.errors import Refusal

_SHOWN = 200
_DOCS = "docs/endpoints.md lists the served endpoints."


@dataclass(frozen=True, slots=True)
class Unserved:
    """The endpoints at `path` and below it, or only below it if it ends with a slash: their name, and a sentence
    that says what to do `instead`.
    """

    path: str
    name: str
    instead: str

    def has(self, path: str) -> bool:
        """Returns whether the path belongs to this endpoint: it, or one below it."""
        if self.path.endswith("/"):
            return path.startswith(self.path) and path != self.path
        return path == self.path or path.startswith(self.path + "/")


_PROVIDER = "Call the provider itself, with one of its keys."
_AGENTS = "Use POST /v1/responses or POST /v1/chat/completions, and keep the state in the client."
_CONTENT = "Send the content inside the request."
_ADMINISTRATION = "Use this gateway's own: `trunkline --help` lists the commands."
_CHAT = "Use POST /v1/chat/completions."

#: If several apply, the one with the longest path counts.
UNSERVED = (
    Unserved("/v1/agents", "Agents API", _AGENTS),
    Unserved("/v1/assistants", "Assistants API", _AGENTS),
    Unserved("/v1/audio/voice_consents", "custom voices", _PROVIDER),
    Unserved("/v1/audio/voices", "custom voices", _PROVIDER),
    Unserved("/v1/batches", "Batch API", "Send the batch's requests one by one to their own endpoints."),
    Unserved(
        "/v1/chat/completions/",
        "stored chat completions",
        "The gateway stores no answers: keep the answer of POST /v1/chat/completions yourself.",
    ),
    Unserved("/v1/chatkit", "ChatKit API", _AGENTS),
    Unserved("/v1/containers", "Containers API", _PROVIDER),
    Unserved("/v1/content_provenance_checks", "content provenance checks", _PROVIDER),
    Unserved(
        "/v1/conversations", "Conversations API", "Send the conversation so far as `input` of POST /v1/responses."
    ),
    Unserved("/v1/decisions", "Decisions API", _PROVIDER),
    Unserved("/v1/edits", "edits", _CHAT),
    Unserved("/v1/engines", "engines", "Use GET /v1/models, and name the model in the request."),
    Unserved("/v1/evals", "Evals API", _PROVIDER),
    Unserved("/v1/files", "Files API", _CONTENT),
    Unserved("/v1/fine-tunes", "fine-tuning", _PROVIDER),
    Unserved(
        "/v1/fine_tuning",
        "fine-tuning",
        "Tune the model at its provider, and ask the operator to make it a route's target.",
    ),
    Unserved("/v1/live", "Live API", _PROVIDER),
    Unserved("/v1/messages", "Anthropic's Messages API", _CHAT),
    Unserved("/v1/organization", "OpenAI's administration API", _ADMINISTRATION),
    Unserved("/v1/projects", "OpenAI's administration API", _ADMINISTRATION),
    Unserved(
        "/v1/realtime",
        "Realtime API",
        "Use POST /v1/audio/transcriptions, /v1/chat/completions and /v1/audio/speech.",
    ),
    Unserved(
        "/v1/responses/",
        "more about stored responses",
        "Use GET or DELETE /v1/responses/{id}, /v1/responses/{id}/cancel or /v1/responses/{id}/input_items.",
    ),
    Unserved("/v1/responses/compact", "compaction of responses", "Shorten `input` in the client."),
    Unserved("/v1/responses/input_tokens", "counting of tokens", "The answer of POST /v1/responses has `usage`."),
    Unserved("/v1/safety", "Safety API", _PROVIDER),
    Unserved("/v1/skills", "Skills API", _PROVIDER),
    Unserved("/v1/threads", "Assistants API", _AGENTS),
    Unserved("/v1/uploads", "Uploads API", _CONTENT),
    Unserved("/v1/vaults", "Vaults API", _PROVIDER),
    Unserved(
        "/v1/vector_stores", "Vector stores API", "Search in the client, and send the results with the request."
    ),
    Unserved("/v1/videos", "Videos API", _PROVIDER),
    Unserved("/v1/webhook_endpoints", "webhooks", _PROVIDER),
    Unserved("/v1/webhook_event_types", "webhooks", _PROVIDER),
    Unserved("/v1beta", "Gemini's API", _CHAT),
    Unserved("/v2/rerank", "the second version of rerank", "Use POST /v1/rerank."),
    Unserved(
        "/api",
        "Ollama's API",
        "Use POST /v1/chat/completions, /v1/completions or /v1/embeddings, and GET /v1/models.",
    ),
    Unserved(
        "/openai/deployments", "Azure's deployments", "Use /v1 as the base URL, and name the model in the request."
    ),
)


def refusal(method: str, path: bytes) -> Refusal:
    """Returns a 404 for a path that `endpoints.find` does not know: `endpoint_not_served` if clients know it from
    elsewhere, `unknown_url` otherwise.
    """
    text = path.decode("utf-8", "replace")
    request = f"{method} {text[:_SHOWN]}"
    # Longest first: /v1/responses/compact is not a stored response.
    known = max((each for each in UNSERVED if each.has(text)), key=lambda each: len(each.path), default=None)
    if known is not None:
        message = f"{request} ({known.name}) is not served by this gateway. {known.instead} {_DOCS}"
        return Refusal(404, "endpoint_not_served", message)
    meant = _meant(path)
    advice = f"Did you mean {meant}?" if meant else f"The API is below /v1; {_DOCS}"
    return Refusal(404, "unknown_url", f"Unknown request URL: {request}. {advice}")


def _meant(path: bytes) -> str:
    """Returns the endpoint that was probably meant by a URL without /v1, with /v1 twice, or with a slash at the
    end.
    """
    bare = b"/" + path.strip(b"/")
    for candidate in (bare, b"/v1" + bare, bare.removeprefix(b"/v1"), bare.removeprefix(b"/openai")):
        endpoint = endpoints.find(candidate)
        if endpoint is not None:
            return f"{endpoint.method} {endpoint.path}"
    return ""
