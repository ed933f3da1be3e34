"""Runs one attack in a separate process: `python -m bench.neighbours.attacker NAME FILE`.

It ends by itself, and prints the answers to the attacker as JSON: outcome → count.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.neighbours import bombs, ejection, flood, greed, readers
from bench.neighbours.scene import Prey

Attack = Callable[[Prey, "Counter[str]"], Awaitable[None]]
GREED, READERS = "greedy node", "xDS readers"
ATTACKS: dict[str, Attack] = {
    "ejection": ejection.attack,
    "bodies without a key": flood.without_key,
    "bodies with a key": flood.with_key,
    "parsing bombs": bombs.attack,
    GREED: greed.attack,
    READERS: readers.attack,
}
#: Extra seconds that an attack may take to end.
GRACE_SECONDS = 60.0


async def _run(name: str, prey: Prey) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    try:
        async with asyncio.timeout(prey.seconds):
            await ATTACKS[name](prey, outcomes)
    except TimeoutError:
        pass
    return outcomes


def main() -> None:
    """Runs the attack that the command line names."""
    outcomes = asyncio.run(_run(sys.argv[1], Prey.read(Path(sys.argv[2]))))
    print(json.dumps(dict(outcomes)), flush=True)


if __name__ == "__main__":
    main()
