"""The sidecar as a process: from `join` to the first answer, the owner's commands, and its end."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from node_sidecar.errors import (
    JoinRefusedError,
    NotJoinedError,
    RemovedError,
    SettingsError,
    WrongGatewayError,
)
from tests.node_sidecar.llama import MODEL, Llama
from tests.node_sidecar.support.pki import NODE
from tests.node_sidecar.support.process import NodeProcess, run
from tests.node_sidecar.support.registry import Gateway, Issuer

pytestmark = pytest.mark.processes


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@asynccontextmanager
async def _serving(gateway: Gateway, state: Path, llama: Llama, *options: str) -> AsyncIterator[NodeProcess]:
    """Runs a node that has joined and serves llama.cpp."""
    arguments = ("join", gateway.url, "--name", "lab", "--upstream", llama.url, *options)
    async with NodeProcess(state, *arguments, TRUNKLINE_JOIN_TOKEN=gateway.issuer.token()) as node:
        yield node


async def _status(state: Path) -> dict[str, object]:
    code, output = await run(state, "status", "--output", "json")
    assert code == 0, output
    found: dict[str, object] = json.loads(output)
    return found


async def test_from_join_to_the_first_answer(gateway: Gateway, state: Path, llama: Llama) -> None:
    async with _serving(gateway, state, llama, "--concurrency", "2", "--price", "*=0.10/0.30"):
        report = await gateway.serving()
        peer = await gateway.peer()
        answer = await peer.answer(peer.chat(MODEL, max_tokens=4))
        assert answer.status == 200
        (offer,) = report.offers
        assert (offer.model, offer.healthy, offer.server, offer.context_length) == (MODEL, True, "llama.cpp", 256)
        assert (offer.input_price, offer.output_price) == (100_000, 300_000)
        assert report.load.concurrency_limit == 2
        assert report.facts.cpus > 0
        assert report.facts.memory_bytes > 0
        await peer.close()


async def test_what_join_was_given_holds_for_every_run(gateway: Gateway, state: Path, llama: Llama) -> None:
    async with _serving(gateway, state, llama, "--concurrency", "2", "--no-run") as joining:
        code, output = await joining.end()
        assert code == 0
        assert f"as lab ({NODE})" in output
    async with NodeProcess(state, "run", "--log-format", "json"):
        report = await gateway.serving()
        assert report.load.concurrency_limit == 2
        assert [offer.model for offer in report.offers] == [MODEL]


async def test_its_owner_sees_what_it_does(gateway: Gateway, state: Path, llama: Llama) -> None:
    async with _serving(gateway, state, llama):
        await gateway.serving()
        found = await _status(state)
        assert (found["node"], found["name"], found["gateway"]) == (NODE, "lab", gateway.address)
        assert found["serves"] == "everybody"
        assert found["approved"] is True
        code, table = await run(state, "status")
        assert code == 0
        assert f"lab ({NODE})" in table
        assert "llama.cpp" in table
        assert "0.00/0.00" in table


async def test_pause_and_resume(gateway: Gateway, state: Path, llama: Llama) -> None:
    async with _serving(gateway, state, llama):
        await gateway.serving()
        peer = await gateway.peer()
        code, output = await run(state, "pause")
        assert (code, output) == (0, "paused; serves nobody (paused by its owner)\n")
        await gateway.known(lambda node: node.availability_reason == "paused by its owner")
        refused = await peer.answer(peer.chat(MODEL))
        assert (refused.status, refused.code) == (503, "node_closed")
        await run(state, "resume")
        await gateway.serving()
        assert (await peer.answer(peer.chat(MODEL, max_tokens=2))).status == 200
        await peer.close()


async def test_node_yaml_is_followed(gateway: Gateway, state: Path, llama: Llama) -> None:
    async with _serving(gateway, state, llama):
        await gateway.serving()
        peer = await gateway.peer()
        (state / "node.yaml").write_text("maintenance: true\nprices: {tiny: {input: 1, output: 0}}\n")
        report = await gateway.known(lambda node: node.availability_reason == "maintenance")
        assert report.offers[0].input_price == 1_000_000
        assert (await peer.answer(peer.chat(MODEL))).status == 503
        own = peer.chat(MODEL, headers=(("x-trunkline-own", "1"),), max_tokens=2)
        assert (await peer.answer(own)).status == 200
        await peer.close()


async def test_a_drain_finishes_what_runs_and_ends(gateway: Gateway, state: Path, llama: Llama) -> None:
    async with _serving(gateway, state, llama) as node:
        await gateway.serving()
        peer = await gateway.peer()
        streams = [peer.chat(MODEL, max_tokens=150, stream=True, ignore_eos=True) for _ in range(4)]
        draining = asyncio.create_task(run(state, "drain"))
        answers = [await peer.answer(stream) for stream in streams]
        assert [answer.status for answer in answers] == [200] * 4
        assert all(answer.data.rstrip().endswith(b"data: [DONE]") for answer in answers)
        code, output = await draining
        assert (code, output.splitlines()[-1]) == (0, "drained")
        assert (await node.end())[0] == 0
        while not (await gateway.report()).draining:
            pass
        await peer.close()


async def test_a_signal_ends_it_in_order(gateway: Gateway, state: Path, llama: Llama) -> None:
    async with _serving(gateway, state, llama) as node:
        await gateway.serving()
        peer = await gateway.peer()
        node.process.send_signal(signal.SIGTERM)
        code, output = await node.end()
        assert code == 0
        assert "node stopped" in output
        await peer.until(lambda: peer.closed)
        assert peer.goaway is not None
        assert not (state / "control.json").exists()
        await peer.close()


async def test_an_operators_drain_holds_until_resumed(gateway: Gateway, state: Path, llama: Llama) -> None:
    async with _serving(gateway, state, llama) as node:
        await gateway.serving()
        peer = await gateway.peer()
        drain = type(gateway.instruction)()
        drain.CopyFrom(gateway.instruction)
        drain.drain = True
        resume = type(gateway.instruction)()
        resume.CopyFrom(gateway.instruction)
        gateway.instruct(drain)
        await node.line_with("drained by an operator")
        assert (await peer.answer(peer.chat(MODEL))).status == 503
        gateway.instruct(resume)
        await node.line_with("resumed by an operator")
        assert (await peer.answer(peer.chat(MODEL, max_tokens=2))).status == 200
        await peer.close()


async def test_a_removed_node_ends_for_good(gateway: Gateway, state: Path, llama: Llama) -> None:
    async with _serving(gateway, state, llama) as node:
        await gateway.report_with("facts")
        gateway.refusals["Report"] = grpc.StatusCode.NOT_FOUND, "removed by an operator"
        gateway.instruct(gateway.instruction)
        code, output = await node.end()
        assert code == RemovedError.exit_code
        assert "removed by an operator" in output


async def test_leaving_tells_the_gateway_and_forgets_the_identity(
    gateway: Gateway, state: Path, llama: Llama
) -> None:
    async with _serving(gateway, state, llama, "--no-run") as joining:
        await joining.end()
    gateway.refusals["Leave"] = grpc.StatusCode.UNAVAILABLE, "down"
    code, output = await run(state, "leave")
    assert code == 1
    assert "--force" in output
    gateway.refusals.clear()
    code, output = await run(state, "leave")
    assert (code, output) == (0, f"lab has left {gateway.address}\n")
    assert gateway.left == [NODE]
    code, output = await run(state, "run")
    assert code == NotJoinedError.exit_code
    assert "trunkline nodes invite" in output


async def test_joining_twice_needs_a_word(gateway: Gateway, state: Path) -> None:
    token = gateway.issuer.token()
    assert (await run(state, "join", gateway.url, "--token", token, "--no-run"))[0] == 0
    code, output = await run(state, "join", gateway.url, "--token", token, "--no-run")
    assert code == SettingsError.exit_code
    assert "--replace" in output
    assert (await run(state, "join", gateway.url, "--token", token, "--no-run", "--if-needed"))[0] == 0
    second = gateway.issuer.token("second")
    gateway.tokens.add(second)
    code, _ = await run(state, "join", gateway.url, "--token", second, "--no-run", "--replace")
    assert code == 0


async def test_each_refusal_has_its_exit_code(gateway: Gateway, state: Path, tmp_path: Path) -> None:
    other = Issuer(tmp_path / "other").token()
    code, output = await run(state, "join", gateway.url, "--token", other)
    assert code == WrongGatewayError.exit_code
    assert other not in output
    gateway.tokens.clear()
    token = gateway.issuer.token()
    code, output = await run(state, "join", gateway.url, "--token", token)
    assert code == JoinRefusedError.exit_code
    assert "used, expired or unknown" in output
    assert token not in output
    code, output = await run(state, "join", "http://gateway", "--token", token)
    assert code == SettingsError.exit_code
    assert "https" in output


async def test_a_second_copy_on_one_state_directory_is_refused(
    gateway: Gateway, state: Path, llama: Llama
) -> None:
    async with _serving(gateway, state, llama):
        await gateway.report_with("facts")
        code, output = await run(state, "run")
        assert code == 1
        assert "already running" in output


async def test_a_direct_port_that_is_in_use_is_reported(gateway: Gateway, state: Path) -> None:
    with socket.create_server(("", 0)) as taken:
        address = f"10.0.0.5:{taken.getsockname()[1]}"
        code, output = await run(
            state, "join", gateway.url, "--token", gateway.issuer.token(), "--direct", address
        )
    assert code == SettingsError.exit_code
    assert f"--direct: cannot listen on port {address.partition(':')[2]}: " in output
    assert "Traceback" not in output


async def test_commands_without_a_running_sidecar(gateway: Gateway, state: Path) -> None:
    code, output = await run(state, "status")
    assert (code, "is not running" in output) == (1, True)
    assert (await run(state, "pause"))[0] == NotJoinedError.exit_code
    await run(state, "join", gateway.url, "--token", gateway.issuer.token(), "--no-run")
    code, output = await run(state, "pause")
    assert (code, output) == (0, "paused; the sidecar is not running\n")
    async with NodeProcess(state, "run"):
        await gateway.known(lambda node: node.availability_reason == "paused by its owner")


async def test_a_killed_sidecar_starts_again(gateway: Gateway, state: Path, llama: Llama) -> None:
    async with _serving(gateway, state, llama) as node:
        await gateway.report_with("facts")
        node.process.kill()
        await node.end()
    assert (await run(state, "status"))[0] == 1
    await gateway.gone()
    async with NodeProcess(state, "run"):
        report = await gateway.serving()
        assert [offer.model for offer in report.offers] == [MODEL]
        assert (await _status(state))["name"] == "lab"
