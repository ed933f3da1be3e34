"""curl, which represents all programs that speak HTTP without an SDK."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from cases import API_KEY, BAD_KEY, BASE_URL, IMAGE_URL, LIMITED_KEY, PROMPT, case, run, twice_at_once

MESSAGES = [{"role": "user", "content": PROMPT}]


def _curl(path: str, *options: str, key: str = API_KEY) -> subprocess.CompletedProcess[str]:
    command = ["curl", "--silent", "--show-error", f"{BASE_URL}{path}"]
    authorization = ["--header", f"Authorization: Bearer {key}"]
    return subprocess.run([*command, *authorization, *options], capture_output=True, text=True, check=False)


def _post(path: str, body: dict[str, Any], *options: str, key: str = API_KEY) -> str:
    done = _curl(path, "--fail", "--json", json.dumps(body), *options, key=key)
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout


def _chat(*options: str, model: str = "gpt-4.1", key: str = API_KEY, **body: Any) -> list[Any]:
    answer = json.loads(
        _post("/chat/completions", {"model": model, "messages": MESSAGES, **body}, *options, key=key)
    )
    usage = answer["usage"]
    return [answer["choices"][0]["message"]["content"], usage["prompt_tokens"], usage["completion_tokens"]]


def _failed(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """Returns curl's exit code, and the code in OpenAI's error object."""
    return [f"exit code {done.returncode}", json.loads(done.stdout)["error"]["code"]]


@case
def models() -> list[str]:
    return [model["id"] for model in json.loads(_curl("/models").stdout)["data"]]


@case
def plain() -> list[Any]:
    return _chat()


@case
def stream() -> list[Any]:
    body = {"model": "gpt-4.1", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    lines = [line for line in _post("/chat/completions", body, "--no-buffer").splitlines() if line]
    assert lines.pop() == "data: [DONE]"
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    text = "".join(choice["delta"].get("content", "") for event in events for choice in event["choices"])
    usage = events[-1]["usage"]
    return [text, usage["prompt_tokens"], usage["completion_tokens"]]


@case
def vision() -> list[Any]:
    content = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": IMAGE_URL}}]
    return _chat(messages=[{"role": "user", "content": content}])[:2]


@case
def embeddings() -> list[int]:
    answer = json.loads(_post("/embeddings", {"model": "text-embedding-3-small", "input": ["one", "two"]}))
    return [len(item["embedding"]) for item in answer["data"]]


@case
def bad_key() -> list[Any]:
    return _failed(_curl("/models", "--fail-with-body", key=BAD_KEY))


@case
def unknown_model() -> list[Any]:
    body = {"model": "no-such-model", "messages": MESSAGES}
    return _failed(_curl("/chat/completions", "--fail-with-body", "--json", json.dumps(body)))


@case
def limited() -> list[Any]:
    """curl waits as long as Retry-After says."""
    return twice_at_once(lambda: _chat("--retry", "2", key=LIMITED_KEY)[0])


@case
def failover() -> Any:
    return _chat(model="failover")[0]


run()
