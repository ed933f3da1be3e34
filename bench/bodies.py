"""`python -m bench.bodies`: measures how long the worst bodies take to read, on the translator's loop and
elsewhere.

For each attack of `tests/translator/reading/attacks.py`, it measures the CPU of the largest body that is read on
the loop, and the outcome of a body of 28 MiB. Then it measures large honest bodies, alone and during one key's
attack. Prints a table and writes JSON to bench/results/.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import structlog

from tests.translator.reading import attacks
from translator import endpoints, logs
from translator.bodies.facts import read
from translator.errors import Refusal
from translator.reading.pool import ReadingPool
from translator.reading.weight import is_light

RESULTS = Path(__file__).parent / "results" / "bodies.json"
SIZES = (8_192, 24_576, 65_536, 262_144)
LARGE = 28 << 20
HONEST = ("text", "quotes", "base64")
#: The number of attacks that run while an honest body is read.
BESIDE = 6


def on_the_loop(repetitions: int) -> dict[str, tuple[int, float]]:
    """Returns, by attack, the bytes of the body read on the loop that takes longest, and its milliseconds."""
    worst: dict[str, tuple[int, float]] = {}
    for size in SIZES:
        for name, target, content_type, body in attacks.shapes(size):
            endpoint = endpoints.find(target.encode())
            assert endpoint is not None
            if not is_light(endpoint.body, body):
                continue
            taken = []
            for _ in range(repetitions):
                begun = time.thread_time()
                with suppress(Refusal):
                    read(body, content_type.encode(), endpoint)
                taken.append(time.thread_time() - begun)
            worst[name] = max(worst.get(name, (0, 0.0)), (len(body), min(taken) * 1e3), key=lambda each: each[1])
    return worst


async def elsewhere(pool: ReadingPool) -> dict[str, tuple[float, str]]:
    """Returns, by attack of 28 MiB, the CPU seconds in a process and the answer to the client."""
    found = {}
    for name, target, content_type, body in attacks.shapes(LARGE):
        endpoint = endpoints.find(target.encode())
        assert endpoint is not None
        result = await pool.read("a", endpoint, content_type.encode(), _pieces(body))
        found[name] = (result.seconds, "read" if result.facts is not None else result.code)
    return found


async def honest(pool: ReadingPool, *, attacked: bool) -> dict[str, float]:
    """Returns, by kind and size, the milliseconds from a body's arrival to its facts, alone or beside one key's
    attacks.
    """
    chat = endpoints.find(b"/v1/chat/completions")
    assert chat is not None
    monster = _pieces(attacks.JSON["quotes"](LARGE))

    async def attack() -> None:
        while True:
            with suppress(Refusal):
                await pool.read("attacker", chat, b"", monster)
            await asyncio.sleep(0.01)  # a refusal comes at once

    attacking = [asyncio.create_task(attack()) for _ in range(BESIDE if attacked else 0)]
    await asyncio.sleep(1.0 if attacked else 0.0)
    taken = {}
    for kind in HONEST:
        for size in (5_000_000, LARGE):
            body = _pieces(attacks.JSON[kind](size))
            times = []
            for _ in range(3):
                begun = time.perf_counter()
                assert (await pool.read("honest", chat, b"", body)).facts is not None
                times.append((time.perf_counter() - begun) * 1e3)
            taken[f"{kind}, {size / 1e6:.0f} MB"] = sorted(times)[1]
    for each in attacking:
        each.cancel()
    await asyncio.gather(*attacking, return_exceptions=True)
    return taken


def _pieces(body: bytes) -> tuple[bytes, ...]:
    return tuple(body[at : at + 262_144] for at in range(0, len(body), 262_144))


async def _with_processes() -> tuple[dict[str, tuple[float, str]], dict[str, float], dict[str, float]]:
    pool = ReadingPool(structlog.get_logger())
    try:
        found = await elsewhere(pool)
        return found, await honest(pool, attacked=False), await honest(pool, attacked=True)
    finally:
        await pool.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bodies", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--output", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    logs.configure("error")
    gc.disable()
    loop = on_the_loop(chosen.repetitions)
    found, alone, beside = asyncio.run(_with_processes())
    print(f"{'':26}{'on the loop, at most':>24}{'28 MiB elsewhere':>20}")
    for name, (seconds, reported) in found.items():
        size, taken = loop[name]
        print(f"{name:26}{size:>12} B{taken:>7.2f} ms{seconds:>10.2f} s  {reported}")
    print(f"\n{'honest, until it is read':26}{'alone':>12}{'beside attacks':>18}")
    for name, taken in alone.items():
        print(f"{name:26}{taken:>9.0f} ms{beside[name]:>15.0f} ms")
    chosen.output.parent.mkdir(exist_ok=True)
    results = {"on the loop": loop, "elsewhere": found, "alone": alone, "beside attacks": beside}
    chosen.output.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
