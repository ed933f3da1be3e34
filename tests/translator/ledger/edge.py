"""A process with a ledger, to be killed: `python -m tests.translator.ledger.edge DIR OPTIONS`.

On DIR/edge.sock it answers line by line: `reserve ID` with the start of the reservation, `state` with JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator import logs
from translator.ledger.ledger import Ledger
from translator.ledger.prices import PriceBook
from translator.limits import HolderLimit, Limiter, Metric, Reservation
from translator.settings import Settings

#: The tag of every reservation, as it is written.
TAG = "a%20tag"


def settings(directory: Path, **options: object) -> Settings:
    (directory / "ledger").mkdir(exist_ok=True)
    given: dict[str, object] = {
        "control": f"unix:{directory}/control.sock",
        "control_token": "",
        "state_dir": directory,
        "ledger_dir": directory / "ledger",
        "id": "edge",
        "socket": None,
        "log_level": "info",
        "limits_interval": 0.05,
        "disk_low": 2,
        "disk_full": 1,
    }
    given |= options
    return Settings(**given)  # type: ignore[arg-type]


def prices(prompt: int = 2_000_000) -> PriceBook:
    """Returns a book with 2 (`prompt`, micro-USD) and 8 USD per million tokens."""
    book = PriceBook()
    price = policy.Price(input=prompt, output=8_000_000, version=1)
    book.put(policy.Route(id="rt_gpt", targets=[policy.Target(id="openai/gpt-4.1", prices=[price])]))
    return book


LIMITS = (
    HolderLimit(Metric.REQUESTS, "86400000", 1_000_000, "organisation", "org_acme", "acme"),
    HolderLimit(Metric.TOKENS, "86400000", 1_000_000_000, "organisation", "org_acme", "acme"),
    HolderLimit(Metric.COST_USD, "86400000", 1_000_000_000_000, "organisation", "org_acme", "acme"),
    HolderLimit(Metric.CONCURRENCY, "-", 1_000_000, "key", "key_ci", "ci"),
)


def reserve(limiter: Limiter, request_id: str, at: float | None = None) -> Reservation:
    """Reserves 100 tokens and 500,000 nano-USD."""
    at = time.time() if at is None else at
    whose = ("org_acme", "key_ci", "rt_gpt", "gpt-4.1")
    ids = tuple(limit.id for limit in LIMITS)
    made = Reservation(request_id, at, *whose, 100, 500_000, 12, stream=False, user="", tag=TAG, limits=ids)
    assert limiter.reserve(made, LIMITS) is None
    return made


def used(limiter: Limiter) -> list[int]:
    """Returns the amount taken of each of LIMITS."""
    counters = limiter._counters
    return [counters[limit.id].total if limit.id in counters else 0 for limit in LIMITS]


async def main(directory: Path, **options: object) -> None:
    if "envoy_admin_socket" in options:
        options["envoy_admin_socket"] = Path(str(options["envoy_admin_socket"]))
    limiter = Limiter(lambda *_: LIMITS)
    log = logs.configure("info")
    ledger = Ledger(settings(directory, **options), limiter, prices(), log)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).decode().split():
            if line[0] == "reserve":
                made = reserve(limiter, line[1])
                ledger.reserved(made)
                ledger.flush()
                writer.write(f"{made.at!r}\n".encode())
            else:
                state = {
                    "used": used(limiter),
                    "held": [each.id for each in ledger.outstanding],
                    **ledger.status(),
                }
                writer.write(json.dumps(state).encode() + b"\n")
        writer.close()

    await asyncio.start_unix_server(answer, directory / "edge.sock")
    await ledger.run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), **json.loads(sys.argv[2])))
