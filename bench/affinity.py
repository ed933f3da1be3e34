"""`python -m bench.affinity`: measures the benefit of a conversation's affinity on two nodes with llama.cpp's own
server.

Conversations run side by side, turn by turn. Each variant has its own texts, so that no variant
finds what another one left in a cache. Prints a table and writes JSON to bench/results/.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bench.errors import ProcessFailedError
from bench.gateway import Gateway, document, started
from bench.lock import exclusive
from bench.processes import Child
from bench.through_node import joined
from tests.node_sidecar.support.tiny_gguf import write

RESULTS = Path(__file__).parent / "results" / "affinity.json"
SERVER = Path(__file__).parents[1] / "tests" / "node_sidecar" / "support" / "llama_process.py"
CONVERSATIONS, TURNS = 8, 10
#: The maximum of tokens of a conversation on each server; a letter is a token.
_CONTEXT = 4_096
_START_SECONDS = 60.0
_NODES = 2
KEPT, SPREAD, READY = "kept", "spread", "ready"
_SENTENCE = "The quick brown fox jumps over the lazy dog. "


@dataclass
class Variant:
    """The results of all conversations. Tokens are those of prompts; `first_ms` are times to the first token."""

    name: str
    tokens: int = 0
    cached: int = 0
    errors: int = 0
    first_ms: list[float] = field(default_factory=list)


def messages(variant: str, conversation: int, turn: int) -> list[dict[str, str]]:
    """Returns the messages of a conversation up to this turn. Real answers of a model with random weights would
    not be text.
    """
    said = [{"role": "system", "content": f"{variant} {conversation}. {_SENTENCE * 4}"}]
    for each in range(turn):
        said += [
            {"role": "user", "content": f"Question {each}: {_SENTENCE}"},
            {"role": "assistant", "content": f"Answer {each}: {_SENTENCE}"},
        ]
    return [*said, {"role": "user", "content": f"Question {turn}: {_SENTENCE}"}]


async def ask(
    session: aiohttp.ClientSession, url: str, model: str, variant: Variant, conversation: int, turn: int
) -> None:
    """Sends one turn as a stream."""
    body = {
        "model": model,
        "messages": messages(variant.name, conversation, turn),
        "max_tokens": 2,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    begun, first, usage = time.monotonic(), 0.0, None
    try:
        async with session.post(url, json=body) as answer:
            async for line in answer.content:
                if answer.status == 200 and line.startswith(b"data: {"):
                    first = first or time.monotonic()
                    usage = json.loads(line[6:]).get("usage") or usage
    except aiohttp.ClientError:
        usage = None
    if usage is None:
        variant.errors += 1
        return
    variant.first_ms.append((first - begun) * 1000)
    variant.tokens += usage["prompt_tokens"]
    variant.cached += (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)


async def converse(
    url: str, key: str, model: str, name: str, middle: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> Variant:
    """Runs all conversations; `middle` runs at half of their turns, in parallel."""
    variant = Variant(name)
    headers = {"authorization": f"Bearer {key}"}
    # llama.cpp's server may close a connection just as it is reused, which the gateway hides.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        for turn in range(TURNS):
            asking = [
                ask(session, url, model, variant, conversation, turn) for conversation in range(CONVERSATIONS)
            ]
            if middle is not None and turn == TURNS // 2:
                asking.append(middle())
            await asyncio.gather(*asking)
    return variant


async def measure(gateway: Gateway, alone: str, nodes: list[tuple[Child, Child]]) -> list[Variant]:
    """Measures one server directly, and both nodes with and without affinity; one of them is killed last."""
    url = f"http://127.0.0.1:{gateway.port}/v1/chat/completions"
    await _both_serve(gateway)

    async def kill() -> None:
        for child in nodes[0]:
            child.kill()

    return [
        await converse(f"{alone}/v1/chat/completions", "none", "tiny", "one server alone"),
        await converse(url, gateway.api_key, KEPT, "two nodes, affinity pool"),
        await converse(url, gateway.api_key, SPREAD, "two nodes, affinity none"),
        await converse(url, gateway.api_key, KEPT, "two nodes, affinity pool, one killed in the middle", kill),
    ]


async def _both_serve(gateway: Gateway) -> None:
    deadline = time.monotonic() + _START_SECONDS
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {gateway.admin_token}"}) as session:
        while True:
            async with session.get(f"{gateway.admin_url}/admin/v1/nodes") as answer:
                nodes = (await answer.json()).get("nodes", [])
            states = [each["state"] for each in nodes if each.get("offers")]
            if states.count("online") == _NODES:
                return
            if time.monotonic() > deadline:
                raise ProcessFailedError(f"the nodes do not serve; their states: {states}")
            await asyncio.sleep(0.2)


def run(directory: Path) -> list[Variant]:
    """Runs the benchmark. Raises BenchError."""
    model = directory / "tiny.gguf"
    write(model, context=_CONTEXT, embed=256, feed=1024, layers=8)
    with ExitStack() as stack:
        servers = [stack.enter_context(_server(directory, model, number)) for number in range(_NODES + 1)]
        urls = [each.wait_for_line(r"^(http://\S+)$", _START_SECONDS)[1] for each in servers]
        ports = [int(urlsplit(url).port or 0) for url in urls]
        routes: list[dict[str, Any]] = [
            {"model": KEPT, "affinity": "pool", "targets": [{"nodes": "tiny"}]},
            {"model": SPREAD, "affinity": "none", "targets": [{"nodes": "tiny"}]},
            {"model": READY, "targets": [{"provider": "bench", "model": "tiny"}]},
        ]
        config = document({"bench": ports[-1]}, routes)
        gateway = stack.enter_context(started(directory, "gateway", config, ready_model=READY))
        sidecars = [
            stack.enter_context(joined(directory, gateway, port, name=f"node-{number}"))
            for number, port in enumerate(ports[:_NODES])
        ]
        return asyncio.run(measure(gateway, urls[-1], list(zip(sidecars, servers, strict=False))))


def _server(directory: Path, model: Path, number: int) -> Child:
    words = [str(SERVER), str(model), "-1", str(_CONTEXT * CONVERSATIONS), str(CONVERSATIONS)]
    return Child([sys.executable, *words], directory / f"llama-{number}.log")


def table(variants: list[Variant]) -> str:
    """Formats the results as Markdown."""
    alone = variants[0].cached
    lines = [
        "| | prompt tokens | from the cache | of the single server | first token, median | p90 | errors |",
        "|---|---|---|---|---|---|---|",
    ]
    for variant in variants:
        deciles = statistics.quantiles(variant.first_ms, n=10)
        lines.append(
            f"| {variant.name} | {variant.tokens:,} | {variant.cached:,} | {variant.cached / alone:.0%} | "
            f"{statistics.median(variant.first_ms):.0f} ms | {deciles[8]:.0f} ms | {variant.errors} |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.affinity", description=__doc__)
    parser.parse_args(arguments)
    with exclusive(), tempfile.TemporaryDirectory(prefix="trunkline-bench-") as temporary:
        variants = run(Path(temporary))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(variant) for variant in variants], indent=2) + "\n")
    print(table(variants))
    return 1 if any(variant.errors for variant in variants) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
