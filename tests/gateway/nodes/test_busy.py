"""Machines that are all busy: requests wait for them in the gateway, and a rejected request is sent again."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.nodes.asking import Answer, ask, first_answer
from tests.gateway.nodes.node_process import NodeProcess
from tests.gateway.process import GatewayProcess
from tests.waiting import until_answered

SLOTS = 2
MODEL = "lab"
#: Requests for the first model wait, those for the second do not; both use the same machine.
WAITS, HASTY = "waits", "hasty"
WEIGHTS = {"one": 1, "double": 2}
PATIENCE = 120.0


def key_of(organisation: str) -> str:
    return f"sk-key-of-{organisation}-1234"


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    targets = [{"nodes": MODEL}]
    return {
        "version": 1,
        "providers": [],
        "routes": [
            {"model": WAITS, "targets": targets, "queue": {"longest": "4m"}},
            {"model": HASTY, "targets": targets},
        ],
        "organisations": [
            {"name": name, "weight": weight, "keys": [{"name": "ci", "value": key_of(name)}]}
            for name, weight in WEIGHTS.items()
        ],
    }


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderProcess]:
    with ProviderProcess("lab", models=[MODEL]) as running:
        yield running


@pytest.fixture(scope="module")
def node(
    gateway: GatewayProcess, server: ProviderProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    """A node for everybody, which rejects requests that it has no place for."""
    state: Path = tmp_path_factory.mktemp("node") / "state"
    upstream = server.base_url.removesuffix("/v1")
    join = ["--concurrency", str(SLOTS), "--queue", "0"]
    with NodeProcess(gateway, state, upstream, join=join, invite=["--visibility", "community"]) as joined:
        yield joined


@pytest.fixture(autouse=True)
async def _ready(gateway: GatewayProcess, node: NodeProcess, server: ProviderProcess) -> None:
    """Waits until the machine serves, and has ended what an earlier test has left."""
    await server.abehave("ok")
    await first_answer(gateway, WAITS, key=key_of("one"))
    await until_answered(lambda: asyncio.to_thread(lambda: node.status().get("in_flight") == 0), PATIENCE)


async def until(gateway: GatewayProcess, fits: Callable[[list[Any]], bool]) -> list[Any]:
    """Returns the running and waiting requests, once `fits` holds for them."""

    async def listed() -> tuple[list[Any]] | None:
        done = await asyncio.to_thread(gateway.run, "requests", "list", "--output", "json")
        found: list[Any] = json.loads(done.stdout)
        return (found,) if fits(found) else None

    fitting = await until_answered(listed, PATIENCE)
    assert fitting is not None
    return fitting[0]


def states(rows: list[Any]) -> Counter[str]:
    return Counter(row["state"] for row in rows)


async def served(server: ProviderProcess, since: int) -> list[str]:
    """Returns the users of the chats that the machine's server has received after this request, in order."""
    return [each.json()["user"] for each in await server.arequests(since) if each.method == "POST"]


def holding(gateway: GatewayProcess, model: str) -> list[asyncio.Task[Answer]]:
    """Starts requests that take all slots until they are cancelled; the machine answers its health checks."""
    asking = (ask(gateway, model, key=key_of("one"), max_tokens=4, user="fault:slow:600000") for _ in range(SLOTS))
    return [asyncio.create_task(each) for each in asking]


async def test_they_wait_for_a_slot_and_share_them(gateway: GatewayProcess, server: ProviderProcess) -> None:
    """Two requests run at a time, and the organisations take turns: the one with the weight gets two of three
    places.
    """
    held = holding(gateway, WAITS)
    await until(gateway, lambda rows: states(rows) == {"running": SLOTS})
    last = (await server.arequests())[-1].id
    waiting = [
        asyncio.create_task(ask(gateway, WAITS, key=key_of(name), max_tokens=4, user=name))
        for name in WEIGHTS
        for _ in range(12)
    ]
    rows = await until(gateway, lambda rows: states(rows) == {"running": SLOTS, "queued": 24})
    assert {row["target"] for row in rows if row["state"] == "running"} == {f"nodes/{MODEL}"}
    await server.abehave("slow", delay_ms=50)
    for task in held:
        task.cancel()
    answers = await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)
    assert {each.status for each in answers} == {200}
    assert all(int(each.headers["x-trunkline-queued-ms"]) > 0 for each in answers)
    attempts = Counter(each.headers["x-trunkline-attempts"] for each in answers)
    # The machine may still be ending the cancelled requests when the first of the others arrive.
    assert attempts["1"] >= len(answers) - 2 * SLOTS, attempts
    order = await served(server, last)
    assert abs(order[:15].count("double") - 10) <= 2, order


async def test_one_that_a_machine_turns_away_keeps_its_place(
    gateway: GatewayProcess, server: ProviderProcess
) -> None:
    """Another program uses slots that the gateway counts as free. The first request finds out; the others wait."""
    held = holding(gateway, HASTY)
    await until(gateway, lambda rows: states(rows) == {"running": SLOTS})
    last = (await server.arequests())[-1].id

    def ask_as(user: str) -> asyncio.Task[Answer]:
        return asyncio.create_task(ask(gateway, WAITS, key=key_of("one"), max_tokens=4, user=user))

    asking = [ask_as("first")]
    await until(gateway, lambda rows: any(row["attempt"] not in {"", 0, 1} for row in rows))
    asking += [ask_as("later") for _ in range(3)]
    await until(gateway, lambda rows: states(rows) == {"running": SLOTS + 1, "queued": 3})
    held[0].cancel()
    answers = await asyncio.wait_for(asyncio.gather(*asking), PATIENCE)
    held[1].cancel()
    assert {each.status for each in answers} == {200}
    assert await served(server, last) == ["first", "later", "later", "later"]
    assert "x-trunkline-queued-ms" not in answers[0].headers
    assert all("x-trunkline-queued-ms" in each.headers for each in answers[1:])


async def test_one_that_a_machine_turns_away_is_sent_again(gateway: GatewayProcess) -> None:
    """The gateway does not know that the machine is busy, because another program uses it."""
    held = holding(gateway, HASTY)
    await until(gateway, lambda rows: states(rows) == {"running": SLOTS})
    assert (await asyncio.wait_for(ask(gateway, HASTY, key=key_of("one")), PATIENCE)).status == 429
    waiting = asyncio.create_task(ask(gateway, WAITS, key=key_of("one")))
    await until(gateway, lambda rows: any(row["attempt"] not in {"", 0, 1} for row in rows))
    for task in held:
        task.cancel()
    answer = await asyncio.wait_for(waiting, PATIENCE)
    assert (answer.status, answer.headers["x-trunkline-target"]) == (200, f"nodes/{MODEL}")
    assert int(answer.headers["x-trunkline-attempts"]) > 1
