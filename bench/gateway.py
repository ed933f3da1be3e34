"""Runs the gateway as users start it: `trunkline up`, with the benchmark's upstreams as providers."""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.errors import ProcessFailedError
from bench.processes import Child, descendants
from bench.subject import Subject

START_SECONDS = 90.0
LEDGER_SECONDS = 60.0
#: Seconds until Envoy has written the last lines of its log, and the translator has read them.
LOG_SECONDS = 0.5
#: Seconds between two looks at the translator's metrics.
LOOK_SECONDS = 0.5
PROVIDER_KEY = "TRUNKLINE_BENCH_PROVIDER_KEY"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running `trunkline up`; `control` is the control plane's gRPC address. Seconds since it was started."""

    child: Child
    port: int
    control: str
    admin_token: str = field(repr=False)
    api_key: str = field(repr=False)
    admin_url: str
    ready_seconds: float
    first_200_seconds: float


def document(upstream_ports: Mapping[str, int], routes: Sequence[Mapping[str, Any]]) -> str:
    """Returns a trunkline.yaml (JSON is YAML) with an OpenAI provider per name and port."""
    providers = [
        {
            "name": name,
            "dialect": "openai",
            "base_url": f"http://127.0.0.1:{port}/v1",
            "credentials": [f"env:{PROVIDER_KEY}"],
        }
        for name, port in upstream_ports.items()
    ]
    return json.dumps({"version": 1, "providers": providers, "routes": list(routes)}, indent=2)


def configuration(upstream_port: int, models: Sequence[str]) -> str:
    """Returns one provider, and a route per model to the same name there."""
    routes = [{"model": model, "targets": [{"provider": "bench", "model": model}]} for model in models]
    return document({"bench": upstream_port}, routes)


def roles_below(root: int) -> dict[str, tuple[int, ...]]:
    """Returns the pids by role, read from the command lines. Short-lived helpers have no role."""
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
def started(
    directory: Path, name: str, config: str, *, ready_model: str, arguments: Sequence[str] = ()
) -> Iterator[Gateway]:
    """Runs `trunkline up` on free ports with the data directory `directory/name`.

    Waits for the `ready` line and for the first 200 of `ready_model`. Raises BenchError.
    """
    data = directory / name
    file = directory / f"{name}.yaml"
    file.write_text(config)
    command = [
        *(sys.executable, "-m", "trunkline", "up"),
        *("--data-dir", str(data), "--config", str(file), *arguments),
        *("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"),
        *("--control-listen", "127.0.0.1:0", "--tunnel-listen", "127.0.0.1:0"),
    ]
    begun = time.monotonic()
    with Child(command, directory / f"{name}.log", {PROVIDER_KEY: "sk-bench-provider-key"}) as child:
        child.wait_for_line(r"^ready\b", START_SECONDS)
        ready = time.monotonic() - begun
        credentials = json.loads((data / "credentials.json").read_text())
        api_key, port = credentials["api_key"], urlsplit(credentials["base_url"]).port
        if port is None:
            raise ProcessFailedError(f"credentials.json has no port in base_url {credentials['base_url']}")
        _wait_for_200(port, api_key, ready_model, child)
        yield Gateway(
            child=child,
            port=port,
            control=credentials["control"],
            admin_token=credentials["admin_token"],
            api_key=api_key,
            admin_url=credentials["admin_url"],
            ready_seconds=ready,
            first_200_seconds=time.monotonic() - begun,
        )


@contextmanager
def running_gateway(directory: Path, upstream_port: int, models: Sequence[str]) -> Iterator[Subject]:
    """Starts the gateway with one Envoy worker, like the bare Envoy. Raises BenchError."""
    config = configuration(upstream_port, models)
    with started(
        directory, "data", config, ready_model=models[0], arguments=("--envoy-concurrency", "1")
    ) as gateway:
        roles = roles_below(gateway.child.pid)
        if missing := {"envoy", "translator", "xds_server"} - set(roles):
            raise ProcessFailedError(
                f"no process of the gateway looks like {sorted(missing)}; see bench/gateway.py"
            )
        yield Subject(
            name="gateway",
            port=gateway.port,
            roles=roles,
            api_key=gateway.api_key,
            finish=partial(wait_for_ledger, gateway.admin_url),
        )


def wait_for_ledger(admin_url: str) -> None:
    """Waits until the control plane has every record. Raises ProcessFailedError."""
    deadline = time.monotonic() + LEDGER_SECONDS
    waiting = ("trunkline_translator_records_pending", "trunkline_translator_log_unshipped_bytes")
    time.sleep(LOG_SECONDS)
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{admin_url}/metrics/translator", timeout=10) as answer:
            values = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] != "#")
        if all(float(values[name]) == 0 for name in waiting):
            return
        time.sleep(LOOK_SECONDS)
    raise ProcessFailedError(f"the ledger has not caught up after {LEDGER_SECONDS:g} s")


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
        time.sleep(0.02)
