"""Names of members and form fields that the gateway interprets, and names that other parsers may read as one of
them.

Servers match names loosely. Go's encoding/json ignores case by Unicode's simple folding, which maps a long s
(U+017F) to s and the Kelvin sign to k; its second version can ignore `_` and `-` as well. protobuf's JSON accepts
camelCase, and a parser in C may end a name at a NUL. A request that means one thing to the gateway and another to
such a target is refused.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_plus

from translator.errors import Refusal

#: Names that decide about the route, the price, the limits or the record of a request.
INTERPRETED = frozenset(
    {
        *("model", "stream", "stream_options", "include_usage", "user", "service_tier"),
        "safety_identifier",
        *("messages", "input", "prompt", "query", "documents", "n", "best_of"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens"),
        *("previous_response_id", "conversation", "size", "quality", "response_format", "background"),
    }
)
#: Other names of ordinary requests, which need no closer look.
_ORDINARY = frozenset(
    {
        *("temperature", "top_p", "top_k", "stop", "seed", "tools", "tool_choice", "parallel_tool_calls"),
        *("frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "metadata", "store"),
        *("reasoning", "reasoning_effort", "verbosity", "modalities", "audio", "prediction", "instructions"),
        *("text", "truncation", "include", "encoding_format", "dimensions", "voice", "speed"),
        *("top_n", "return_documents", "suffix", "echo", "prompt_cache_key"),
    }
)
#: All names that need no closer look.
FAMILIAR = INTERPRETED | _ORDINARY
_SHOWN = 100
#: More than any client's query has.
_MAX_PARAMETERS, _LONGEST_QUERY = 50, 4_000


def _folded(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


_BY_FOLDED = {_folded(name): name for name in INTERPRETED}
#: Members by which OpenRouter and LiteLLM choose another model than `model` if that one fails, or always.
_BY_FOLDED |= dict.fromkeys(
    map(_folded, ("models", "preset", "fallbacks", "context_window_fallbacks", "content_policy_fallbacks")),
    "model",
)
#: Parameters of a query by which clients authenticate at some servers, such as Gemini's and Azure's.
_CREDENTIALS = frozenset(
    {"key", "apikey", "xapikey", "token", "accesstoken", "authtoken", "subscriptionkey", "authorization"}
)
_SEPARATOR = re.compile("[&;]")
_QUOTES = dict.fromkeys(map(ord, "\"'\ufeff"))


def taken_for(name: str) -> str | None:
    """Returns the interpreted name for which a lenient parser may take `name`; None if there is none, or if `name`
    is interpreted itself.
    """
    if name in INTERPRETED:
        return None
    text = name.partition("\0")[0]
    found = _BY_FOLDED.get(_folded(text))
    if found is None and not text.isascii():
        compatible = unicodedata.normalize("NFKC", text)
        # A dotless i has the upper case of i; a dotted I folds to i and a combining dot.
        for each in (compatible.casefold(), compatible.upper()):
            found = found or _BY_FOLDED.get(_folded(each.replace("\u0307", "")))
    return found


def bare(name: str) -> str:
    """Returns the name of a field as lenient readers see it: PHP and Rack read `model[]`, ` model` and `'model'`
    as `model`, and `.` as `_`; others drop a byte order mark.
    """
    plain = name.translate(_QUOTES).strip()
    return plain.partition("[")[0].replace(".", "_").replace(" ", "_")


def check_query(query: str) -> None:
    """Raises Refusal (400) for a query with a parameter that may be taken for an interpreted name (LiteLLM lets
    `?model=` replace the model that the body names), or with a credential, which no target may get from a client.
    """
    parameters = _SEPARATOR.split(query, maxsplit=_MAX_PARAMETERS)
    if len(parameters) > _MAX_PARAMETERS or len(query) > _LONGEST_QUERY:
        message = f"The query has more than {_MAX_PARAMETERS} parameters or {_LONGEST_QUERY:,} characters."
        raise Refusal(400, "ambiguous_parameter", message)
    for parameter in parameters:
        name = bare(unquote_plus(parameter.partition("=")[0], errors="replace"))
        if _folded(name) in _CREDENTIALS:
            message = (
                f"The query's parameter '{_shown(name)}' is a credential, which is not sent to any target: leave "
                "it out, and send the API key as `Authorization: Bearer`."
            )
            raise Refusal(400, "ambiguous_parameter", message)
        meant = name if name in INTERPRETED else taken_for(name)
        if meant is not None:
            message = (
                f"The query's parameter '{_shown(name)}' is read instead of the body's '{meant}' by some servers: "
                "leave it out."
            )
            raise Refusal(400, "ambiguous_parameter", message, param=meant)


def ambiguous(name: str, meant: str) -> Refusal:
    """Returns a 400 for a member that may be `taken_for` another."""
    message = (
        f"The member '{_shown(name)}' is read as '{meant}' by some servers: write '{meant}', or leave it out."
    )
    return Refusal(400, "ambiguous_parameter", message, param=meant)


def _shown(name: str) -> str:
    return name if len(name) <= _SHOWN else name[:_SHOWN] + "…"


def duplicate(what: str, name: str) -> Refusal:
    """Returns a 400 for an interpreted name that occurs twice: parsers disagree about which one counts."""
    return Refusal(400, "duplicate_parameter", f"{what} '{name}' more than once.", param=name)
