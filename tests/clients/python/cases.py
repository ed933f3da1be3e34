"""Runs the cases of one Python client and prints each one's result as a line of JSON.

It runs in the clients' environment and imports nothing of Trunkline.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

BASE_URL = os.environ["BASE_URL"]
API_KEY = os.environ["API_KEY"]
LIMITED_KEY = os.environ["LIMITED_KEY"]
BAD_KEY = "sk-nobody-has-this-one"
PROMPT = "hello there"
#: One pixel, as a PNG.
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
IMAGE_URL = f"data:image/png;base64,{IMAGE}"
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}

_Result = TypeVar("_Result")

_cases: dict[str, Callable[[], Any]] = {}
#: One event loop for all cases, because clients keep their connections for it.
_loop = asyncio.Runner()


def case(function: Callable[[], _Result]) -> Callable[[], _Result]:
    """Registers a function or coroutine function as the case with its name."""
    _cases[function.__name__] = function
    return function


def weather(city: str) -> str:
    """The weather in a city."""
    return f"It rains in {city}."


def caught(function: Callable[[], Any]) -> list[Any]:
    """Calls `function`, which must fail; returns the exception's type and its status."""
    try:
        _settled(function())
    except Exception as error:  # noqa: BLE001
        return [type(error).__name__, getattr(error, "status_code", None)]
    return ["nothing", None]


def twice_at_once(function: Callable[[], _Result]) -> list[_Result]:
    """Calls `function` in two threads; returns both results."""
    with ThreadPoolExecutor(2) as threads:
        return [future.result() for future in [threads.submit(function), threads.submit(function)]]


def _settled(result: Any) -> Any:
    return _loop.run(result) if inspect.iscoroutine(result) else result


def run() -> None:
    """Runs the cases in order. A failing case does not stop the next ones."""
    for name, function in _cases.items():
        try:
            line = {"case": name, "result": _settled(function())}
        except Exception as error:  # noqa: BLE001
            line = {"case": name, "error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
