"""The processes that read bodies, and which key may use them when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from structlog.typing import FilteringBoundLogger

from translator.endpoints import Endpoint
from translator.errors import ReadingError, Refusal
from translator.metrics import Sample
from translator.reading import wire
from translator.reading.process import ReadingProcess
from translator.reading.queue import BodyQueue
from translator.reading.wire import Result

#: Seconds of CPU for one body: several times what the largest legitimate one takes.
_CPU = 2.0
#: Most processes, and how many of them one key may use, so that other keys' bodies have room.
_PROCESSES, _OF_A_KEY = 4, 2
#: Seconds after which an idle process ends; the last one stays.
_IDLE = 60.0


@dataclass(eq=False, slots=True)
class _Task:
    endpoint: Endpoint
    content_type: bytes
    body: Sequence[bytes]
    result: asyncio.Future[Result]


class ReadingPool:
    """Starts a process when a body needs one and none is free."""

    def __init__(self, log: FilteringBoundLogger, processes: int = _PROCESSES, cpu: float = _CPU) -> None:
        self._log = log
        self._cpu = cpu
        self._most = processes
        self._queue: BodyQueue[_Task] = BodyQueue(min(_OF_A_KEY, processes))
        self._free: list[ReadingProcess] = []
        self._running: set[asyncio.Task[Result | None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._idle: asyncio.TimerHandle | None = None
        self._closed = False
        #: Called with a key and the CPU time of a body whose client has left.
        self.on_abandoned: Callable[[str, float], object] = lambda _key, _seconds: None
        #: Bodies that were read, and those among them that ended their process.
        self.bodies = self.too_complex = 0

    async def read(self, key: str, endpoint: Endpoint, content_type: bytes, body: Sequence[bytes]) -> Result:
        """Reads a body, given in pieces, on the account of `key`. Cancelling frees the body's place in the queue.

        Raises:
            Refusal: 429 or 503 if it cannot be read now. What is wrong with the body itself is in the result.
        """
        task = _Task(endpoint, content_type, body, asyncio.get_running_loop().create_future())
        self._queue.put(key, task, sum(map(len, body)))
        self._dispatch()
        try:
            return await task.result
        finally:
            self._queue.remove(key, task)

    def samples(self) -> Iterable[Sample]:
        """Yields the samples for `/metrics`."""
        prefix = "trunkline_translator_"
        yield Sample(prefix + "bodies_read_total", "counter", "Bodies read in other processes.", self.bodies)
        text = "Bodies that took too much time or memory."
        yield Sample(prefix + "bodies_too_complex_total", "counter", text, self.too_complex)
        yield Sample(prefix + "bodies_waiting", "gauge", "Bodies that wait to be read.", len(self._queue))

    async def close(self) -> None:
        """Ends the processes and refuses the waiting bodies."""
        self._closed = True
        if self._idle is not None:
            self._idle.cancel()
        for task in self._queue.drain():
            _refuse(task, _unavailable())
        for running in self._running:
            running.cancel()
        while self._free:
            self._end(self._free.pop())
        while left := self._running | self._ending:
            await asyncio.wait(left)

    def _dispatch(self) -> None:
        """Assigns waiting bodies to free processes, and to processes that may still be started."""
        while not self._closed and len(self._running) < self._most:
            taken = self._queue.take()
            if taken is None:
                return
            key, task = taken
            try:
                process = self._process()
            except OSError as error:
                self._log.error("no process to read bodies", reason=error.strerror)
                self._queue.done(key)
                _refuse(task, _unavailable())
                continue
            running = asyncio.create_task(self._run(process, key, task))
            self._running.add(running)
            # Not at the end of the task, which may be cancelled before it begins.
            running.add_done_callback(partial(self._ended, process, key, task))

    def _process(self) -> ReadingProcess:
        """Returns a free process or a new one. Raises OSError."""
        while self._free:
            process = self._free.pop()
            if not process.has_ended():
                return process
            self._end(process)  # it was killed
        return ReadingProcess(self._cpu)

    async def _run(self, process: ReadingProcess, key: str, task: _Task) -> Result | None:
        """Reads a body; returns None if the process did not start."""
        try:
            await process.ready()
        except ReadingError as error:
            self._log.error("no process to read bodies", reason=str(error))
            return None
        result = await process.read(task.endpoint, task.content_type, task.body)
        self.bodies += 1
        if result is None:
            self.too_complex += 1
            self._log.warning("a body took too much to read", key=key, bytes=sum(map(len, task.body)))
            result = msgspec.structs.replace(Result.of_refusal(wire.too_complex(), self._cpu), last=True)
        return result

    def _ended(self, process: ReadingProcess, key: str, task: _Task, running: asyncio.Task[Result | None]) -> None:
        self._running.discard(running)
        self._queue.done(key)
        task.body = ()
        result = None if running.cancelled() or running.exception() is not None else running.result()
        if result is None or result.last or self._closed:
            self._end(process)
        else:
            self._free.append(process)
            self._watch_idle()
        if result is None:
            _refuse(task, _unavailable())
        elif task.result.done():
            self.on_abandoned(key, result.seconds)
        else:
            task.result.set_result(result)
        self._dispatch()

    def _end(self, process: ReadingProcess) -> None:
        process.close()
        ending = asyncio.create_task(process.wait())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _watch_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_IDLE, self._end_idle)

    def _end_idle(self) -> None:
        """Ends a process after a while without bodies."""
        self._idle = None
        while len(self._free) > 1:
            self._end(self._free.pop())


def _refuse(task: _Task, refusal: Refusal) -> None:
    if not task.result.done():
        task.result.set_exception(refusal)


def _unavailable() -> Refusal:
    message = "The request body could not be read. Send the request again."
    return Refusal(503, "overloaded", message, kind="server_error", headers={"retry-after": "1"})
