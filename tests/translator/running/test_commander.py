"""Commands to Envoys, and their results."""

from __future__ import annotations

import asyncio

from translator.checks.answers import Command, Order
from translator.checks.frames import CommandResult
from translator.running.commander import Commander
from translator.running.progress import Progress, read

LINE = b"2 17 900 openai/gpt-4.1%20x one 1700 org key\n"


class Envoy:
    """A connection; `token` is that of the last command."""

    def __init__(self, commander: Commander) -> None:
        self.commander = commander
        self.sent: list[bytes] = []
        self.write = self.sent.append
        commander.opened(self.write)

    @property
    def token(self) -> str:
        return _token(self.sent[-1])

    def finish(self, lines: bytes = b"") -> None:
        self.commander.finished(self.write, CommandResult(self.token, lines))


def _token(command: bytes) -> str:
    return command[18:].split(b" ")[0].decode()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_lines_are_read() -> None:
    wanted = Progress(2, 17, 900, "openai/gpt-4.1 x", "one 1700 org key")
    assert list(read(LINE + b"nonsense\n1 2 x t note\n\n0 0 0 - two 1\n")) == [
        wanted,
        Progress(0, 0, 0, "", "two 1"),
    ]
    assert wanted.request_id == "one"


async def test_every_connection_is_asked_and_all_of_them_tell() -> None:
    commander = Commander(patience=60)
    envoys = [Envoy(commander), Envoy(commander)]
    asking = asyncio.create_task(commander.report())
    await settled()
    assert envoys[0].sent == envoys[1].sent == [Command(Order.REPORT, "1").encode()]
    envoys[0].finish(LINE)
    envoys[0].finish(LINE)
    await settled()
    assert not asking.done()
    envoys[1].finish()
    found = await asking
    assert found is not None
    assert [each.request_id for each in found] == ["one"]


async def test_one_that_is_silent_holds_nobody_up() -> None:
    """An Envoy of an earlier version never answers."""
    commander = Commander(patience=0.05)
    silent = Envoy(commander)
    assert await commander.report() is None

    def answer(command: bytes) -> None:
        commander.finished(answer, CommandResult(_token(command), LINE))

    commander.opened(answer)
    found = await commander.report()
    assert found is not None
    assert len(found) == 1
    silent.finish(LINE)  # too late


async def test_a_connection_that_ends_is_not_waited_for() -> None:
    commander = Commander(patience=60)
    envoy = Envoy(commander)
    asking = asyncio.create_task(commander.cancel("one"))
    await settled()
    assert envoy.sent == [Command(Order.CANCEL, "1", "one").encode()]
    commander.closed(envoy.write)
    assert await asking is None


async def test_without_an_envoy_nobody_knows() -> None:
    assert await Commander().report() is None
    assert await Commander().cancel("one") is None


async def test_a_connection_is_greeted_before_anything_else() -> None:
    commander = Commander(patience=60)
    commander.greeting = lambda: b"g 2\n"
    envoy = Envoy(commander)
    assert envoy.sent == [Command(Order.SHARE, "-", body=b"g 2\n").encode()]
    asking = asyncio.create_task(commander.share(b"a 1\n"))
    await settled()
    commander.finished(envoy.write, CommandResult("-", b"o 1\n"))
    assert envoy.sent[1:] == [Command(Order.SHARE, "1", body=b"a 1\n").encode()]
    commander.finished(envoy.write, CommandResult("1", b"o 2\n"))
    assert await asking == [b"o 2\n"]
