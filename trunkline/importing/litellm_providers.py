"""Maps LiteLLM's provider prefixes to providers, and to the base URLs of their OpenAI dialect."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from trunkline.environment import KNOWN_PROVIDERS


@dataclass(frozen=True, slots=True)
class ProviderPrefix:
    """The provider of a prefix. `base_url` is empty if `api_base` must name it.

    `variable` is where LiteLLM looks for the key if the file has none. `caveat` says what differs here.
    """

    name: str
    base_url: str = ""
    variable: str = ""
    caveat: str = ""


_COMPATIBLE = "through its OpenAI-compatible endpoint, which does not offer everything that its own API does"
_AZURE = "through Azure's v1 API, which takes the deployment's name as the model and no api-version"

_KNOWN = {each.name: ProviderPrefix(each.name, each.base_url, each.key_variable) for each in KNOWN_PROVIDERS}

PROVIDER_PREFIXES: dict[str, ProviderPrefix] = {
    **_KNOWN,
    "text-completion-openai": _KNOWN["openai"],
    "custom_openai": ProviderPrefix("custom"),
    "openai_like": ProviderPrefix("custom"),
    "litellm_proxy": ProviderPrefix("litellm", variable="LITELLM_PROXY_API_KEY"),
    "anthropic": ProviderPrefix("anthropic", _KNOWN["anthropic"].base_url, "ANTHROPIC_API_KEY", _COMPATIBLE),
    "gemini": ProviderPrefix("gemini", _KNOWN["gemini"].base_url, "GEMINI_API_KEY", _COMPATIBLE),
    "azure": ProviderPrefix("azure", "", "AZURE_API_KEY", _AZURE),
    "azure_ai": ProviderPrefix("azure-ai", "", "AZURE_AI_API_KEY", _AZURE),
    "together_ai": _KNOWN["together"],
    "ollama": _KNOWN["ollama"],
    "ollama_chat": _KNOWN["ollama"],
    "hosted_vllm": _KNOWN["vllm"],
    "vllm": _KNOWN["vllm"],
    "lm_studio": ProviderPrefix("lm-studio", "http://127.0.0.1:1234/v1"),
    "llamafile": ProviderPrefix("llamafile", "http://127.0.0.1:8080/v1"),
    "xinference": ProviderPrefix("xinference", "http://127.0.0.1:9997/v1"),
    "fireworks_ai": ProviderPrefix("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY"),
    "perplexity": ProviderPrefix("perplexity", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "deepinfra": ProviderPrefix("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "cerebras": ProviderPrefix("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "sambanova": ProviderPrefix("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "nvidia_nim": ProviderPrefix("nvidia-nim", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "moonshot": ProviderPrefix("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "dashscope": ProviderPrefix(
        "dashscope", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"
    ),
    "novita": ProviderPrefix("novita", "https://api.novita.ai/v3/openai", "NOVITA_API_KEY"),
    "nebius": ProviderPrefix("nebius", "https://api.studio.nebius.com/v1", "NEBIUS_API_KEY"),
    "hyperbolic": ProviderPrefix("hyperbolic", "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY"),
    "cohere": ProviderPrefix("cohere", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY", _COMPATIBLE),
    "cohere_chat": ProviderPrefix(
        "cohere", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY", _COMPATIBLE
    ),
}

#: Providers without any endpoint in OpenAI's dialect.
WITHOUT_OPENAI = frozenset(
    (
        *("bedrock", "bedrock_converse", "vertex_ai", "vertex_ai_beta", "sagemaker", "sagemaker_chat", "watsonx"),
        *("palm", "replicate", "huggingface", "oci", "snowflake", "predibase", "petals", "triton", "clarifai"),
    )
)


def split_model(model: str) -> tuple[str, str]:
    """Splits a `litellm_params.model` into its prefix, OpenAI's if there is none, and the model's name."""
    prefix, slash, name = model.partition("/")
    if slash and (prefix in PROVIDER_PREFIXES or prefix in WITHOUT_OPENAI):
        # LiteLLM's prefix for the kind of API is not part of the name.
        for word in ("responses/", "converse/", "chat/") if prefix in {"azure", "openai", "bedrock"} else ():
            name = name.removeprefix(word)
        return prefix, name
    return "openai", model


def base_url(prefix: str, api_base: str) -> str:
    """Converts `api_base` to a base URL: the part before `/chat/completions`."""
    url = api_base.rstrip("/").removesuffix("/chat/completions").removesuffix("/completions")
    if prefix in {"azure", "azure_ai"}:
        parts = urlsplit(url)
        if parts.hostname and parts.hostname.endswith(".openai.azure.com"):
            return f"{parts.scheme}://{parts.netloc}/openai/v1"
    if prefix in {"ollama", "ollama_chat"} and not url.endswith("/v1"):
        return f"{url.removesuffix('/api')}/v1"
    return url
