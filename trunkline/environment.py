"""The providers that `trunkline up` finds by itself: by a key in the environment, or on a local port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """A provider that is used when `key_variable` is set; a local server, which has none, when it answers.

    `base_url_variable` names the variable that moves it elsewhere, as the vendor's own SDK reads it.
    """

    name: str
    base_url: str
    key_variable: str = ""
    base_url_variable: str = ""


KNOWN = (
    Known("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    Known("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    Known("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    Known("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    Known("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    Known("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    Known("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    Known("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    Known("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
    Known("ollama", "http://127.0.0.1:11434/v1"),
    Known("vllm", "http://127.0.0.1:8000/v1"),
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider worth asking for its models. `local` ones that do not answer are not worth a word."""

    name: str
    base_url: str
    key_variable: str

    @property
    def local(self) -> bool:
        return not self.key_variable


def candidates(environment: Mapping[str, str], known: tuple[Known, ...] = KNOWN) -> tuple[Candidate, ...]:
    """The known providers whose key is set, and the local ones; an empty variable counts as not set."""
    return tuple(
        Candidate(
            each.name,
            (environment.get(each.base_url_variable) or each.base_url).rstrip("/"),
            each.key_variable,
        )
        for each in known
        if not each.key_variable or environment.get(each.key_variable)
    )
