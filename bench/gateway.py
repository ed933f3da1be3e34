"""The gateway as its users start it: `trunkline up`, with one provider, the bench's upstream."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench.errors import ProcessFailedError
from bench.processes import Child, descendants
from bench.subject import Subject

START_SECONDS = 90.0
PROVIDER_KEY = "TRUNKLINE_BENCH_PROVIDER_KEY"


def configuration(upstream_port: int, models: Sequence[str]) -> str:
    """A trunkline.yaml (JSON is YAML): a route per model, each to the same name at the provider."""
    routes = [{"model": model, "targets": [{"provider": "bench", "model": model}]} for model in models]
    provider = {
        "name": "bench",
        "dialect": "openai",
        "base_url": f"http://127.0.0.1:{upstream_port}/v1",
        "credentials": [f"env:{PROVIDER_KEY}"],
    }
    return json.dumps({"version": 1, "providers": [provider], "routes": routes}, indent=2)


def roles_below(root: int) -> dict[str, tuple[int, ...]]:
    """Which pid plays which part, read off the command lines. Helpers that come and go have none."""
    roles: dict[str, list[int]] = {"supervisor": [root]}
    for pid, command in descendants(root).items():
        role = _role(command) if pid != root else None
        if role is not None:
            roles.setdefault(role, []).append(pid)
    return {role: tuple(pids) for role, pids in roles.items()}


def _role(command: str) -> str | None:
    words = command.split(" ")
    if words[0].rpartition("/")[2] == "envoy":
        return "envoy"
    for role in ("translator", "xds_server"):
        if any(word == role or word.startswith(f"{role}.") for word in words):
            return role
    return None


@contextmanager
def running_gateway(directory: Path, upstream_port: int, models: Sequence[str]) -> Iterator[Subject]:
    """Starts it with one Envoy worker, and waits for a first 200. Raises BenchError."""
    data = directory / "data"
    file = directory / "trunkline.yaml"
    file.write_text(configuration(upstream_port, models))
    command = [
        *(sys.executable, "-m", "trunkline", "up"),
        *("--data-dir", str(data), "--config", str(file), "--envoy-concurrency", "1"),
        *("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"),
        *("--control-listen", "127.0.0.1:0", "--tunnel-listen", "127.0.0.1:0"),
    ]
    environment = {PROVIDER_KEY: "sk-bench-provider-key"}
    with Child(command, directory / "gateway.log", environment) as child:
        child.wait_for_line(r"^ready\b", START_SECONDS)
        credentials = json.loads((data / "credentials.json").read_text())
        api_key, port = credentials["api_key"], urlsplit(credentials["base_url"]).port
        if port is None:
            raise ProcessFailedError(f"credentials.json has no port in base_url {credentials['base_url']}")
        _wait_for_200(port, api_key, models[0], child)
        roles = roles_below(child.pid)
        if missing := {"envoy", "translator", "xds_server"} - set(roles):
            raise ProcessFailedError(
                f"no process of the gateway looks like {sorted(missing)}; see bench/gateway.py"
            )
        yield Subject(name="gateway", port=port, roles=roles, api_key=api_key)


def _wait_for_200(port: int, api_key: str, model: str, child: Child) -> None:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]})
    headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
    deadline = time.monotonic() + START_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", "/v1/chat/completions", body, headers)
            status = connection.getresponse().status
        except OSError:
            status = 0
        finally:
            connection.close()
        if status == 200:
            return
        if time.monotonic() > deadline:
            raise ProcessFailedError(f"the gateway's first request answers {status or 'nothing'}; see {child.log}")
        time.sleep(0.1)
