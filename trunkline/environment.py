"""The providers that `trunkline up` finds automatically: by a key in the environment, or on a local port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """A provider that is used if `key_variable` is set; a local server has no key and is used if it answers.

    `base_url_variable` names the variable that overrides the base URL, as the vendor's own SDK does.
    """

    name: str
    base_url: str
    key_variable: str = ""
    base_url_variable: str = ""


KNOWN_PROVIDERS = (
    KnownProvider("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    KnownProvider("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    KnownProvider("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    KnownProvider("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    KnownProvider("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    KnownProvider("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    KnownProvider("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    KnownProvider("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    KnownProvider("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
    KnownProvider("ollama", "http://127.0.0.1:11434/v1"),
    KnownProvider("vllm", "http://127.0.0.1:8000/v1"),
)


@dataclass(frozen=True, slots=True)
class ProviderCandidate:
    """A provider to query for its models. A `local` one that does not answer is not reported."""

    name: str
    base_url: str
    key_variable: str

    @property
    def local(self) -> bool:
        """True for a server on this machine, which needs no key."""
        return not self.key_variable


def candidates(
    environment: Mapping[str, str], known: tuple[KnownProvider, ...] = KNOWN_PROVIDERS
) -> tuple[ProviderCandidate, ...]:
    """Returns the known providers whose key is set, and the local ones. An empty variable counts as unset."""
    return tuple(
        ProviderCandidate(
            each.name,
            (environment.get(each.base_url_variable) or each.base_url).rstrip("/"),
            each.key_variable,
        )
        for each in known
        if not each.key_variable or environment.get(each.key_variable)
    )
