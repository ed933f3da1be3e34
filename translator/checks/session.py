"""The checks of one connection: bytes in, the bytes of the answers out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from translator.checks.answers import Admitted, Allowed, Answered, refused
from translator.checks.frames import (
    CommandResult,
    Copied,
    Frame,
    FrameKind,
    FrameReader,
    MachineNotice,
    ResponseCreated,
)
from translator.checks.waits import Waits
from translator.errors import MalformedFrameError, body_too_large
from translator.message import Request, Response

#: The value of the `upgrade` header that Envoy's module sends.
PROTOCOL = b"trunkline-authorise"
#: Python 3.11 takes as long to look up a member of an enum as to read a check.
_WHOLE = int(FrameKind.WHOLE)
Answer = Allowed | Admitted | Answered | Response
#: A decision that takes longer, during which other checks are answered.
Later = Coroutine[object, object, Allowed | Answered | Response | Waits[Answered | Response]]


class Decider(Protocol):
    """Decides about checks. No method raises, and neither does a decision that is made later."""

    def decide(self, check: Request) -> Allowed | Answered | Response | Waits[Answered | Response] | Later:
        """Answers a whole check."""

    def admit(self, head: Request) -> Admitted | Response:
        """Answers a head check."""

    def response_created(self, text: str) -> None:
        """Takes the text of `frames.ResponseCreated`: where a response is created."""

    def end(self, request_id: str) -> None:
        """Takes an end notice. The id may be unknown."""

    def machine_busy(self, notice: MachineNotice) -> None:
        """Takes a notice about a request that waits for a machine. The id may be unknown."""

    def copied(self, copy: Copied) -> None:
        """Takes the copy of an answer. Its token may be unknown."""


class Commander(Protocol):
    """Commands Envoy's module over every open connection."""

    def opened(self, write: Callable[[bytes], None]) -> None:
        """Takes the writing end of a new connection of Envoy."""

    def closed(self, write: Callable[[bytes], None]) -> None:
        """Forgets a connection, by the same writing end."""

    def finished(self, write: Callable[[bytes], None], result: CommandResult) -> None:
        """Takes a command's result. Its token may be unknown."""


class CheckSession:
    """Reads the checks of one connection and answers them.

    `flush` writes down what was decided before any answer leaves. `write` sends later answers and the
    `commander`'s commands.
    """

    def __init__(
        self,
        decider: Decider,
        flush: Callable[[], object],
        max_body: int,
        log: FilteringBoundLogger,
        write: Callable[[bytes], None],
        *,
        commander: Commander | None = None,
    ) -> None:
        self._decider = decider
        self._flush = flush
        self._reader = FrameReader(max_body)
        self._too_large = body_too_large(max_body)
        self._log = log
        self._write = write
        self._commander = commander
        if commander is not None:
            commander.opened(write)
        #: Checks that have no answer yet, by their numbers.
        self._pending: dict[int, asyncio.Task[None] | Waits[Answered | Response]] = {}
        #: Those that are decided later and whose tasks have not begun.
        self._unstarted: set[int] = set()

    def receive(self, data: bytes) -> bytes:
        """Returns the answers to all complete checks that can be answered now. Raises MalformedFrameError."""
        try:
            answers = [self._answer(frame) for frame in self._reader.feed(data)]
        except MalformedFrameError as error:
            self._log.error("check refused", reason=str(error))
            raise
        self._flush()
        return b"".join(answers)

    def close(self) -> None:
        """Gives up the checks that have no answer yet: the connection that would carry the answers is gone."""
        if self._commander is not None:
            self._commander.closed(self._write)
        for number in tuple(self._pending):
            self._take_back(number)

    def _answer(self, frame: Frame) -> bytes:
        number, kind, content = frame
        if isinstance(content, Request):
            answer = self._decider.decide(content) if kind == _WHOLE else self._decider.admit(content)
            return answer.encode(number) if type(answer) is Allowed else self._checked(number, answer)
        if content is None:
            return _encoded(number, self._too_large.response())
        self._take_in(number, content)
        return b""

    def _checked(self, number: int, answer: Answer | Waits[Answered | Response] | Later) -> bytes:
        if isinstance(answer, Waits):
            return self._queued(number, answer)
        if isinstance(answer, Coroutine):
            self._unstarted.add(number)
            self._pending[number] = asyncio.create_task(self._later(number, answer))
            return b""
        return _encoded(number, answer)

    def _take_in(
        self, number: int, notice: str | ResponseCreated | MachineNotice | Copied | CommandResult
    ) -> None:
        if type(notice) is str:
            # The client has left: the answer is of no use, and what the request reserved is free.
            if number in self._pending:
                self._take_back(number)
            self._decider.end(notice)
        elif type(notice) is ResponseCreated:
            self._decider.response_created(notice.text)
        elif type(notice) is MachineNotice:
            self._decider.machine_busy(notice)
        elif type(notice) is Copied:
            self._decider.copied(notice)
        elif type(notice) is CommandResult and self._commander is not None:
            self._commander.finished(self._write, notice)

    async def _later(self, number: int, deciding: Later) -> None:
        if number not in self._unstarted:  # taken back before it began
            deciding.close()
            return
        self._unstarted.remove(number)
        try:
            answer = await deciding
        finally:
            del self._pending[number]
        if isinstance(answer, Waits):
            self._write(self._queued(number, answer))
        else:
            self._send(number, answer)

    def _queued(self, number: int, waits: Waits[Answered | Response]) -> bytes:
        """Returns the frame that says that the request waits. Sends the answer when the wait is over."""

        def done(answer: Allowed | Answered | Response) -> None:
            del self._pending[number]
            self._send(number, answer)

        self._pending[number] = waits
        waits.start(done)
        return waits.queued.encode(number)

    def _send(self, number: int, answer: Answer) -> None:
        # Flush and write without anything in between: there is no decision without its answer, and no answer
        # without it.
        self._flush()
        self._write(_encoded(number, answer))

    def _take_back(self, number: int) -> None:
        pending = self._pending[number]
        if number in self._unstarted:  # a task that is cancelled before it begins cleans nothing up
            self._unstarted.remove(number)
            del self._pending[number]
            return
        pending.cancel()
        if isinstance(pending, Waits):
            del self._pending[number]


def _encoded(number: int, answer: Answer) -> bytes:
    return refused(number, answer) if isinstance(answer, Response) else answer.encode(number)
