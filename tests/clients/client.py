"""The clients: their scripts, the files with their versions, and the expected results of their cases."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.clients.environments import NODE, PYTHON
from tests.clients.setting import ALL_MODELS

HELLO = "Hello from provider a."
CALL = ["weather", {"city": "text"}]

#: The results of every client's cases, except those in `Client.differs`. Numbers are tokens, bytes or dimensions.
EXPECTED: Mapping[str, Any] = {
    "models": sorted(ALL_MODELS),
    "plain": [HELLO, 2, 4],
    "stream": [HELLO, 2, 4],
    "tools": [*CALL, HELLO],
    "tools_streamed": CALL,
    "structured": {"city": "text", "degrees": 1},
    "vision": [HELLO, 2 + 85],
    "embeddings": [8, 8],
    "responses": [HELLO, HELLO, 4],
    "responses_tools": [*CALL, HELLO],
    "websocket": [HELLO, 0],
    "images": True,
    "audio": ["Heard 16044 bytes.", 2052],
    "bad_key": ["AuthenticationError", 401],
    "unknown_model": ["NotFoundError", 404],
    "limited": [HELLO, HELLO],
    "failover": "Hello from provider b.",
}
#: The cases whose result is the client's form of a failure: its exception or exit code comes first.
FAILURES = ("bad_key", "unknown_model")


@dataclass(frozen=True, slots=True)
class Client:
    """A client. `package` is its name at PyPI or npm, "" for a program of the system.

    `cases` are those that its script has; `differs` are its results that differ from EXPECTED.
    """

    name: str
    script: str
    package: str
    cases: tuple[str, ...]
    differs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def expected(self) -> dict[str, Any]:
        return {case: self.differs.get(case, EXPECTED[case]) for case in self.cases}

    @property
    def is_node(self) -> bool:
        return self.script.endswith(".mjs")

    @property
    def version(self) -> str:
        """The pinned version; "" for a program of the system."""
        if not self.package:
            return ""
        if self.is_node:
            packages = json.loads((NODE / "package-lock.json").read_text())["packages"]
            return str(packages[f"node_modules/{self.package}"]["version"])
        lock = (PYTHON / "clients.lock").read_text()
        pinned = re.search(rf"^{re.escape(self.package)}==(\S+)", lock, re.MULTILINE)
        assert pinned is not None, f"{self.package} is not in clients.lock"
        return pinned[1]


_CHAT = ("plain", "stream", "tools", "tools_streamed", "structured", "vision")
_RESPONSES = ("responses", "responses_tools")
_REST = ("bad_key", "unknown_model", "limited", "failover")
_EVERYTHING = ("models", *_CHAT, "embeddings", *_RESPONSES, "images", "audio", *_REST)

CLIENTS = (
    Client("openai-python", "openai_client.py", "openai", _EVERYTHING),
    Client("openai-node", "openai_client.mjs", "openai", _EVERYTHING),
    Client(
        "AI SDK",
        "ai_sdk_client.mjs",
        "ai",
        (*_CHAT, "embeddings", *_RESPONSES, "images", "audio", *_REST),
        {"bad_key": ["APICallError", 401], "unknown_model": ["APICallError", 404]},
    ),
    Client(
        "LangChain",
        "langchain_client.py",
        "langchain-openai",
        (*_CHAT, "embeddings", *_RESPONSES, *_REST),
        {"bad_key": ["OpenAIAuthenticationError", 401], "unknown_model": ["OpenAIModelNotFoundError", 404]},
    ),
    Client(
        "pydantic-ai",
        "pydantic_ai_client.py",
        "pydantic-ai-slim",
        (*_CHAT, "embeddings", *_RESPONSES, *_REST),
        {"bad_key": ["ModelAuthenticationError", 401], "unknown_model": ["ModelNotFoundError", 404]},
    ),
    Client("openai-agents", "openai_agents_client.py", "openai-agents", (*_CHAT, *_RESPONSES, *_REST)),
    Client("LiteLLM", "litellm_client.py", "litellm", _EVERYTHING),
    Client(
        "llm",
        "llm_client.py",
        "llm",
        (*_CHAT, *_RESPONSES, *_REST),
        {"bad_key": ["exit code 1", 401]},
    ),
    Client(
        "Codex CLI",
        "codex_client.mjs",
        "@openai/codex",
        ("structured", "vision", *_RESPONSES, "websocket", *_REST),
        {
            "vision": [HELLO],
            "responses": [HELLO],
            "responses_tools": ["text", HELLO],
            "bad_key": ["exit code 1", 401],
            "unknown_model": ["exit code 1", None],
            "limited": [HELLO],
        },
    ),
    Client(
        "curl",
        "curl_client.py",
        "",
        ("models", "plain", "stream", "vision", "embeddings", *_REST),
        {
            "bad_key": ["exit code 22", "invalid_api_key"],
            "unknown_model": ["exit code 22", "model_not_found"],
        },
    ),
    Client(
        "fetch",
        "fetch_client.mjs",
        "",
        ("models", "plain", "stream", "embeddings", *_REST),
        {
            "bad_key": ["status 401", "invalid_api_key"],
            "unknown_model": ["status 404", "model_not_found"],
        },
    ),
)
