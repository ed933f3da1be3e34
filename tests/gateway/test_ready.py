"""The output of `trunkline up` at its start is true: the addresses answer, and the example runs."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.gateway.process import GatewayProcess
from tests.waiting import eventually


def _answers(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _said(gateway: GatewayProcess, what: str) -> str:
    """Returns stderr once it contains `what`."""
    return eventually(lambda: text if what in (text := gateway.errors_file.read_text()) else "")


def test_what_ready_prints_answers(tmp_path: Path) -> None:
    arguments = ("--tunnel-url", "https://gateway.example.org:8443", "--usage-retention", "7d")
    with GatewayProcess(tmp_path / "a b", arguments=arguments) as gateway:
        shown = dict(re.findall(r"(\w+)=(\S+)", gateway.ready_line))
        assert _answers(shown["console"]) == 200
        assert _answers(f"{shown['base_url']}/models") == 401  # a key is needed
        example = _said(gateway, "try it: ").partition("try it: ")[2].splitlines()[0]
        done = subprocess.run(["sh", "-c", example], capture_output=True, check=True, timeout=60)
        assert json.loads(done.stdout) == {"object": "list", "data": []}
        assert gateway.credentials["api_key"] not in gateway.errors_file.read_text()


def test_a_provider_that_cannot_be_reached_is_not_said_to_be_missing(tmp_path: Path) -> None:
    environment = {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    with GatewayProcess(tmp_path / "data", environment=environment) as gateway:
        text = _said(gateway, "No provider yet")
        assert "none of openai could be used (see above)" in text
        assert "openai: http://127.0.0.1:1/v1/models could not be reached" in text
        assert "no key of a known provider" not in text
