"""Runs the clients' scripts against one gateway."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients import environments
from tests.clients.client import CLIENTS, Client
from tests.clients.setting import gateway, limited_key
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import metrics

SCRIPT_SECONDS = 200.0
#: Each client spends most of its time on importing itself; the machine may have two cores.
AT_ONCE = 2
Results = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Run:
    """The results of all cases by client and case; a failed case has the error's text.

    `refusals` is the number of requests that the gateway refused for a limit.
    """

    results: Results
    refusals: int


def run_all(directory: Path) -> Run:
    """Runs every client. Raises RuntimeError if a script ends with an error of its own."""
    node_program = environments.node_program()
    with ThreadPoolExecutor(2) as installing, ThreadPoolExecutor(AT_ONCE) as threads:
        python, node = installing.submit(environments.python), installing.submit(environments.node)

        def run(client: Client) -> dict[str, Any]:
            place: tuple[str | Path, Path] = (
                (node_program, node.result()) if client.is_node else (python.result(), environments.PYTHON)
            )
            return _results_of(client, *place, running, directory)

        with gateway(directory, [client.name for client in CLIENTS]) as running:
            # npm takes longer than uv.
            clients = sorted(CLIENTS, key=lambda client: client.is_node)
            made = dict(zip([client.name for client in clients], threads.map(run, clients), strict=True))
            counted = asyncio.run(metrics(running))
    return Run(made, int(counted['trunkline_translator_decisions_total{outcome="rate_limit_exceeded"}']))


def _results_of(
    client: Client, interpreter: str | Path, scripts: Path, running: GatewayProcess, directory: Path
) -> dict[str, Any]:
    home = directory / client.name
    home.mkdir()
    done = subprocess.run(
        [interpreter, scripts / client.script],
        cwd=home,
        # Excludes the machine's own settings, and other servers' keys.
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "BASE_URL": running.base_url,
            "API_KEY": running.api_key,
            "LIMITED_KEY": limited_key(client.name),
        },
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{client.script} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"case":')]
    return {line["case"]: line.get("result", line.get("error")) for line in lines}
