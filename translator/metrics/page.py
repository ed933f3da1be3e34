"""`/metrics` in Prometheus' text format, version 0.0.4, written in steps between which requests are served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

from translator import late_imports
from translator.message import Response
from translator.metrics.family import MetricFamily, Sample


class Metrics:
    """The outcomes of decisions, and the samples that `sources` and `families` yield when they are scraped.

    A family may be yielded in consecutive parts, each with some of its samples.
    """

    def __init__(self) -> None:
        #: Requests that were let through.
        self.allowed = 0
        #: Requests that were refused, by the refusal's code: literals of this package.
        self.refused: dict[str, int] = {}
        self.sources: list[Callable[[], Iterable[Sample]]] = [self._own]
        self.families: list[Callable[[], Iterable[MetricFamily]]] = []
        self._writing: asyncio.Task[Response] | None = None

    def refuse(self, code: str) -> None:
        """Counts a refusal."""
        self.refused[code] = self.refused.get(code, 0) + 1

    async def response(self) -> Response:
        """Returns the page. Other tasks run between its parts; scrapes at the same time share one page."""
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="metrics")
            self._writing.add_done_callback(self._done)
        return await asyncio.shield(self._writing)

    def _done(self, _: asyncio.Task[Response]) -> None:
        self._writing = None

    async def _write(self) -> Response:
        await late_imports.load("translator.metrics.text")
        from translator.metrics import text  # noqa: PLC0415

        steps = []
        for step in text.written(self._collect()):
            steps.append(step)
            await asyncio.sleep(0)
        return Response(200, {"content-type": text.CONTENT_TYPE}, b"".join(steps))

    def _collect(self) -> Iterator[MetricFamily]:
        for source in self.sources:
            yield from map(MetricFamily.of, source())
        for families in self.families:
            yield from families()

    def _own(self) -> Iterable[Sample]:
        yield Sample(
            "trunkline_translator_decisions_total",
            "counter",
            "Requests decided about, by outcome.",
            {"allowed": self.allowed, **self.refused},
            "outcome",
        )
