"""`/metrics` in Prometheus' text format, version 0.0.4, written in pieces between which requests are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from translator.message import Response
from translator.metrics import text
from translator.metrics.text import Sample

#: Seconds after which a page that is being written lets other tasks run.
_TURN = 0.001


class Metrics:
    """The outcomes of decisions, and what `sources` and `families` yield when they are scraped.

    A source yields samples; a family yields its text in pieces, each of which takes less than a millisecond.
    `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        #: Requests that were let through.
        self.allowed = 0
        #: Requests that were refused, by the refusal's code: literals of this package.
        self.refused: dict[str, int] = {}
        self.sources: list[Callable[[], Iterable[Sample]]] = [self._own]
        self.families: list[Callable[[], Iterable[str]]] = []
        self._writing: asyncio.Task[Response] | None = None

    def refuse(self, code: str) -> None:
        """Counts a refusal."""
        self.refused[code] = self.refused.get(code, 0) + 1

    async def response(self) -> Response:
        """Returns the page. Other tasks run between its pieces; scrapes at the same time share one page."""
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="metrics")
            self._writing.add_done_callback(self._done)
        return await asyncio.shield(self._writing)

    def _done(self, _: asyncio.Task[Response]) -> None:
        self._writing = None

    async def _write(self) -> Response:
        page: list[bytes] = []
        until = self._clock() + _TURN
        for piece in self._pieces():
            page.append(piece.encode())
            if self._clock() >= until:
                await asyncio.sleep(0)
                until = self._clock() + _TURN
        return Response(200, {"content-type": text.CONTENT_TYPE}, b"".join(page))

    def _pieces(self) -> Iterator[str]:
        for source in self.sources:
            yield from map(text.written, source())
        for family in self.families:
            yield from family()

    def _own(self) -> Iterable[Sample]:
        yield Sample(
            "trunkline_translator_decisions_total",
            "counter",
            "Requests decided about, by outcome.",
            {"allowed": self.allowed, **self.refused},
            "outcome",
        )
