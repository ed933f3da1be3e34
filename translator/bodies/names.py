"""Names of members and form fields that the gateway interprets, and names that other parsers may read as one of
them.

Servers match names loosely. Go's encoding/json ignores case by Unicode's simple folding, which maps a long s
(U+017F) to s and the Kelvin sign to k; its second version can ignore `_` and `-` as well. protobuf's JSON accepts
camelCase, and a parser in C may end a name at a NUL. A request that means one thing to the gateway and another to
such a target is refused.
"""

from __future__ import annotations

import unicodedata

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


def _folded(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


_BY_FOLDED = {_folded(name): name for name in INTERPRETED}


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


def ambiguous(name: str, meant: str) -> Refusal:
    """Returns a 400 for a member that may be `taken_for` another."""
    shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
    message = f"The member '{shown}' is read as '{meant}' by some servers: write '{meant}', or leave it out."
    return Refusal(400, "ambiguous_parameter", message, param=meant)


def duplicate(what: str, name: str) -> Refusal:
    """Returns a 400 for an interpreted name that occurs twice: parsers disagree about which one counts."""
    return Refusal(400, "duplicate_parameter", f"{what} '{name}' more than once.", param=name)
