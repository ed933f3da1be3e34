"""Simon Willison's `llm`, with models from extra-openai-models.yaml."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import llm
import yaml
from cases import API_KEY, BAD_KEY, BASE_URL, IMAGE, LIMITED_KEY, PROMPT, case, caught, run, twice_at_once, weather

COMMON = {
    "api_base": BASE_URL,
    "api_key_name": "trunkline",
    "supports_schema": True,
    "supports_tools": True,
    "vision": True,
}
MODELS = [
    {"model_id": "gateway", "model_name": "gpt-4.1", **COMMON},
    {"model_id": "gateway-responses", "model_name": "gpt-4.1", "responses": True, **COMMON},
    {"model_id": "gateway-unknown", "model_name": "no-such-model", **COMMON},
    {"model_id": "gateway-failover", "model_name": "failover", **COMMON},
]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
}


def _prompt(*, model: str = "gateway", key: str = API_KEY, **options: Any) -> Any:
    return llm.get_model(model).prompt(PROMPT, key=key, **options)


def _used(response: Any) -> list[Any]:
    text, usage = response.text(), response.usage()
    return [text, usage.input, usage.output]


def _tools(model: str) -> list[Any]:
    called: list[Any] = []
    chain = llm.get_model(model).chain(
        PROMPT, key=API_KEY, tools=[weather], after_call=lambda _tool, call, _result: called.append(call)
    )
    text = chain.text()
    (call,) = called
    return [call.name, call.arguments, text]


@case
def plain() -> list[Any]:
    return _used(_prompt(stream=False))


@case
def stream() -> list[Any]:
    return _used(_prompt(stream=True))


@case
def tools() -> list[Any]:
    return _tools("gateway")


@case
def tools_streamed() -> list[Any]:
    (call,) = _prompt(stream=True, tools=[weather]).tool_calls()
    return [call.name, call.arguments]


@case
def structured() -> Any:
    return yaml.safe_load(_prompt(schema=SCHEMA).text())


@case
def vision() -> list[Any]:
    image = llm.Attachment(type="image/png", content=base64.b64decode(IMAGE))
    return _used(_prompt(attachments=[image]))[:2]


@case
def responses() -> list[Any]:
    whole = _prompt(model="gateway-responses", stream=False).text()
    return [whole, *_used(_prompt(model="gateway-responses"))[::2]]


@case
def responses_tools() -> list[Any]:
    return _tools("gateway-responses")


@case
def bad_key() -> list[Any]:
    """The command ends with one line and an exit code."""
    command: list[str | Path] = [Path(sys.executable).parent / "llm", "-m", "gateway", "--key", BAD_KEY, PROMPT]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    status = re.fullmatch(r"Error: Error code: (\d+) - .*\n", done.stderr)
    assert status is not None, done.stderr
    return [f"exit code {done.returncode}", int(status[1])]


@case
def unknown_model() -> list[Any]:
    return caught(lambda: _prompt(model="gateway-unknown").text())


@case
def limited() -> list[str]:
    return twice_at_once(lambda: _prompt(key=LIMITED_KEY).text())


@case
def failover() -> str:
    return str(_prompt(model="gateway-failover").text())


(llm.user_dir() / "extra-openai-models.yaml").write_text(yaml.safe_dump(MODELS))
run()
