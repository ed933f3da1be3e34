"""A conversation keeps its machine of a pool, which has its prompt in its cache."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from tests.fakes.node import Node
from tests.integration.nodes.edge import Edge, through_tunnel
from xds_server.model import Affinity, NodesTarget, ProviderTarget, Route

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONVERSATIONS, TURNS = 8, 10
USER = "A question of forty characters, or more. "


def turn(conversation: int, number: int) -> list[dict[str, Any]]:
    """Returns the messages of a conversation up to this turn."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are kind."}]
    for each in range(number):
        messages += [
            {"role": "user", "content": f"{USER}{conversation}.{each}"},
            {"role": "assistant", "content": f"Answer {conversation}.{each}"},
        ]
    return [*messages, {"role": "user", "content": f"{USER}{conversation}.{number}"}]


class PrefixCache:
    """Counts the characters that a machine has read before: of each prompt, the longest prefix of an earlier one.

    The servers of llama.cpp and vLLM have these in their caches, as long as the caches are large enough.
    """

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.cached = 0

    def read(self, prompt: str) -> None:
        self.cached += max((_common(prompt, each) for each in self.prompts), default=0)
        self.prompts.append(prompt)


def _common(one: str, other: str) -> int:
    differing = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def cached(*nodes: Node) -> int:
    """Returns how much of their requests all nodes' caches together had."""
    caches = [PrefixCache() for _ in nodes]
    for cache, node in zip(caches, nodes, strict=True):
        for seen in node.seen:
            cache.read(prompt(json.loads(seen.body)["messages"]))
    return sum(cache.cached for cache in caches)


def prompt(messages: list[dict[str, Any]]) -> str:
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages)


def of_one_machine(conversations: Sequence[int]) -> int:
    """Returns how much a single machine would have had in its cache."""
    cache = PrefixCache()
    for number in range(TURNS):
        for conversation in conversations:
            cache.read(prompt(turn(conversation, number)))
    return cache.cached


async def ask(edge: Edge, model: str, conversation: int, number: int) -> str:
    answer = await edge.ask("k1", model, messages=turn(conversation, number))
    assert answer.status == 200, answer
    return str(json.loads(answer.body)["node"])


async def of_all(edge: Edge, model: str, nodes: Sequence[Node]) -> list[int]:
    """Returns conversations of which each node serves some: what the hash of a single one prefers is chance."""
    found: dict[str, list[int]] = {}
    for conversation in count():
        found.setdefault(await ask(edge, model, conversation, 0), []).append(conversation)
        if len(found) == len(nodes) and conversation + 1 >= CONVERSATIONS:
            break
    for node in nodes:
        node.seen.clear()
    fewest, most = sorted(found.values(), key=len)
    return [*most[: CONVERSATIONS - 1], *fewest][:CONVERSATIONS]


async def served(edge: Edge, model: str, conversations: Sequence[int]) -> dict[int, Counter[str]]:
    """Returns how often each node served each conversation."""
    found: dict[int, Counter[str]] = {conversation: Counter() for conversation in conversations}
    for number in range(TURNS):
        for conversation in conversations:
            found[conversation][await ask(edge, model, conversation, number)] += 1
    return found


async def test_a_conversation_stays_and_its_prompt_is_cached(
    edge: Edge, model: str, nodes: tuple[Node, Node]
) -> None:
    await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)))
    await edge.fill(through_tunnel(model, *(node.name for node in nodes)))
    conversations = await of_all(edge, model, nodes)
    found = await served(edge, model, conversations)
    assert all(len(each) == 1 for each in found.values())
    assert {name for each in found.values() for name in each} == {node.name for node in nodes}
    assert all("x-trunkline-affinity" not in seen.headers for node in nodes for seen in node.seen)
    assert cached(*nodes) >= 0.95 * of_one_machine(conversations)


async def test_without_affinity_it_does_not(edge: Edge, model: str, nodes: tuple[Node, Node]) -> None:
    await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),), affinity=Affinity.NONE))
    await edge.fill(through_tunnel(model, *(node.name for node in nodes)))
    found = await served(edge, model, range(CONVERSATIONS))
    assert sum(len(each) == 2 for each in found.values()) > CONVERSATIONS / 2
    # Of machines that are drawn at random, caches have 84 %, with a standard deviation of 1.
    assert cached(*nodes) < 0.95 * of_one_machine(range(CONVERSATIONS))


async def test_a_conversation_returns_when_its_machine_does_and_no_other_moves(
    edge: Edge, model: str, nodes: tuple[Node, Node]
) -> None:
    gone, stays = nodes
    await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)))
    await edge.fill(through_tunnel(model, gone.name, stays.name))
    before = [await ask(edge, model, conversation, 0) for conversation in range(CONVERSATIONS)]
    gone.status = 500
    during = [await ask(edge, model, conversation, 1) for conversation in range(CONVERSATIONS)]
    assert set(during) == {stays.name}
    await edge.fill(through_tunnel(model, stays.name))
    assert {await ask(edge, model, conversation, 2) for conversation in range(CONVERSATIONS)} == {stays.name}
    gone.status = 200
    await edge.fill(through_tunnel(model, gone.name, stays.name))
    while [await ask(edge, model, conversation, 3) for conversation in range(CONVERSATIONS)] != before:
        pass  # waits until the machine is no longer ejected


async def test_targets_and_machines_keep_a_conversation_where_the_route_says_so(
    edge: Edge, model: str, nodes: tuple[Node, Node]
) -> None:
    targets = (ProviderTarget("a", "m", weight=1), NodesTarget(model, weight=1))
    await edge.publish(Route(f"rt_{model}", model, targets, affinity=Affinity.CONVERSATION))
    await edge.fill(through_tunnel(model, *(node.name for node in nodes)))
    kept: dict[int, set[str]] = {}
    for conversation in range(32):
        for number in range(3):
            answer = await edge.ask("k1", model, messages=turn(conversation, number))
            assert answer.status == 200, answer
            kept.setdefault(conversation, set()).add(answer.headers["x-trunkline-target"])
    assert all(len(each) == 1 for each in kept.values())
    assert len({target for each in kept.values() for target in each}) == 2


async def test_a_user_is_kept_by_name(edge: Edge, model: str, nodes: tuple[Node, Node]) -> None:
    await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),), affinity=Affinity.USER))
    await edge.fill(through_tunnel(model, *(node.name for node in nodes)))
    for number in count():
        if number >= CONVERSATIONS and all(node.seen for node in nodes):
            break
        user = f"user {number}"
        found = {json.loads((await edge.ask("k1", model, user=user)).body)["node"] for _ in range(4)}
        assert len(found) == 1
